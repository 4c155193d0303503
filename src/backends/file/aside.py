"""What cannot be read is reported once and kept: a line never vanishes because nobody understands it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from .folder import Folder

__all__ = ["SET_ASIDE", "Aside"]

SET_ASIDE = "set-aside.jsonl"
_MOST = 10_000
"""How many lines are remembered as reported; beyond that a line may be reported twice."""


class Aside:
    """The lines that were found unreadable since the store was opened. `told` hears of each once."""

    def __init__(self, told: Callable[[str, int, str], None]) -> None:
        self._told = told
        self._noticed: dict[tuple[str, int], tuple[bytes, str]] = {}

    def tell(self, file: str, offset: int, line: bytes, reason: str) -> None:
        """Report a line that stays where it is for now."""
        if (file, offset) not in self._noticed and len(self._noticed) < _MOST:
            self._noticed[file, offset] = (line, reason)
            self._told(file, offset, reason)

    def keep(self, folder: Folder, file: str, offset: int, line: bytes, reason: str) -> None:
        """Report a line and copy it into the file of what was set aside, before it goes from where it was."""
        self._told(file, offset, reason)
        self._write(folder, [(file, offset, line, reason)])

    def keep_noticed(self, folder: Folder, files: Collection[str]) -> None:
        """Copy what was noticed in some files, which are about to go."""
        found = [(file, offset, *what) for (file, offset), what in self._noticed.items() if file in files]
        if found:
            self._write(folder, found)
        for file, offset, *_ in found:
            del self._noticed[file, offset]

    def _write(self, folder: Folder, found: list[tuple[str, int, bytes, str]]) -> None:
        lines = [
            msgspec.json.encode({"file": file, "offset": offset, "reason": reason, "bytes": line.hex()}) + b"\n"
            for file, offset, line, reason in found
        ]
        kept = folder.open_file(SET_ASIDE, write=True, create=True)
        size = kept.size
        if size and kept.read(size - 1, 1) != b"\n":
            lines.insert(0, b"\n")  # A crash tore the last line: the next begins on one of its own.
        kept.write(b"".join(lines), size)
        kept.sync()
        folder.sync()
        kept.close()
