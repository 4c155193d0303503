"""An application under load on a server that keeps dying, and the account of what it was promised.

The application is this very process: it opens its store once and never again. Every writer knows, for
each record of its own, the states that the store may hold: one, or two after a write whose outcome is
unknown. After every disturbance the load is held for a moment and a connection of the driver's own compares.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import crossfade

from .servers import Server

__all__ = ["ENTITIES", "FULL", "Disturbance", "Figures", "torture"]

FULL: Final = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
"""The long runs of `make torture`, instead of what every run of the suite can afford."""

KEYS: Final = 12
"""How many records each writer changes over and over."""

CRATE: Final = 600
"""How many records each writer adds at once now and then: enough for COPY."""


@crossfade.entity("pages", key="id", search=("body",))
@dataclass(slots=True, kw_only=True)
class Page:
    """All columns tell the same number: a torn row would tell two."""

    id: str
    number: int
    twin: int
    body: str
    tags: list[str] = field(default_factory=list)


@crossfade.entity("halves", key="id")
@dataclass(slots=True, kw_only=True)
class Half:
    """Units change it together with the page of the same id."""

    id: str
    number: int


@crossfade.entity("notes", key="id")
@dataclass(slots=True, kw_only=True)
class Note:
    """Its key comes from the store's sequence."""

    id: int | None = None
    text: str = ""


@crossfade.entity("tallies", key="id")
@dataclass(slots=True, kw_only=True)
class Tally:
    """Everybody counts it up."""

    id: str
    value: int = 0


ENTITIES: Final[list[type[Any]]] = [Page, Half, Note, Tally]

Disturbance = Callable[[Server, random.Random], Awaitable[bool]]
"""Does something to the server and returns when it takes connections again; False when it found nothing to disturb."""

Place = tuple[str, str]
State = int | None


def page(key: str, number: int) -> Page:
    """The page that tells `number`."""
    return Page(id=key, number=number, twin=number, body=f"n{number} " * 30, tags=[f"n{number}"])


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    disturbed: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    refused: int = 0
    verified: int = 0
    pauses: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        acknowledged = ", ".join(f"{kind} {count}" for kind, count in sorted(self.acknowledged.items()))
        pause = f"{statistics.median(self.pauses):.3f} s (longest {max(self.pauses):.3f} s)" if self.pauses else "none"
        return (
            f"{self.disturbed} disturbances; {self.acknowledged.total()} writes acknowledged ({acknowledged}), "
            f"{self.unknown} of unknown outcome, {self.refused} refused; {self.verified} rows compared, none lost or torn; "
            f"median time from a server that is ready to an acknowledgement {pause}"
        )


class Account:
    """What the store owes to its writers."""

    def __init__(self) -> None:
        self.states: dict[Place, State] = {}
        self.doubts: list[dict[Place, tuple[State, State]]] = []
        self.notes: dict[int, str] = {}
        self.doubtful_notes: set[str] = set()
        self.counted = 0
        self.perhaps_counted = 0
        self.figures = Figures()

    def in_doubt(self, place: Place) -> bool:
        """Whether the outcome of a write to it is unknown still."""
        return any(place in doubt for doubt in self.doubts)

    async def change(self, kind: str, after: dict[Place, State], write: Awaitable[Any]) -> bool:
        """Await one write, which is to bring places to their states, all or none; True when it was acknowledged."""
        before = {place: self.states.get(place) for place in after}
        known = await self.attempt(kind, write)
        if known is True:
            self.states.update(after)
        elif known is None:
            self.doubts.append({place: (before[place], after[place]) for place in after})
        return known is True

    async def attempt(self, kind: str, write: Awaitable[Any]) -> bool | None:
        """True: acknowledged. False: refused, so that nothing took place. None: unknown, and the error said so."""
        try:
            await write
        except crossfade.Unavailable as error:
            if "unknown" in str(error):
                self.figures.unknown += 1
                return None
            self.figures.refused += 1
            return False
        self.figures.acknowledged[kind] += 1
        return True


class Writer:
    """One task that writes in every way there is, to records that are its own and to one that is everybody's."""

    def __init__(self, name: str, store: crossfade.Store, account: Account, seed: int) -> None:
        self._account = account
        self._store = store
        self._pages = store.repository(Page)
        self._halves = store.repository(Half)
        self._notes = store.repository(Note)
        self._tallies = store.repository(Tally)
        self._keys = [f"{name}-{number}" for number in range(KEYS)]
        self._crate = [f"{name}-crate-{number}" for number in range(CRATE)]
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._ways: list[Callable[[], Awaitable[None]]] = [
            *(self.add_or_delete, self.update, self.upsert, self.patch, self.mutate),
            *(self.tally, self.note, self.unit, self.decide, self.many, self.crate, self.look),
        ]

    async def step(self) -> None:
        """One operation, chosen by chance."""
        await self._chance.choice(self._ways)()

    def _key(self, *, there: bool | None = None) -> str | None:
        """One of the keys whose state is known, with a record or without."""
        states = self._account.states
        fit = [
            key
            for key in self._keys
            if not self._account.in_doubt(("pages", key))
            and not self._account.in_doubt(("halves", key))
            and there in (None, states.get(("pages", key)) is not None)
        ]
        return self._chance.choice(fit) if fit else None

    async def add_or_delete(self) -> None:
        key, number = self._key(), next(self._numbers)
        if key is None:
            return
        if self._account.states.get(("pages", key)) is None:
            await self._account.change("add", {("pages", key): number}, self._pages.add(page(key, number)))
        else:
            await self._account.change("delete", {("pages", key): None}, self._pages.delete(key))

    async def update(self) -> None:
        key, number = self._key(there=True), next(self._numbers)
        if key is not None:
            await self._account.change("update", {("pages", key): number}, self._pages.update(page(key, number)))

    async def upsert(self) -> None:
        key, number = self._key(), next(self._numbers)
        if key is not None:
            await self._account.change("upsert", {("pages", key): number}, self._pages.upsert(page(key, number)))

    async def patch(self) -> None:
        key, number = self._key(there=True), next(self._numbers)
        if key is not None:
            new = page(key, number)
            work = self._pages.patch(key, number=new.number, twin=new.twin, body=new.body, tags=new.tags)
            await self._account.change("patch", {("pages", key): number}, work)

    async def mutate(self) -> None:
        key, number = self._key(there=True), next(self._numbers)
        if key is not None:
            work = self._pages.mutate(key, lambda old: page(old.id, number))
            await self._account.change("mutate", {("pages", key): number}, work)

    async def tally(self) -> None:
        work = self._tallies.mutate("all", lambda old: Tally(id="all", value=old.value + 1))
        known = await self._account.attempt("tally", work)
        self._account.counted += known is True
        self._account.perhaps_counted += known is None

    async def note(self) -> None:
        text = f"{self._keys[0]} {next(self._numbers)}"
        added: list[Note] = []

        async def add() -> None:
            added.append(await self._notes.add(Note(text=text)))

        known = await self._account.attempt("note", add())
        if known is None:
            self._account.doubtful_notes.add(text)
        for one in added:
            assert one.id is not None
            assert one.id not in self._account.notes, "an integer key was given out twice"
            self._account.notes[one.id] = text

    async def unit(self) -> None:
        key, number = self._key(), next(self._numbers)
        if key is None:
            return

        async def both() -> None:
            async with self._store.unit() as unit:
                await unit.repository(Page).upsert(page(key, number))
                await unit.repository(Half).upsert(Half(id=key, number=number))

        await self._account.change("unit", {("pages", key): number, ("halves", key): number}, both())

    async def decide(self) -> None:
        """A unit that reads before it writes, so that it is guarded."""
        key, number = self._key(there=True), next(self._numbers)
        if key is None:
            return

        async def both() -> None:
            async with self._store.unit() as unit:
                found = await unit.repository(Page).get(key)
                await unit.repository(Page).update(page(found.id, number))
                await unit.repository(Half).upsert(Half(id=key, number=number))

        await self._account.change("decide", {("pages", key): number, ("halves", key): number}, both())

    async def many(self) -> None:
        keys = [key for key in self._keys if not self._account.in_doubt(("pages", key))]
        missing = [key for key in keys if self._account.states.get(("pages", key)) is None]
        number = next(self._numbers)
        way = self._chance.randrange(3)
        if way == 0 and missing:
            work: Awaitable[Any] = self._pages.add_many([page(key, number) for key in missing])
            await self._account.change("add_many", {("pages", key): number for key in missing}, work)
        elif way == 1 and keys:
            work = self._pages.upsert_many([page(key, number) for key in keys])
            await self._account.change("upsert_many", {("pages", key): number for key in keys}, work)
        elif keys:
            some = self._chance.sample(keys, min(3, len(keys)))
            work = self._pages.delete_many(some)
            await self._account.change("delete_many", {("pages", key): None for key in some}, work)

    async def crate(self) -> None:
        first = ("pages", self._crate[0])
        if self._account.in_doubt(first):
            return
        if self._account.states.get(first) is None:
            number = next(self._numbers)
            work: Awaitable[Any] = self._pages.add_many([page(key, number) for key in self._crate])
            await self._account.change("copy", {("pages", key): number for key in self._crate}, work)
        else:
            work = self._pages.delete_many(self._crate)
            await self._account.change("delete_many", {("pages", key): None for key in self._crate}, work)

    async def look(self) -> None:
        """Read what was acknowledged: it is there while everything around it fails, or the read says that it cannot be had."""
        key = self._key()
        if key is None:
            return
        try:
            found = await self._pages.find(key)
        except crossfade.Unavailable:
            return
        expected = self._account.states.get(("pages", key))
        assert found == (None if expected is None else page(key, expected)), f"{key}: an acknowledged write is not read"


class Load:
    """The writers as tasks, which can be held between two operations."""

    def __init__(self, store: crossfade.Store, account: Account, writers: int, seed: int) -> None:
        self._account = account
        self._open = asyncio.Event()
        self._open.set()
        self._busy = 0
        self._still = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._run(Writer(f"w{number}", store, account, seed * 1000 + number)))
            for number in range(writers)
        ]

    async def _run(self, writer: Writer) -> None:
        while True:
            await self._open.wait()
            self._busy += 1
            try:
                await writer.step()
            finally:
                self._busy -= 1
                if not self._busy:
                    self._still.set()
            await asyncio.sleep(0)

    async def acknowledged(self, more: int, seconds: float = 30.0) -> None:
        """Wait until so many more writes were acknowledged; raises what a writer raised."""
        wanted = self._account.figures.acknowledged.total() + more
        async with asyncio.timeout(seconds):
            while self._account.figures.acknowledged.total() < wanted:
                self.check()
                await asyncio.sleep(0.001)

    def check(self) -> None:
        """Raise what a writer raised."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def hold(self) -> None:
        """Let what was begun end, and begin nothing."""
        self._open.clear()
        async with asyncio.timeout(30):
            while self._busy:
                self._still.clear()
                await self._still.wait()
        self.check()

    def go_on(self) -> None:
        """Begin again."""
        self._open.set()

    async def end(self) -> None:
        """Stop the writers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def compare(server: Server, account: Account) -> None:
    """Look into the store past the library: acknowledged states are there, doubtful ones are old or new and whole."""
    connection = await server.connect()
    try:
        await server.still(connection)
        pages = await connection.fetch("SELECT id, number, twin, body, tags::text AS tags FROM pages")
        halves = await connection.fetch("SELECT id, number FROM halves")
        notes = {row["id"]: row["text"] for row in await connection.fetch("SELECT id, text FROM notes")}
        total = await connection.fetchval("SELECT value FROM tallies")
    finally:
        await connection.close()
    for row in pages:
        whole = page(row["id"], row["number"])
        assert (row["twin"], row["body"]) == (whole.twin, whole.body), f"{row['id']} is torn"
        assert row["tags"] == f'["{whole.tags[0]}"]', f"{row['id']} is torn"
    lying: dict[Place, State] = {("pages", row["id"]): row["number"] for row in pages}
    lying.update({("halves", row["id"]): row["number"] for row in halves})
    _settle_doubts(account, lying)
    held = {place: number for place, number in account.states.items() if number is not None}
    wrong = {place: (held.get(place), lying.get(place)) for place in held.keys() | lying.keys()}
    wrong = {place: pair for place, pair in wrong.items() if pair[0] != pair[1]}
    assert not wrong, f"acknowledged and found differ: {wrong}"
    lost = {number: text for number, text in account.notes.items() if notes.get(number) != text}
    assert not lost, f"acknowledged notes are not there: {lost}"
    extra = [text for number, text in notes.items() if number not in account.notes]
    assert set(extra) <= account.doubtful_notes, "a note is there that was refused"
    assert len(set(extra)) == len(extra), "a note was added twice"
    assert account.counted <= total <= account.counted + account.perhaps_counted, (
        f"the tally is {total}; acknowledged {account.counted}, unknown {account.perhaps_counted}"
    )
    account.counted, account.perhaps_counted = total, 0
    account.notes, account.doubtful_notes = notes, set()
    account.figures.verified += len(pages) + len(halves) + len(notes)


def _settle_doubts(account: Account, lying: dict[Place, State]) -> None:
    """What was in doubt is known from here on: old, or new, and as one where it was written as one."""
    # Nothing else was written to a place in doubt, so each doubt can be judged by itself.
    for doubt in account.doubts:
        is_old = all(lying.get(place) == old for place, (old, _) in doubt.items())
        is_new = all(lying.get(place) == new for place, (_, new) in doubt.items())
        found = {place: lying.get(place) for place in doubt}
        assert is_old or is_new, f"neither old nor new: {doubt}, found {found}"
        account.states.update(found)
    account.doubts.clear()


async def torture(
    server: Server, url: str, disturbances: Sequence[Disturbance], *, writers: int = 8, seed: int = 1
) -> Figures:
    """Disturb the server as often as there are disturbances, each time in the midst of the load; compare after each."""
    account, chance = Account(), random.Random(seed)
    async with crossfade.open(url, entities=ENTITIES) as store:
        await store.repository(Tally).upsert(Tally(id="all"))
        load = Load(store, account, writers, seed)
        try:
            for disturb in disturbances:
                await load.acknowledged(chance.randrange(20, 120))
                await asyncio.sleep(chance.random() * 0.005)
                account.figures.disturbed += await disturb(server, chance)
                ready = time.monotonic()
                await load.acknowledged(1)
                account.figures.pauses.append(time.monotonic() - ready)
                await load.acknowledged(writers)
                await load.hold()
                await compare(server, account)
                load.go_on()
        finally:
            await load.end()
    return account.figures


async def killed(server: Server, chance: random.Random) -> bool:
    """SIGKILL for all of the server, some downtime, and a start from what lies on the disk."""
    server.kill9()
    await asyncio.sleep(chance.random() * 0.2)
    await asyncio.to_thread(server.start)
    return True


async def beheaded(server: Server, chance: random.Random) -> bool:
    """SIGKILL for the postmaster alone, and a start while its children may still be ending."""
    server.behead()
    await asyncio.to_thread(server.start)
    return True


async def crippled(server: Server, chance: random.Random) -> bool:
    """SIGKILL for one serving process: the postmaster ends all others and recovers by itself."""
    pids = await _serving(server)
    if not pids:
        return False
    server.kill9_backend(chance.choice(pids))
    return True


async def restarted(server: Server, chance: random.Random) -> bool:
    """A restart in order (SIGINT), or at once without a checkpoint (SIGQUIT)."""
    await asyncio.to_thread(server.stop, chance.choice([signal.SIGINT, signal.SIGQUIT]))
    await asyncio.to_thread(server.start)
    return True


async def terminated(server: Server, chance: random.Random) -> bool:
    """An administrator ends one connection in the midst of its work."""
    connection = await server.connect()
    try:
        pids = await _serving(server, connection)
        return bool(pids) and bool(await connection.fetchval("SELECT pg_terminate_backend($1)", chance.choice(pids)))
    finally:
        await connection.close()


async def _serving(server: Server, connection: Any | None = None) -> list[int]:
    own = connection or await server.connect()
    try:
        rows = await own.fetch(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
            "ORDER BY state = 'idle', pid"
        )
        return [row["pid"] for row in rows]
    finally:
        if connection is None:
            await own.close()
