"""The system's errors as ours, with what somebody can do about them."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from ...errors import CrossfadeError, DiskFull, NotAStore, ReadOnly, Unavailable

__all__ = ["translated", "translating"]

_ADVICE: Final[Mapping[int, tuple[type[CrossfadeError], str]]] = {
    errno.ENOSPC: (DiskFull, "there is no room left on the disk; nothing was written. Free some space"),
    errno.EDQUOT: (DiskFull, "this user's quota on the disk is used up; nothing was written. Free some space"),
    errno.EFBIG: (DiskFull, "the file would be larger than this process may write; raise the limit (ulimit -f)"),
    errno.EACCES: (
        ReadOnly,
        "this user may not use it; give this user read and write permission on the folder and its files",
    ),
    errno.EPERM: (
        ReadOnly,
        "the system does not permit it; check owner, permissions and attributes of the folder and its files",
    ),
    errno.EROFS: (
        ReadOnly,
        "the file system is mounted read-only; mount it for writing, or open the store with mode=ro",
    ),
    errno.EIO: (Unavailable, "the disk failed to read or write; check the disk and the system's log"),
    errno.EMFILE: (Unavailable, "this process has too many files open; raise the limit (ulimit -n)"),
    errno.ENFILE: (Unavailable, "the machine has too many files open"),
    errno.ENOMEM: (Unavailable, "the machine ran out of memory"),
    errno.ENOLCK: (Unavailable, "the file system gives no locks, without which two processes could damage the store"),
    errno.ELOOP: (
        NotAStore,
        "a symbolic link stands where a folder or file of the store should be; give the real path",
    ),
    errno.ENOTDIR: (NotAStore, "a file stands where the folder of the store should be; correct the path"),
    errno.EISDIR: (NotAStore, "a folder stands where a file of the store should be; correct the path"),
    errno.ENOENT: (Unavailable, "it is gone; somebody removed or renamed it while it was used"),
    errno.ESTALE: (Unavailable, "it was removed on the server that holds it; open the store again"),
}


def translated(error: OSError, where: str) -> CrossfadeError:
    """The error of this library for one of the system's; `where` is the masked address of the store."""
    known = _ADVICE.get(error.errno or 0)
    if known is None:
        return Unavailable(f"{where}: {error.strerror or type(error).__name__}")
    cls, advice = known
    return cls(f"{where}: {advice}")


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise translated(error, where) from error
