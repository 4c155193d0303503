"""Where a SQLite file lies: what must be true of it before a connection is opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ...errors import NotAStore, ReadOnly, Unavailable

__all__ = ["ON_A_NETWORK", "prepare"]

# The write-ahead log needs memory that all processes share, which these file systems do not give between hosts.
ON_A_NETWORK = (
    "where SQLite's write-ahead log can lose or damage data. Put it on a local disk, use PostgreSQL for several hosts, "
    "or, for ONE process on ONE host, add ?journal=delete"
)
_MAGIC = b"SQLite format 3\x00"


def prepare(path: Path, where: str, *, create: bool) -> None:
    """See that the file can be what it should be, and create it, readable by its owner only, when it is not there."""
    folder = path.parent
    if not folder.is_dir():
        raise Unavailable(f"{where}: the folder {folder} does not exist; create it, or correct the path")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not create:
            raise Unavailable(f"{where}: there is no such file, and mode=ro creates none") from None
        _create(path, where)
        return
    except OSError as error:
        raise Unavailable(f"{where}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise NotAStore(f"{where}: this is a {'folder' if stat.S_ISDIR(mode) else 'special file'}, not a database file")
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except PermissionError:
        raise ReadOnly(f"{where}: this user may not read the file; check its permissions") from None
    except OSError as error:
        raise Unavailable(f"{where}: {error.strerror}") from None
    if head and head != _MAGIC:
        raise NotAStore(
            f"{where}: the file is not a SQLite database (or it is encrypted); it was left as it is. Correct the path"
        )
    if create and not os.access(folder, os.W_OK):
        raise ReadOnly(
            f"{where}: the folder cannot be written, and SQLite keeps its log there; give this user write permission on it"
        )


def _create(path: Path, where: str) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileExistsError:
        pass  # Another process was faster: it is its file that is opened.
    except OSError as error:
        raise ReadOnly(
            f"{where}: the file cannot be created ({error.strerror}); give this user write permission on {path.parent}"
        ) from None
