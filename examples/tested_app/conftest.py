"""All that the plugin needs to know: what the application stores. It comes with crossfade and is there by itself."""

from __future__ import annotations

from typing import Any

import pytest

from .shop import ENTITIES


@pytest.fixture
def crossfade_entities() -> list[Any]:
    return [*ENTITIES]
