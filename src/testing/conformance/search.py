"""Searching: whole words, without regard to case, all of them, in whichever search field."""

from __future__ import annotations

from typing import Any

import pytest

from ...entity import fields
from ...errors import InvalidQuery, Unsupported
from ...repos.repository import Repository
from .entities import Account, Document, Note, Server
from .harness import Place
from .suite import Suite

__all__ = ["TestSearch"]

D = fields(Document)

FOUND: list[tuple[str, str | None, str, bool]] = [
    ("quick fox", None, "quick", True),
    ("quick fox", None, "QUICK Fox", True),
    ("quick fox", None, "fox quick", True),
    ("quick", "fox", "quick fox", True),
    ("quick fox", None, "qui", False),
    ("quick fox", None, "uick", False),
    ("quick fox", None, "quick dog", False),
    ("quick fox", None, "quickfox", False),
    ("quick-fox", None, "fox", True),
    ("quick_fox", None, "fox", True),
    ("quick.fox/dog", None, "quick dog", True),
    ("it's", None, "it s", True),
    ("Straße", None, "STRASSE", True),
    ("STRASSE", None, "straße", True),
    ("\ufb01n", None, "fin", True),
    ("Ångström", None, "a\u030angstro\u0308m", True),
    ("caf\u00e9", None, "cafe\u0301", True),
    ("caf\u00e9", None, "cafe", False),
    ("ΣΊΣΥΦΟΣ", None, "σίσυφος", True),
    ("İstanbul", None, "i\u0307stanbul", True),
    ("日本語", None, "日本語", True),
    ("Привет мир", None, "ПРИВЕТ", True),
    ("v2 42 3.14", None, "42", True),
    ("v2 42 3.14", None, "14 v2", True),
    ("v2 42", None, "2", False),
    ("\u216b", None, "xii", True),
    ("a" * 200, None, "a" * 128, True),
    ("a" * 200, None, "a" * 127, False),
    ("", "", "x", False),
    ("NOT and OR near", None, "not or", True),
    ("x" * 20_000 + " end", None, "end", True),
]


async def ids(documents: Repository[Document], text: str, *args: Any, **more: Any) -> set[str]:
    return {document.id for document in await documents.search(text, *args, **more)}


class TestSearch(Suite):
    async def test_what_is_found(self, place: Place) -> None:
        wrong = []
        async with place.store(Document) as store:
            documents = store.repository(Document)
            if store.capabilities(Document).full_text == "none":
                with pytest.raises(Unsupported):
                    await documents.search("x")
                return
            for number, (title, body, text, expected) in enumerate(FOUND):
                key = f"{number:02}"
                await documents.add(Document(id=key, title=title, body=body, other=text))
                if (key in await ids(documents, text)) is not expected:
                    wrong.append((title, body, text))
                await documents.delete(key)
        assert not wrong

    async def test_all_of_them_and_no_others(self, place: Place) -> None:
        async with place.store(Document) as store:
            documents = store.repository(Document)
            if store.capabilities(Document).full_text == "none":
                return
            await documents.add_many(
                [
                    Document(id="a", title="red green", shelf=1),
                    Document(id="b", title="red", body="green blue", shelf=2),
                    Document(id="c", title="RED", other="green", shelf=1),
                    Document(id="d", body="redgreen"),
                ]
            )
            assert await ids(documents, "red") == {"a", "b", "c"}
            assert await ids(documents, "red green") == {"a", "b"}
            assert await ids(documents, "green red red") == {"a", "b"}
            assert await ids(documents, "red green blue") == {"b"}
            assert await ids(documents, "redgreen") == {"d"}
            assert await ids(documents, "red", D.shelf == 1) == {"a", "c"}
            assert await ids(documents, "red", (D.shelf > 1) | (D.title == "RED")) == {"b", "c"}
            assert await ids(documents, "red", shelf=2) == {"b"}
            assert await ids(documents, "red", shelf=9) == set()
            assert len(await documents.search("red", limit=2)) == 2

    async def test_it_follows_every_write(self, place: Place) -> None:
        async with place.store(Document) as store:
            documents = store.repository(Document)
            if store.capabilities(Document).full_text == "none":
                return
            await documents.add_many([Document(id=key, title="one") for key in "abcde"])
            await documents.update(Document(id="a", title="two"))
            await documents.patch("b", title="two")
            await documents.mutate("c", lambda _: Document(id="c", body="two"))
            await documents.upsert(Document(id="d", title="Two one"))
            await documents.delete("e")
            await documents.upsert_many([Document(id="f", title="two"), Document(id="f", title="three")])
            assert await ids(documents, "one") == {"d"}
            assert await ids(documents, "two") == {"a", "b", "c", "d"}
            await documents.patch("a", shelf=5)
            assert await ids(documents, "two", shelf=5) == {"a"}
            async with store.unit() as unit:
                await unit.repository(Document).delete_many(["a", "b"])
                await unit.repository(Document).add(Document(id="g", title="two"))
            assert await ids(documents, "two") == {"c", "d", "g"}
            with pytest.raises(ValueError, match="stop"):
                async with store.unit() as unit:
                    await unit.repository(Document).add(Document(id="h", title="two"))
                    raise ValueError("stop")
            assert await ids(documents, "two") == {"c", "d", "g"}
            assert await ids(documents, "three") == {"f"}

    async def test_a_filter_leaves_the_limit_to_what_passes(self, place: Place) -> None:
        """Not: the first few that hold the words, and of those the ones that pass."""
        async with place.store(Document) as store:
            documents = store.repository(Document)
            if store.capabilities(Document).full_text == "none":
                return
            await documents.add_many([Document(id=f"{n:04}", title="word", shelf=n) for n in range(1500)])
            assert len(await documents.search("word")) == 100
            assert len(await documents.search("word", limit=1000)) == 1000
            assert await ids(documents, "word", D.shelf >= 1495, limit=5) == {f"{n:04}" for n in range(1495, 1500)}

    async def test_what_is_refused(self, place: Place) -> None:
        async with place.store(Document, Account, Note, Server) as store:
            documents = store.repository(Document)
            with pytest.raises(InvalidQuery, match="search"):
                await store.repository(Account).search("x")
            if store.capabilities(Document).full_text == "none":
                return
            for text in ("", "  ", "!?", "_", "\0", '"*"'):
                with pytest.raises(InvalidQuery):
                    await documents.search(text)
            limit: Any
            for limit in (0, -1, 1001, True, 1.5, "1", None):
                with pytest.raises(InvalidQuery):
                    await documents.search("x", limit=limit)
            with pytest.raises(InvalidQuery):
                await documents.search("x", fields(Note).stars == 1)
