"""What must be known of the place where a store's files lie."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from ..errors import Unsupported

__all__ = ["NETWORK_FILE_SYSTEMS", "file_system_of", "refuse_network"]

NETWORK_FILE_SYSTEMS: Final = frozenset(
    "nfs nfs3 nfs4 cifs smb smb3 smbfs ncpfs afs afpfs 9p ceph glusterfs fuse.glusterfs fuse.sshfs fuse.s3fs "
    "fuse.rclone lustre gpfs beegfs ocfs2 gfs2 davfs fuse.davfs2 vboxsf fuse.vmhgfs-fuse virtiofs".split()
)
"""What does not give processes of several hosts one memory, or one order of what they do."""


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


def refuse_network(folder: Path, where: str, why: str, mounts: str | None = None) -> None:
    """Raise Unsupported, with the reason and the advice in `why`, when `folder` lies on a network file system."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return  # No such list on this system: nothing can be told.
    kind = file_system_of(folder, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Unsupported(f"{where}: it lies on a network file system ({kind}), {why}")
