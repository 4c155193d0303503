"""A few connections that are handed around, and what is done when one of them fails.

Nothing is sent when a connection comes back: whoever had it left no transaction open, or it is dropped.
Work runs in tasks of its own, so that a caller who gives up never leaves a connection half way.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import tenacity

from ...errors import CrossfadeError, Unavailable
from .connection import Connection, Options, connect, transaction_start
from .driver import asyncpg
from .errors import DRIVER_ERRORS, is_busy, is_lost, may_be_tried_again, unknown_outcome

__all__ = ["Pool", "deliver", "spawn"]

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


PAUSE = 0.05
"""The most seconds between two attempts to get at what another session holds."""


class Unknown(Exception):
    """The connection was lost while a write was under way; the argument is the driver's error."""


def spawn(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that begins at once where Python can do that, instead of in the loop's next turn."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


class Pool:
    """At most `options.pool` connections, made when they are needed; the one used last is used first."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._idle: list[Connection] = []
        self._count = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed = False

    # Connections --------------------------------------------------------------------------------

    async def _acquire(self) -> Connection:
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._count -= 1
            if self._count < self._options.pool:
                self._count += 1
                try:
                    return await connect(self._options)
                except BaseException:
                    self._gone()
                    raise
            waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            connection = await waiter
            if connection is not None:
                return connection

    def _release(self, connection: Connection) -> None:
        if connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._gone()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def _gone(self) -> None:
        """A connection is no more: whoever waits first may make another."""
        self._count -= 1
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def close(self) -> None:
        """Finish what was begun, then close every connection."""
        self.closed = True
        await asyncio.sleep(0)  # What callers asked for in this turn is begun in the next.
        while self._tasks:
            await asyncio.wait(self._tasks)
        idle, self._idle = self._idle, []
        self._count -= len(idle)
        await asyncio.gather(
            *map(self._end, idle)
        )  # At once: each may take the whole time allowed where nobody answers.

    async def _end(self, connection: Connection) -> None:
        try:
            await connection.close(timeout=self._options.connect_timeout or None)
        except DRIVER_ERRORS:
            connection.terminate()

    # Work ---------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run work to its end, whatever becomes of whoever waits for it; the future brings what it returns or raises."""
        if self.closed:
            work.close()
            raise Unavailable(f"{self._options.where}: the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = spawn(work)
        self._watch(task)
        if task.done():
            settle(future, task)
        else:
            task.add_done_callback(lambda done: settle(future, done))
        return future

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that tells whom it concerns by itself; closing waits for it."""
        self._watch(spawn(work))

    def _watch(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def reading(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement that changes nothing, tried again as long as a failure may pass."""
        return await self.trying(lambda connection: self._fetch(connection, text, values))

    async def writing(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of ONE statement that changes something, in a transaction of its own.

        Tried again where it is certain that it took no effect; raises the driver's errors, and
        Unavailable where the outcome is unknown.
        """
        return await self.trying(lambda connection: self._change(connection, text, values))

    async def patiently(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """The same, for one caller's change: it waits for locks as long as a statement may take."""
        return await self._waiting(lambda: self.writing(text, values))

    async def alone(self, work: Work[T]) -> T:
        """What `work` returns, which sends ONE statement that changes something."""
        return await self.trying(lambda connection: self._by_itself(connection, work))

    async def opening(self, work: Work[T]) -> T:
        """What `work` returns, tried again only while the server is there and cannot take another connection yet."""
        try:
            return await self._once(work)
        except DRIVER_ERRORS as error:
            if not is_busy(error) or self._options.retry <= 0:
                raise
        return await self._again(work, is_busy)

    async def patient_transaction(self, work: Work[T], how: str = "") -> T:
        """As `transaction`, waiting for locks as long as a statement may take."""
        return await self._waiting(lambda: self.transaction(work, how))

    async def _waiting(self, attempt: Callable[[], Awaitable[T]]) -> T:
        clock = asyncio.get_running_loop().time
        until = clock() + self._options.statement_timeout
        while True:
            try:
                return await attempt()
            except asyncpg.LockNotAvailableError:
                if self._options.statement_timeout and clock() > until:
                    raise
            await asyncio.sleep(random.uniform(0, PAUSE))

    async def transaction(self, work: Work[T], how: str = "") -> T:
        """What `work` returns, in a transaction that begins with `how`; tried again as a whole where that is safe."""
        return await self.trying(lambda connection: self._inside(connection, work, how))

    async def trying(self, work: Work[T]) -> T:
        """Run work on a connection, again where its failure may pass; it raises Unknown where it may not be repeated."""
        try:
            return await self._once(work)
        except Unknown:
            raise unknown_outcome(self._options.where) from None
        except DRIVER_ERRORS as error:
            if not may_be_tried_again(error) or self._options.retry <= 0:
                raise
        return await self._again(work)

    async def _again(self, work: Work[T], if_: Callable[[BaseException], bool] = may_be_tried_again) -> T:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_delay(self._options.retry),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=1.0),
            retry=tenacity.retry_if_exception(if_),
            reraise=True,
        )
        try:
            return await retrying(self._once, work)
        except Unknown:
            raise unknown_outcome(self._options.where) from None

    async def _once(self, work: Work[T]) -> T:
        connection = await self._acquire()
        try:
            return await work(connection)
        except BaseException as error:
            if is_lost(error) or not isinstance(error, Exception):
                connection.terminate()
            raise
        finally:
            self._release(connection)

    async def _fetch(self, connection: Connection, text: str, values: Sequence[Any]) -> list[Any]:
        if self._options.transaction_pooler:
            return await self._inside(connection, lambda inner: inner.fetch(text, *values), " READ ONLY")
        rows: list[Any] = await connection.fetch(text, *values)
        return rows

    async def _change(self, connection: Connection, text: str, values: Sequence[Any]) -> list[Any]:
        rows: list[Any] = await self._by_itself(connection, lambda inner: inner.fetch(text, *values))
        return rows

    async def _by_itself(self, connection: Connection, work: Work[T]) -> T:
        if self._options.transaction_pooler:
            return await self._inside(connection, work, "")
        try:
            return await work(connection)
        except DRIVER_ERRORS as error:
            if is_lost(error):
                raise Unknown(error) from error
            raise

    async def _inside(self, connection: Connection, work: Work[T], how: str) -> T:
        await connection.execute(transaction_start(self._options, how))
        try:
            result = await work(connection)
        except BaseException:
            await _roll_back(connection)
            raise
        try:
            await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if is_lost(error):
                raise Unknown(error) from error
            await _roll_back(connection)
            raise
        return result


async def _roll_back(connection: Connection) -> None:
    if not connection.is_closed():
        try:
            await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            connection.terminate()


def settle(future: asyncio.Future[T], task: asyncio.Task[T]) -> None:
    """Hand on what a task came to, unless nobody waits any more."""
    error = task.exception()
    if future.done():
        return
    if error is None:
        future.set_result(task.result())
    else:
        deliver(future, error)


def deliver(future: asyncio.Future[Any], error: BaseException) -> None:
    """Hand an error on, without the frames it came through: they hold rows, and rows hold secrets in the clear."""
    if isinstance(error, CrossfadeError):
        error.__cause__ = error.__context__ = None
        error.__traceback__ = None
    elif isinstance(error, StopIteration):
        # A future cannot carry it, as it would end whatever generator it passes through.
        carried = RuntimeError("a function given to mutate() raised StopIteration")
        carried.__cause__ = error
        error = carried
    future.set_exception(error)
    future.exception()  # Heard: whoever waited may be cancelled in this very turn, and nobody must miss it then.
