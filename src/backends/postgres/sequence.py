"""The sequence behind a key that the store gives out: no number twice, and none that a record already has."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from .connection import Connection
from .statements import DIALECT, Lies, quote

__all__ = ["Sequence"]

STEPS: Final = 1_000
"""Up to so many numbers are passed by taking them, which no other session can come between."""


class Sequence:
    """What is known of a table's sequence. It only ever goes forward."""

    def __init__(self, lies: Lies, column: str) -> None:
        name = lies.sequence or ""
        self._literal = str(sa.literal(name).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
        self._highest = f"SELECT max({quote(column)}) FROM {lies.name}"
        self._look = f"SELECT last_value, is_called FROM {name}"
        self._jump = f"SELECT setval({self._literal}::regclass, $1::int8) FROM {name} WHERE last_value < $1::int8"
        self.take = f"SELECT nextval({self._literal}::regclass) FROM generate_series(1, $1::int8)"
        self._passed = -(2**63)

    def saw(self, number: int) -> None:
        """The sequence gave out this number, so that it is behind."""
        self._passed = max(self._passed, number)

    def is_behind(self, number: int) -> bool:
        """Whether the sequence will surely not give out this number any more."""
        return number <= self._passed

    async def pass_by(self, connection: Connection, number: int) -> None:
        """See that the sequence gives out no number up to this one. Does nothing where it is further on."""
        if self.is_behind(number):
            return
        ((last, called),) = await connection.fetch(self._look)
        ahead = number - (last if called else last - 1)
        if 0 < ahead <= STEPS:
            rows = await connection.fetch(self.take, ahead)
            self.saw(max(row[0] for row in rows))
        elif ahead > 0:
            await connection.fetch(self._jump, number)
        self._passed = max(self._passed, number)

    async def pass_everything(self, connection: Connection) -> None:
        """Catch up with numbers that others gave to records without telling the sequence."""
        ((highest,),) = await connection.fetch(self._highest)
        if highest is not None:
            self._passed = min(self._passed, highest - 1)
            await self.pass_by(connection, highest)
