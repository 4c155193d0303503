"""advanced-alchemy's asynchronous repository, as its documentation has it: a session per operation, `auto_commit`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from advanced_alchemy.config import AsyncSessionConfig, EngineConfig, SQLAlchemyAsyncConfig
from advanced_alchemy.filters import LimitOffset, OrderBy
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.orm import Mapped, mapped_column

from bench.entity import TABLE, Record
from bench.targets import Operation, Synchronous

from .base import PAGE, AsyncContender, Call, Contender
from .sa_core import JSON, address, prepare

__all__ = ["AdvancedAlchemy", "contender"]


class RecordModel(DefaultBase):
    """The entity as a declarative model."""

    __tablename__ = TABLE
    __table_args__ = (sa.Index(f"ix_{TABLE}_owner_id", "owner", "id"),)

    id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    owner: Mapped[str] = mapped_column(sa.Text)
    title: Mapped[str] = mapped_column(sa.Text)
    body: Mapped[str] = mapped_column(sa.Text)
    status: Mapped[str] = mapped_column(sa.Text)
    score: Mapped[int]
    ratio: Mapped[float]
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    note: Mapped[str | None] = mapped_column(sa.Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)


class Records(SQLAlchemyAsyncRepository[RecordModel]):
    """The repository."""

    model_type = RecordModel


class AdvancedAlchemy(AsyncContender):
    """A session for every operation, as a request handler has one."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        url, told = address(where)
        self._config = SQLAlchemyAsyncConfig(
            connection_string=url,
            engine_config=EngineConfig(connect_args=told),
            session_config=AsyncSessionConfig(expire_on_commit=False),
        )
        engine = self._config.get_engine()
        prepare(engine, synchronous)
        async with engine.begin() as connection:
            await connection.run_sync(RecordModel.metadata.create_all)

    async def close(self) -> None:
        await self._config.get_engine().dispose()

    def given(self, record: Record) -> Any:
        return RecordModel(**asdict(record))

    def call(self, operation: Operation) -> Call:
        calls: dict[Operation, Call] = {
            "get": self._do_get,
            "list": self._do_list,
            "insert": self._do_insert,
            "update": self._do_update,
            "upsert": self._do_upsert,
            "mutate": self._do_mutate,
            "add_many": self._do_add_many,
            "scan": self._do_scan,
        }
        return calls[operation]

    async def _do_get(self, key: str) -> Any:
        async with self._config.get_session() as session:
            return await Records(session=session).get(key)

    async def _do_list(self, owner: str) -> Any:
        async with self._config.get_session() as session:
            return await Records(session=session).list(LimitOffset(PAGE, 0), OrderBy("id"), owner=owner)

    async def _do_insert(self, model: RecordModel) -> None:
        async with self._config.get_session() as session:
            await Records(session=session).add(model, auto_commit=True)

    async def _do_update(self, model: RecordModel) -> None:
        async with self._config.get_session() as session:
            await Records(session=session).update(model, auto_commit=True)

    async def _do_upsert(self, model: RecordModel) -> None:
        async with self._config.get_session() as session:
            await Records(session=session).upsert(model, auto_commit=True)

    async def _do_mutate(self, key: str) -> None:
        async with self._config.get_session() as session:
            repository = Records(session=session)
            model = await repository.get(key)
            model.score += 1
            await repository.update(model, auto_commit=True)

    async def _do_add_many(self, models: list[RecordModel]) -> int:
        async with self._config.get_session() as session:
            return len(await Records(session=session).add_many(models, auto_commit=True))

    async def _do_scan(self, _: None) -> int:
        """It has no scan of its own; its session streams the mapped objects."""
        read = 0
        statement = sa.select(RecordModel).order_by(RecordModel.id).execution_options(yield_per=1000)
        async with self._config.get_session() as session:
            async for _model in await session.stream_scalars(statement):
                read += 1
        return read


def contender() -> Contender:
    """A new one."""
    return AdvancedAlchemy()
