"""A document: one file that is read whole and replaced whole.

How bytes get on the disk is decided here and in `folder`; what lies in them, and in which form, is the
business of whoever holds the document.
"""

from __future__ import annotations

from typing import NamedTuple

from .folder import Folder, Stamp

__all__ = ["Contents", "Document"]


class Contents(NamedTuple):
    """What a document holds, and the state of the file that it was read from."""

    data: bytes
    stamp: Stamp


class Document:
    """A name in a folder. Writers take turns by a lock of their own; readers need none."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name

    def read(self) -> Contents | None:
        """The contents, None when there is no such file. Raises OSError."""
        while True:
            before = self.stamp()
            if before is None:
                return None
            try:
                file = self._folder.open_file(self._name)
            except FileNotFoundError:
                continue
            data = file.read(0, file.size)
            if self.stamp() == before:
                return Contents(data, before)

    def stamp(self) -> Stamp | None:
        """The state of the file: another one than before when anybody replaced or changed it."""
        return self._folder.stamp(self._name)

    def replace(self, data: bytes) -> Contents:
        """Put these bytes in the place of the old ones, whole or not at all; on the disk on return. Raises OSError."""
        self._folder.replace(self._name, data)
        stamp = self.stamp()
        if stamp is None:
            raise FileNotFoundError(2, "it was removed as soon as it was written")
        return Contents(data, stamp)
