"""Stores in files, own layout: a log, sorted runs, and an index, shared by the processes of one host."""

from __future__ import annotations

from .backend import FileBackend

__all__ = ["FileBackend"]
