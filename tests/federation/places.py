"""The stores that the federation's tests run on."""

from __future__ import annotations

import pytest

import crossfade
from crossfade.repos import federation

SHARED = ["file", "sqlite", "postgres"]
"""Those that several agents hold at once."""

everywhere = pytest.mark.parametrize("crossfade_backend", ["memory", *SHARED], indirect=True)
shared = pytest.mark.parametrize("crossfade_backend", SHARED, indirect=True)


async def opened(url: str) -> crossfade.Store:
    """The federation's store at a URL, as another agent would open it."""
    return await crossfade.open(url, entities=federation.ENTITIES, environ={})
