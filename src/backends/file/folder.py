"""One folder and the files right in it: the rules by which bytes get on a disk, and stay there.

The folder is opened once and every file is opened through it, never through a symbolic link, so that
nobody can put another file in the place of ours. Files are readable by their owner only.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import NotAStore, Unavailable

__all__ = ["File", "Folder", "Stamp", "write_all"]

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Never through a link, never into a child process, and never waiting for the other end of a pipe."""


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`: the system may take less than it is given, and is asked again for the rest."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from another: a file that was replaced never has the stamp of the one before."""

    inode: int
    size: int
    modified: int
    changed: int


class File:
    """An open file; closed when nobody holds it any more, so that a snapshot can go on reading what was unlinked."""

    __slots__ = ("descriptor", "name")

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer only where the file ends."""
        data = os.pread(self.descriptor, length, offset)
        if len(data) in (0, length):
            return data
        parts = [data]
        got = len(data)
        while got < length:
            more = os.pread(self.descriptor, length - got, offset + got)
            if not more:
                break
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def write(self, data: bytes, offset: int) -> None:
        write_all(self.descriptor, data, offset)

    def sync(self) -> None:
        """Return when everything written is on the disk, as far as the disk tells."""
        os.fdatasync(self.descriptor)

    @property
    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    @property
    def linked_size(self) -> int | None:
        """The size, None when no name leads to the file any more."""
        found = os.fstat(self.descriptor)
        return found.st_size if found.st_nlink else None


class Folder:
    """An open folder. Every method raises OSError; the caller knows which store it is about."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, where: str, *, create: bool) -> Folder:
        """Open the folder, and make it, for its owner only, when it is not there and `create` asks for it.

        Raises Unavailable when it, or the folder it should be made in, is not there; NotAStore when it is none.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | _SAFE
        try:
            return cls(path, os.open(path, flags))
        except FileNotFoundError:
            if not create:
                raise Unavailable(f"{where}: there is no such folder, and mode=ro makes none") from None
        except NotADirectoryError:
            what = (
                "a symbolic link; give the folder it leads to"
                if path.is_symlink()
                else "not a folder; correct the path"
            )
            raise NotAStore(f"{where}: this is {what}") from None
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass  # Another process was faster.
        except FileNotFoundError:
            raise Unavailable(
                f"{where}: the folder {path.parent} does not exist; create it, or correct the path"
            ) from None
        return cls(path, os.open(path, flags))

    def sync_above(self) -> None:
        """Return when the name of this folder is on the disk, whoever made it."""
        above = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)
        finally:
            os.close(above)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def names(self) -> list[str]:
        return os.listdir(self._descriptor)

    def open_file(self, name: str, *, write: bool = False, create: bool = False, fresh: bool = False) -> File:
        """Open a file: `create` makes it when it is not there, `fresh` wants it not to be there yet.

        Raises FileNotFoundError, FileExistsError; ELOOP for a symbolic link, and NotAStore for what is no regular file.
        """
        flags = _SAFE | (os.O_RDWR if write else os.O_RDONLY)
        flags |= os.O_CREAT | os.O_EXCL if fresh else os.O_CREAT if create else 0
        opened = File(name, os.open(name, flags, 0o600, dir_fd=self._descriptor))
        if not stat.S_ISREG(os.fstat(opened.descriptor).st_mode):
            raise NotAStore(f"{self.path / name} is no regular file; it was left as it is")
        return opened

    def stamp(self, name: str) -> Stamp | None:
        """The state of a file, None when it is not there."""
        try:
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def replace(self, name: str, data: bytes) -> None:
        """Give a file these contents, whole or not at all, whatever happens meanwhile; on the disk on return."""
        with self.draft() as draft:
            draft.write(data, 0)
            draft.sync()
            self.rename(draft.name, name)
        self.sync()

    @contextmanager
    def draft(self) -> Iterator[File]:
        """A new file under a random name, removed in the end unless it was renamed."""
        draft = self.open_file(f"draft-{secrets.token_hex(8)}", write=True, fresh=True)
        try:
            yield draft
        finally:
            draft.close()
            self.unlink(draft.name)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in the place of whatever has it. Lasting only after `sync`."""
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def unlink(self, name: str) -> None:
        """Remove a file; harmless when it is not there."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            pass

    def sync(self) -> None:
        """Return when the names of the files are on the disk."""
        os.fsync(self._descriptor)
