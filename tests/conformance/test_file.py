"""The file backend, own layout, keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfade.testing.conformance import *  # noqa: F403
from crossfade.testing.conformance import Harness
from crossfade.testing.files import file_harness


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return file_harness(tmp_path)
