"""The memory backend keeps the contract."""

from __future__ import annotations

import pytest

from crossfade.testing.conformance import *  # noqa: F403
from crossfade.testing.conformance import Harness
from crossfade.testing.harnesses import memory_harness


@pytest.fixture
def harness() -> Harness:
    return memory_harness()
