"""Each test runs once for each store, on a new, empty one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

import crossfade
from crossfade import DanglingReference, Missing, Runtime, Store, SyncStore
from crossfade.testing import ManualClock

from .shop import Article, Articles, Order, Orders, SoldOut


async def test_an_order_takes_from_the_stock(crossfade_store: Store) -> None:
    articles, orders = crossfade_store.repository(Articles), crossfade_store.repository(Orders)
    await articles.add(Article(name="tea", cents=350, in_stock=3))
    order = await orders.place("ada", "tea", 2)
    assert (order.cents, (await articles.get("tea")).in_stock) == (700, 1)


async def test_what_is_refused_changes_nothing(crossfade_store: Store) -> None:
    articles, orders = crossfade_store.repository(Articles), crossfade_store.repository(Orders)
    await articles.add(Article(name="tea", cents=350, in_stock=1))
    with pytest.raises(SoldOut, match="1 left"):
        await orders.place("ada", "tea", 2)
    with pytest.raises(Missing):
        await orders.place("ada", "coffee")
    assert ((await articles.get("tea")).in_stock, await orders.count()) == (1, 0)


async def test_the_last_piece_is_sold_once(crossfade_store: Store) -> None:
    """Eight customers at the same moment, and three pieces."""
    articles, orders = crossfade_store.repository(Articles), crossfade_store.repository(Orders)
    await articles.add(Article(name="tea", cents=350, in_stock=3))
    tries = await asyncio.gather(*(orders.place(f"c{n}", "tea") for n in range(8)), return_exceptions=True)
    assert sum(isinstance(found, Order) for found in tries) == 3
    assert sum(isinstance(found, SoldOut) for found in tries) == 5
    assert (await articles.get("tea")).in_stock == 0


async def test_turnover(crossfade_store: Store) -> None:
    articles, orders = crossfade_store.repository(Articles), crossfade_store.repository(Orders)
    await articles.add_many([Article(name="tea", cents=350, in_stock=9), Article(name="mate", cents=400, in_stock=9)])
    for article, pieces in (("tea", 2), ("mate", 1), ("tea", 1)):
        await orders.place("ada", article, pieces)
    assert await orders.turnover() == {"mate": 400, "tea": 1050}


async def test_an_article_that_was_ordered_stays(crossfade_store: Store) -> None:
    articles, orders = crossfade_store.repository(Articles), crossfade_store.repository(Orders)
    await articles.add(Article(name="tea", cents=350, in_stock=1))
    await orders.place("ada", "tea")
    with pytest.raises(DanglingReference):
        await articles.delete("tea")


async def test_search(crossfade_store: Store) -> None:
    articles = crossfade_store.repository(Articles)
    await articles.add(Article(name="tea", about="green, from the hills", cents=350))
    assert [article.name for article in await articles.search("GREEN tea")] == ["tea"]


class TestTime:
    """A clock that stands still, so that a time can be compared."""

    @pytest.fixture
    def crossfade_runtime(self) -> Runtime:
        return Runtime(clock=ManualClock(datetime(2026, 11, 21, 9, tzinfo=UTC)))

    async def test_an_order_knows_when_it_was_placed(self, crossfade_store: Store) -> None:
        await crossfade_store.repository(Articles).add(Article(name="tea", cents=350, in_stock=1))
        order = await crossfade_store.repository(Orders).place("ada", "tea")
        assert order.placed_at == datetime(2026, 11, 21, 9, tzinfo=UTC)


def test_without_an_event_loop(crossfade_store_sync: SyncStore) -> None:
    articles = crossfade_store_sync.repository(Articles)
    articles.add(Article(name="tea", cents=350))
    articles.restock("tea", 5)
    a = crossfade.fields(Article)
    assert [found.name for found in articles.page(a.in_stock >= 5)] == ["tea"]
