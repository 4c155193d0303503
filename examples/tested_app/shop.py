"""A shop: articles, orders, and the rule that nobody orders what is not there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated

import crossfade
from crossfade import Ref, Repository, Scope

__all__ = ["ENTITIES", "Article", "Articles", "Order", "Orders", "SoldOut"]


@crossfade.entity("articles", key="name", group="shop", search=("name", "about"))
@dataclass(slots=True, kw_only=True)
class Article:
    name: str
    about: str = ""
    cents: int
    in_stock: int = 0


@crossfade.entity("orders", key="id", group="shop")
@dataclass(slots=True, kw_only=True)
class Order:
    id: str = field(default_factory=crossfade.new_id)
    article: Annotated[str, Ref("articles")]
    customer: str
    pieces: int
    cents: int
    placed_at: datetime


class SoldOut(Exception):
    """There are not so many left. The application's own error: no store knows of it."""


class Articles(Repository[Article]):
    async def restock(self, name: str, pieces: int) -> Article:
        return await self.mutate(name, lambda article: replace(article, in_stock=article.in_stock + pieces))


class Orders(Repository[Order]):
    async def place(self, customer: str, article: str, pieces: int = 1) -> Order:
        """Take the pieces out of the stock and write the order, together. Raises SoldOut, and Missing without the article."""

        async def work(unit: Scope) -> Order:
            found = await unit.repository(Articles).get(article)
            if found.in_stock < pieces:
                raise SoldOut(f"{article}: {found.in_stock} left")
            await unit.repository(Articles).patch(article, in_stock=found.in_stock - pieces)
            moment = self.store.runtime.clock.now()
            placed = Order(
                article=article, customer=customer, pieces=pieces, cents=pieces * found.cents, placed_at=moment
            )
            return await unit.repository(Orders).add(placed)

        # Whoever takes the last one makes the others look again.
        return await self.store.transact(work, attempts=50)

    async def turnover(self) -> dict[str, int]:
        """What each article brought in, in cents."""
        o = crossfade.fields(Order)
        return {row["article"]: row["cents"] for row in await self.aggregate({"cents": o.cents.sum()}, by=o.article)}


ENTITIES = [Article, Order]
