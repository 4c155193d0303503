"""Every test of the federation runs on every store that an agent could be given."""

from __future__ import annotations

from typing import Any

import pytest

from crossfade.repos import federation


@pytest.fixture
def crossfade_entities() -> list[Any]:
    return list(federation.ENTITIES)
