"""The PostgreSQL backend keeps the contract."""

from __future__ import annotations

import pytest

from crossfade.testing.conformance import *  # noqa: F403
from crossfade.testing.conformance import Harness
from crossfade.testing.postgres import postgres_harness


@pytest.fixture
def harness() -> Harness:
    return postgres_harness()
