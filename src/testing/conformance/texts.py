"""Text, code point by code point: nothing is trimmed, folded, normalised or taken for a command."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ...entity import fields
from ...errors import Duplicate, InvalidQuery, InvalidRecord
from .entities import Account, Everything, Maybe, Note
from .harness import Place
from .keyed import ByBytes, ByText, Pair
from .suite import Suite, about, lying
from .worked import TEXTS, everything

__all__ = ["TestLongText", "TestText"]

LONE = ("\ud800", "a\udfff", "\udc00b", "\udbff\ud800")
MEGABYTE = 1_000_000


class TestText(Suite):
    """What was put in comes out, and texts that differ are different."""

    async def test_every_text_as_a_value(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:03}", title=t, body=t, tags=[t]) for n, t in enumerate(TEXTS)])
            for number, text in enumerate(TEXTS):
                note = await notes.get(f"{number:03}")
                assert (note.title, note.body, note.tags) == (text, text, [text])
            assert await lying(place, store, Note, "title") == [(text,) for text in TEXTS]

    async def test_filters_tell_texts_apart(self, place: Place) -> None:
        v = fields(Note)
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:03}", title=t, body=t) for n, t in enumerate(TEXTS)])
            for number, text in enumerate(TEXTS):
                assert [n.id for n in (await notes.page(title=text)).items] == [f"{number:03}"]
                assert await notes.count(v.body == text) == 1
                assert await notes.count(v.title.in_([text])) == 1
                assert await notes.count(v.title < text) == number
                assert await notes.count(v.title >= text) == len(TEXTS) - number
                assert await notes.count(v.body.starts_with(text)) == sum(t.startswith(text) for t in TEXTS), repr(text)
                assert await notes.count(v.body.contains(text)) == sum(text in t for t in TEXTS), repr(text)
                assert await notes.count(~v.body.contains(text)) == sum(text not in t for t in TEXTS), repr(text)

    async def test_the_order_of_text_is_that_of_code_points(self, place: Place) -> None:
        v = fields(Note)
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:03}", title=t) for n, t in enumerate(reversed(TEXTS))])
            assert [n.title for n in (await notes.page(order=v.title, limit=1000)).items] == list(TEXTS)
            assert [n.title for n in (await notes.page(order=v.title.desc(), limit=1000)).items] == list(TEXTS[::-1])
            ends = await notes.aggregate({"first": v.title.min(), "last": v.title.max()})
            assert ends == [{"first": TEXTS[0], "last": TEXTS[-1]}]
            groups = await notes.aggregate({}, by=v.title)
            assert [group["title"] for group in groups] == list(TEXTS)

    async def test_unique_sets_tell_texts_apart(self, place: Place) -> None:
        async with place.store(Account) as store:
            accounts = store.repository(Account)
            await accounts.add_many([Account(id=f"{n:03}", email=text) for n, text in enumerate(TEXTS)])
            if store.capabilities(Account).unique_sets:
                for text in TEXTS:
                    with pytest.raises(Duplicate):
                        await accounts.add(Account(id="x", email=text))
            assert await accounts.count() == len(TEXTS)

    async def test_nul(self, place: Place) -> None:
        """NUL is a character like any other, or refused where the capabilities say so; never cut off there."""
        v = fields(Note)
        texts = ["\0", "a", "a\0", "a\0\0", "a\0b", "a\0c", "b"]
        async with place.store(Note, ByText) as store:
            notes, keyed = store.repository(Note), store.repository(ByText)
            if not store.capabilities(Note).nul_in_text:
                with pytest.raises(InvalidRecord) as caught:
                    await notes.add(Note(id="a", title="x\0y"))
                about(caught.value, Note, "a", "title")
                with pytest.raises(InvalidRecord) as caught:
                    await notes.add(Note(id="a", tags=["x\0y"]))
                about(caught.value, Note, "a", "tags")
                with pytest.raises(InvalidRecord):
                    await keyed.add(ByText(key="x\0y"))
                assert await lying(place, store, Note, "id") == []
                assert await lying(place, store, ByText, "key") == []
                return
            await notes.add_many([Note(id=str(n), title=t, body=t, tags=[t]) for n, t in enumerate(texts)])
            await keyed.add_many([ByText(key=text, n=n) for n, text in enumerate(texts)])
            assert await lying(place, store, Note, "title") == [(text,) for text in texts]
            assert [n.title for n in (await notes.page(order=v.title)).items] == texts
            assert [k.key for k in (await keyed.page()).items] == texts
            for number, text in enumerate(texts):
                assert (await notes.get(str(number))).tags == [text]
                assert (await keyed.get(text)).n == number
                assert await notes.count(title=text) == 1
                assert await notes.count(v.body.starts_with(text)) == sum(t.startswith(text) for t in texts), repr(text)
                assert await notes.count(v.body.contains(text)) == sum(text in t for t in texts), repr(text)

    @pytest.mark.parametrize("text", LONE, ids=ascii)
    async def test_a_lone_surrogate_is_refused(self, place: Place, text: str) -> None:
        v = fields(Maybe)
        async with place.store(Maybe, ByText) as store:
            records, keyed = store.repository(Maybe), store.repository(ByText)
            await records.add(Maybe(id="there"))
            values: dict[str, Any] = {
                "text": text,
                "words": [text],
                "document": {"a": [text]},
                "free": {text: 1},
                "counts": {text: 1},
            }
            for field, value in values.items():
                for work in (
                    records.add(Maybe(id="m", **{field: value})),
                    records.upsert(Maybe(id="m", **{field: value})),
                ):
                    with pytest.raises(InvalidRecord) as caught:
                        await work
                    about(caught.value, Maybe, "m", field)
                with pytest.raises(InvalidRecord) as caught:
                    await records.patch("there", {field: value})
                about(caught.value, Maybe, "there", field)
            with pytest.raises(InvalidRecord) as caught:
                await keyed.add(ByText(key=text))
            assert caught.value.field == "key"
            with pytest.raises(InvalidQuery):
                v.text.starts_with(text)
            assert str(caught.value).isprintable()
            assert await records.get("there") == Maybe(id="there")
            assert await lying(place, store, Maybe, "id") == [("there",)]
            assert await lying(place, store, ByText, "key") == []

    async def test_text_that_looks_like_a_command(self, place: Place) -> None:
        """Neither a value, a key, a filter nor a name inside a document is ever part of a statement."""
        evil = "'); DROP TABLE notes; --"
        v = fields(Maybe)
        async with place.store(Maybe, Note) as store:
            records, notes = store.repository(Maybe), store.repository(Note)
            await notes.add(Note(id=evil, title=evil))
            await records.add(Maybe(id=evil, text=evil, document={evil: evil}, counts={evil: 1}, words=[evil]))
            assert await records.get(evil) == Maybe(
                id=evil, text=evil, document={evil: evil}, counts={evil: 1}, words=[evil]
            )
            found = await records.page(v.text.starts_with(evil) & v.text.contains(evil) & v.id.in_([evil]))
            assert [r.id for r in found.items] == [evil]
            assert await records.delete("' OR '1'='1") is False
            assert await records.count(text="' OR 1=1 --") == 0
            assert await notes.count() == 1
            if store.capabilities(Note).full_text != "none":
                for text in (
                    'drop"',
                    "table*",
                    "notes AND title",
                    "title:drop",
                    "NEAR(drop table)",
                    "drop OR nothing",
                    "^drop",
                    "-drop",
                ):
                    await notes.search(text)
                assert [n.id for n in await notes.search("DROP (table) notes'")] == [evil]


class TestLongText(Suite):
    """How much fits."""

    @pytest.mark.parametrize("megabytes", [1, 10])
    async def test_long_values(self, place: Place, megabytes: int) -> None:
        size = megabytes * MEGABYTE
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            limit = store.capabilities(Everything).max_text_bytes
            text = "é" * (size // 2)
            if size <= limit:
                record = everything(text=text, raw=b"\x00\xfe" * (size // 2), words=[text], free={"a": text})
                await records.add(record)
                assert await records.get("e") == record
                assert await records.count(text=text) == 1
                assert await records.count(text=text[:-1]) == 0
            if limit <= 2 * size:
                with pytest.raises(InvalidRecord) as caught:
                    await records.upsert(everything(text="é" * (limit // 2 + 1)))
                about(caught.value, Everything, "e", "text")
                assert await records.count(text="é" * (limit // 2 + 1)) == 0

    async def test_the_longest_key(self, place: Place) -> None:
        """1,024 bytes of UTF-8 in each field of a key; one more is refused, by every verb that takes a key."""
        async with place.store(ByText, ByBytes, Pair) as store:
            texts, raws, pairs = store.repository(ByText), store.repository(ByBytes), store.repository(Pair)
            for key in ("a" * 1024, "é" * 512, "\U0001f600" * 256):
                await texts.add(ByText(key=key))
                assert (await texts.get(key)).key == key
                await pairs.add(Pair(left=key, right=1))
                assert await pairs.exists((key, 1))
                await raws.add(ByBytes(key=key.encode()))
                assert await raws.exists(key.encode())
            for key in ("a" * 1025, "é" * 512 + "a", "a" * MEGABYTE):
                works = [
                    texts.add(ByText(key=key)),
                    texts.upsert(ByText(key=key)),
                    texts.add_many([ByText(key=key)]),
                    texts.get(key),
                    texts.delete(key),
                    texts.exists(key),
                    pairs.add(Pair(left=key, right=1)),
                    raws.add(ByBytes(key=key.encode())),
                ]
                for work in works:
                    with pytest.raises(InvalidRecord, match=re.escape("1024")) as caught:
                        await work
                    assert caught.value.field in ("key", "left")
                    assert len(str(caught.value)) < 500
            assert await texts.count() == 3
            assert await pairs.count() == 3
            assert [len(row[0]) for row in await lying(place, store, ByText, "key")] == [1024, 512, 256]
