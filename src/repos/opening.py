"""Opening a store: from a URL or settings to repositories over the right backends."""

from __future__ import annotations
