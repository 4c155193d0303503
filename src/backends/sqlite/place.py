"""Where a SQLite file lies: what must be true of it before a connection is opened."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ...errors import NotAStore, ReadOnly, Unavailable, Unsupported

__all__ = ["NETWORK_FILE_SYSTEMS", "file_system_of", "prepare", "refuse_network"]

# SQLite's write-ahead log needs memory that all processes share, which these do not give between hosts.
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs3 nfs4 cifs smb smb3 smbfs ncpfs afs afpfs 9p ceph glusterfs fuse.glusterfs fuse.sshfs fuse.s3fs "
    "fuse.rclone lustre gpfs beegfs ocfs2 gfs2 davfs fuse.davfs2 vboxsf fuse.vmhgfs-fuse virtiofs".split()
)
_MAGIC = b"SQLite format 3\x00"


def file_system_of(path: Path, mounts: str) -> str | None:
    """The type of the file system that `path` lies on, from the text of `/proc/self/mountinfo`; None if unknown."""
    target = os.path.realpath(path)
    best, found = "", None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # Later lines lie over earlier ones at the same point.
        if inside and len(point) >= len(best):
            best, found = point, right.split(" ")[0]
    return found


def refuse_network(path: Path, where: str, mounts: str | None = None) -> None:
    """Raise Unsupported when the write-ahead log would lie on a network file system."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return  # No such list on this system: nothing can be told.
    kind = file_system_of(path.parent, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Unsupported(
            f"{where}: it lies on a network file system ({kind}), where SQLite's write-ahead log can lose or damage data. "
            "Put it on a local disk, use PostgreSQL for several hosts, or, for ONE process on ONE host, add ?journal=delete"
        )


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
