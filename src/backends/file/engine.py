"""The engine: sorted keys and values in one folder, for several processes, of which one writes at a time.

Writers hold the lock, see what others did, append one line per batch, and publish how long the log is only
when it has reached the disk. Readers need no lock: they look at the head, read what is new, and go on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import Corrupt, NotAStore, ReadOnly, Unavailable
from .aside import Aside
from .errors import translating
from .folder import File, Folder
from .lines import Entry, moved, standing
from .lock import FileLock
from .manifest import HEAD_BYTES, NAME, Frozen, Head, Manifest, ManifestFile, log_name, read_head, replaced, write_head
from .merging import Value
from .view import Snapshot, View, length_by, view_of

__all__ = ["FOLDING", "LOCK", "PREFIXES", "Engine", "Options"]

HEAD: Final = "head"
LOCK: Final = "lock"
FOLDING: Final = "folding"
PREFIXES: Final = ("log-", "run-", "draft-")
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a file store is opened.

    `synchronous` full: an acknowledged write survives power loss; normal: it survives the death of the
    process, not of the machine. `busy_timeout` is how long to wait for another process, in seconds.
    `log_bytes` and `log_entries` bound the log: beyond them it is folded into a run.
    """

    path: Path
    where: str
    synchronous: bool = True
    busy_timeout: float = 5.0
    read_only: bool = False
    log_bytes: int = 16 * 1024 * 1024
    log_entries: int = 50_000


class Engine:
    """One opened store. Reading methods may be called from any thread; writing is one thread's at a time."""

    def __init__(self, options: Options, told: Callable[[str, int, str], None]) -> None:
        self.options = options
        self.where = options.where
        self.aside = Aside(told)
        self.mutex = threading.RLock()
        """Held while the view or an index changes, never while a disk is waited for."""
        with translating(self.where):
            self.folder = Folder.open(options.path, self.where, create=not options.read_only)
            try:
                self._open()
            except BaseException:
                self.folder.close()
                raise

    def _open(self) -> None:
        self.manifest = ManifestFile(self.folder, self.where)
        self.lock = FileLock(self.folder, LOCK, self.where)
        self._distrusted: str | None = None
        self._certain = 0
        """How much of the log is certain to be on the disk."""
        self._head_bytes = b""
        self._view: View | None = None
        found = self.manifest.read()
        if self.options.read_only:
            if found is None:
                raise Unavailable(f"{self.where}: there is no store in this folder, and mode=ro makes none")
            self._head = self._head_to_read()
            with self.mutex:
                self._load()
            return
        with self.lock.held(self.options.busy_timeout):
            if self.manifest.read() is None:
                self._begin()
            self.folder.open_file(FOLDING, write=True, create=True).close()  # Folding itself could tell nobody.
            self._head = self.folder.open_file(HEAD, write=True, create=True)
            self._settle()

    def _head_to_read(self) -> File | None:
        try:
            return self.folder.open_file(HEAD)
        except FileNotFoundError:
            return None

    def _begin(self) -> None:
        """Make a store in a folder that is empty, or in which making one was interrupted."""
        for name in sorted(self.folder.names()):
            stamp = self.folder.stamp(name)
            ours = name in (LOCK, HEAD, FOLDING) or name.startswith(PREFIXES)
            if not ours or (stamp is not None and stamp.size and name.startswith(("log-", "run-"))):
                what = f"its manifest {NAME} is gone" if ours else f"{name!r} among them"
                raise NotAStore(
                    f"{self.where}: the folder holds other files ({what}) and no store; "
                    "give a folder of its own, empty or not there yet"
                )
            if name.startswith(PREFIXES):
                self.folder.unlink(name)
        log = log_name(1)
        self.folder.open_file(log, write=True, fresh=True).close()
        self.folder.sync_above()
        self.folder.sync()
        self.manifest.replace(Manifest(generation=1, log=log))

    def close(self) -> None:
        with self.mutex:
            view, self._view = self._view, None
            for part in () if view is None else view.parts:
                part.file.close()  # Whoever still holds the closed store must not keep its files open.
            self.lock.close()
            if self._head is not None:
                self._head.close()
            self.folder.close()

    # Reading -------------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        if self._view is None:
            raise Unavailable(f"{self.where}: the store is closed")
        return self._view

    def current(self) -> View:
        """The view with everything that was acknowledged before the call, whoever wrote it."""
        if self._head is None or self._head_bytes != self._head.read(0, HEAD_BYTES):
            with self.mutex, translating(self.where):
                self._load()
        return self.view

    def current_at_once(self) -> View | None:
        """The same, or None where something must be read or waited for first."""
        if self._head is not None and self._head_bytes == self._head.read(0, HEAD_BYTES):
            return self._view
        return None

    def snapshot(self) -> Snapshot:
        """What the store holds at this moment."""
        with self.mutex:
            return self.current().snapshot()

    def read_many(self, keys: Sequence[bytes]) -> list[Value | None]:
        """The values of some keys at one moment."""
        with self.mutex, translating(self.where):
            view = self.current()
            return [view.get(key) for key in keys]

    def _load(self) -> None:
        """Bring the view up to what the head and the manifest say now; under the mutex."""
        for attempt in range(_TRIES):
            data = b"" if self._head is None else self._head.read(0, HEAD_BYTES)
            head = read_head(data)
            view = self._view
            if view is None or head is None or head.generation != view.manifest.generation:
                try:
                    view = self._reloaded()
                except FileNotFoundError:
                    continue  # It was folded away between reading the manifest and opening what it names.
            length = length_by(view.manifest, head)
            if length is None and not self.options.read_only and attempt < _TRIES - 1:
                continue  # A head is being written, or the manifest was replaced in between.
            if length is None:  # Somebody spoilt it, or nobody could write it: the next writer makes it anew.
                length = standing(view.log.file.read(0, view.log.file.size), of_one=not view.manifest.fleeting)
            if length < view.log.length:
                raise Corrupt(
                    f"{self.where}: the store went back to an earlier state, as if it was restored while it was in use; "
                    "open it again"
                )
            view.log.catch_up(length)
            self._view, self._head_bytes = view, data
            return
        raise Corrupt(f"{self.where}: its files do not belong together; keep a copy of the folder and restore a backup")

    def _reloaded(self) -> View:
        found = self.manifest.read()
        if found is None:
            raise Corrupt(f"{self.where}: its manifest {NAME} is gone; restore a backup of the whole folder")
        manifest, stamp = found
        return view_of(manifest, stamp, self.folder, self.aside.tell, self._view, write=not self.options.read_only)

    # Writing -------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, lock: FileLock | None = None) -> Iterator[View]:
        """Hold the store for writing; the view is up to date and nobody else changes it meanwhile.

        `lock` is the holder of the thread that asks; the writing thread's is the engine's own.
        """
        if self.options.read_only:
            raise ReadOnly(f"{self.where}: the store was opened with mode=ro and takes no writes")
        with translating(self.where), (lock or self.lock).held(self.options.busy_timeout):
            self._settle()
            if self._distrusted == self.view.log.name:
                self.rotate()
            if not self.options.synchronous and not self.view.manifest.fleeting:
                before = self.view.manifest
                self.install(replaced(before, generation=before.generation + 1, fleeting=True))
            yield self.view

    def _settle(self) -> None:
        """Under the lock: take in what others did, and put in order what one that died left behind."""
        assert self._head is not None
        data = self._head.read(0, HEAD_BYTES)
        view = self._view
        if (
            view is not None
            and data == self._head_bytes
            and self.manifest.stamp() == view.stamp
            and view.log.file.linked_size == view.log.length
            and self._head.linked_size
        ):
            return
        with self.mutex:
            head = read_head(data)
            # A stamp alone does not tell: where clocks are coarse, the next but one can look like the one before.
            other = view is None or head is None or head.generation != view.manifest.generation
            if view is None or other or self.manifest.stamp() != view.stamp:
                view = self._reloaded()
                self.folder.sync()  # Whoever wrote this manifest may have died before its name was on the disk.
            self._check_place(view)
            size = view.log.file.size
            known = length_by(view.manifest, head) or 0
            certain = 0 if head is None else min(known, head.certain)
            uncertain = view.manifest.fleeting and self._view is None
            if uncertain:
                known = certain  # It may have been a loss of power that ended it: what is behind is nobody's promise.
            known = max(known, view.log.length)
            if size < known:
                raise Corrupt(
                    f"{self.where}: {view.log.name} is {known - size} bytes shorter than what was acknowledged: somebody "
                    f"cut it off from outside. Restore a backup, or remove the file {HEAD!r} to go on with what is left"
                )
            view.log.catch_up(known)
            self._certain = certain
            if size > known:
                self._mend(view, known, uncertain=uncertain)
            self._view = view
            self._publish(view)

    def _check_place(self, view: View) -> None:
        """Raise Corrupt when the files that the manifest names are there and are not those that are held open."""
        for file in (self._head, view.log.file):
            if file is not None and file.linked_size is None:
                raise Corrupt(
                    f"{self.where}: the file {file.name!r} was removed or replaced while the store was open, as if a "
                    "backup was put back; open the store again"
                )

    def _mend(self, view: View, known: int, *, uncertain: bool) -> None:
        """Judge what a writer appended and did not live to publish: whole lines stand, the rest is set aside.

        Where it is `uncertain` how many appends were lost, nothing stands behind the first line that is torn.
        """
        file = view.log.file
        file.sync()
        length = known + standing(file.read(known, file.size - known), of_one=not uncertain)
        rest = file.read(length, file.size - length)
        if rest:
            self.aside.keep(self.folder, view.log.name, length, rest, "it was torn when its writer died")
            os.ftruncate(file.descriptor, length)
            file.sync()
        view.log.catch_up(length)
        self._certain = length

    def _publish(self, view: View) -> None:
        assert self._head is not None
        head = Head(view.manifest.generation, view.log.length, min(self._certain, view.log.length))
        self._head_bytes = write_head(self._head, head)

    def append(self, lines: Sequence[bytes], entries: Iterable[Entry]) -> None:
        """Add lines to the log; on return they are on the disk and published. Only inside `writing`.

        `entries` are what the lines say, with places from where the first of them begins.

        Raises OSError when nothing was written, and Unavailable when that is not certain.
        """
        view = self.view
        log = view.log
        start = log.length
        data = b"".join(lines)
        try:
            log.file.write(data, start)
        except OSError as error:
            self._take_back(start, error)
            raise
        try:
            if self.options.synchronous:
                log.file.sync()
                self._certain = start + len(data)
        except OSError as error:
            # What the disk refused once it may now believe to have: this file takes no more writes from us.
            self._distrusted = log.name
            self._take_back(start, error)
            raise
        with self.mutex:
            log.apply(moved(entries, start), start + len(data))
            try:
                self._publish(view)
            except OSError as error:
                raise self._unknown(error) from error

    def _take_back(self, length: int, error: OSError) -> None:
        file = self.view.log.file
        try:
            os.ftruncate(file.descriptor, length)
        except OSError:
            self._distrusted = file.name
            raise self._unknown(error) from error

    def _unknown(self, error: OSError) -> Unavailable:
        reason = error.strerror or type(error).__name__
        return Unavailable(f"{self.where}: the system said {reason!r}. It is unknown whether the write took place")

    def install(self, manifest: Manifest) -> View:
        """Make `manifest` the truth; only inside `writing`."""
        self.folder.sync()  # What it names must last before it does: a file system may keep one name and lose another.
        stamp = self.manifest.replace(manifest)
        with self.mutex:
            view = view_of(manifest, stamp, self.folder, self.aside.tell, self._view, write=True)
            self._view = view
            self._publish(view)
        return view

    def rotate(self) -> View:
        """Begin a new log; the old one takes no more changes. Only inside `writing`."""
        before = self.view.manifest
        self.view.log.file.sync()  # Whoever wrote there may not have waited for the disk.
        self._certain = 0
        frozen = Frozen(before.log, self.view.log.length)
        generation = before.generation + 1
        name = log_name(generation)
        self.folder.unlink(name)  # Left by one that died before the manifest named it.
        self.folder.open_file(name, write=True, fresh=True).close()
        return self.install(
            replaced(before, generation=generation, log=name, logs=(frozen, *before.logs), fleeting=False)
        )
