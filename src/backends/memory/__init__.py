"""Records in this process's memory: for tests and for what need not last."""

from __future__ import annotations

from .backend import MemoryBackend

__all__ = ["MemoryBackend"]
