"""The verbs on one record: what each returns, what it raises, and what then really lies in the store."""

from __future__ import annotations

from typing import Any

import pytest

from ...entity import entity_of, fields
from ...errors import Conflict, Duplicate, InvalidRecord, Missing
from ...repos.repository import Repository
from .entities import NOTES, Account, Keyword, KeywordToo, Note, Server
from .harness import Place
from .keyed import KEYED, Pair
from .suite import Suite, about, lying
from .worked import key_values

__all__ = ["TestKeys", "TestNames", "TestVerbs"]

every_sort = pytest.mark.parametrize("cls", NOTES, ids=["dataclass", "frozen", "pydantic", "msgspec"])


class TestVerbs(Suite):
    """Every verb, on a dataclass, a frozen one, a pydantic model and a msgspec struct."""

    @every_sort
    async def test_an_added_record_is_there(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            note = cls(id="a", title="t", body=None, stars=3, tags=["x", "y"])
            assert await notes.add(note) == note
            for found in (await notes.get("a"), await notes.find("a"), (await notes.get_many(["a"]))["a"]):
                assert type(found) is cls
                assert found == note
            assert await notes.exists("a") is True
            assert await lying(place, store, cls, "id", "title", "body", "stars") == [("a", "t", None, 3)]

    @every_sort
    async def test_defaults_are_filled_in(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            await store.repository(cls).add(cls(id="a"))
            assert await store.repository(cls).get("a") == cls(id="a", title="", body=None, stars=0, tags=[])

    @every_sort
    async def test_what_is_absent(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            for work in (
                notes.get("a"),
                notes.get_versioned("a"),
                notes.patch("a", title="x"),
                notes.mutate("a", _same),
            ):
                with pytest.raises(Missing) as caught:
                    await work
                about(caught.value, cls, "a")
                assert isinstance(caught.value, LookupError)
            with pytest.raises(Missing) as caught:
                await notes.update(cls(id="a"))
            about(caught.value, cls, "a")
            assert await notes.find("a") is None
            assert await notes.exists("a") is False
            assert await notes.delete("a") is False
            assert await notes.get_many(["a", "b"]) == {}
            assert await lying(place, store, cls, "id") == []

    @every_sort
    async def test_a_taken_key_is_refused(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            await notes.add(cls(id="a", title="first"))
            with pytest.raises(Duplicate) as caught:
                await notes.add(cls(id="a", title="second"))
            about(caught.value, cls, "a")
            assert caught.value.fields == ()
            assert await lying(place, store, cls, "id", "title") == [("a", "first")]

    @every_sort
    async def test_update_replaces_the_whole_record(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            await notes.add(cls(id="a", title="t", body="b", stars=1, tags=["x"]))
            await notes.add(cls(id="b", title="other"))
            new = cls(id="a", title="u")
            assert await notes.update(new) == new
            assert await notes.get("a") == new
            assert await lying(place, store, cls, "id", "title", "body") == [("a", "u", None), ("b", "other", None)]

    @every_sort
    async def test_upsert_adds_and_replaces(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            for title in ("first", "second"):
                note = cls(id="a", title=title, tags=[title])
                assert await notes.upsert(note) == note
                assert await notes.get("a") == note
            assert await lying(place, store, cls, "id", "title") == [("a", "second")]

    @every_sort
    async def test_delete_removes_and_says_so(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            await notes.add_many([cls(id="a"), cls(id="b")])
            assert await notes.delete("a") is True
            assert await notes.delete("a") is False
            assert await notes.find("a") is None
            assert await lying(place, store, cls, "id") == [("b",)]
            await notes.add(cls(id="a", title="again"))
            assert (await notes.get("a")).title == "again"

    @every_sort
    async def test_patch_changes_only_what_is_named(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            await notes.add(cls(id="a", title="t", body="b", stars=1, tags=["x"]))
            expected = cls(id="a", title="t", body=None, stars=2, tags=["x"])
            assert await notes.patch("a", {"stars": 2}, body=None) == expected
            assert await notes.get("a") == expected
            assert await notes.patch("a") == expected

    @every_sort
    async def test_mutate_stores_what_the_function_makes(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            notes = store.repository(cls)
            await notes.add(cls(id="a", stars=1, tags=["x"]))

            def more(note: Any) -> Any:
                return cls(id=note.id, title="m", stars=note.stars + 1, tags=[*note.tags, "y"])

            expected = cls(id="a", title="m", stars=2, tags=["x", "y"])
            assert await notes.mutate("a", more) == expected
            assert await notes.get("a") == expected

    @every_sort
    async def test_a_record_of_another_class_is_refused(self, place: Place, cls: type[Any]) -> None:
        async with place.store(*NOTES) as store:
            notes = store.repository(cls)
            other = next(sort for sort in NOTES if sort is not cls)
            for wrong in (other(id="a"), None, {"id": "a"}, cls):
                for verb in (notes.add, notes.update, notes.upsert):
                    with pytest.raises(InvalidRecord) as caught:
                        await verb(wrong)
                    assert caught.value.entity == entity_of(cls).name
            assert await notes.count() == 0

    async def test_get_many_keeps_the_order_asked(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=k) for k in "abcd"])
            found = await notes.get_many(["c", "zz", "a", "c", "d"])
            assert list(found) == ["c", "a", "d"]
            assert [note.id for note in found.values()] == ["c", "a", "d"]
            assert await notes.get_many([]) == {}
            assert await notes.get_many(iter(["b"])) == {"b": Note(id="b")}

    async def test_one_text_is_no_list_of_keys(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=key) for key in "abc"])
            for verb in (notes.get_many, notes.delete_many):
                with pytest.raises(InvalidRecord, match="list of keys"):
                    await verb("abc")
            assert await notes.count() == 3

    async def test_thousands_of_keys_at_once(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            keys = [f"k{n:05}" for n in range(5000)]
            assert len(await notes.add_many([Note(id=key) for key in keys])) == 5000
            assert list(await notes.get_many(reversed(keys))) == keys[::-1]
            assert await notes.delete_many(keys[:4999]) == 4999
            assert await lying(place, store, Note, "id") == [("k04999",)]

    async def test_a_key_that_cannot_be_one(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            notes, pairs = store.repository(Note), store.repository(Pair)
            wrong: Any
            for wrong in (None, 1, b"a", ("a",), "\ud800"):
                for work in (
                    notes.get(wrong),
                    notes.find(wrong),
                    notes.exists(wrong),
                    notes.delete(wrong),
                    notes.patch(wrong),
                ):
                    with pytest.raises(InvalidRecord):
                        await work
                with pytest.raises(InvalidRecord):
                    await notes.get_many(["a", wrong])
                with pytest.raises(InvalidRecord):
                    await notes.add(Note(id=wrong))
            for wrong in ("a", ("a",), ("a", 1, 2), ["a", 1], ("a", "1"), (1, "a"), ("a", True)):
                with pytest.raises(InvalidRecord):
                    await pairs.get(wrong)
            assert await lying(place, store, Note, "id") == []

    async def test_operations_of_ones_own(self, place: Place) -> None:
        class Notes(Repository[Note]):
            async def star(self, key: str) -> Note:
                return await self.mutate(key, _starred)

        async with place.store(Note) as store:
            notes = store.repository(Notes)
            assert store.repository(Notes) is notes
            await notes.add(Note(id="a"))
            assert (await notes.star("a")).stars == 1


class TestKeys(Suite):
    """Keys of every kind, single and composite, find their record and no other."""

    @pytest.mark.parametrize("cls", KEYED, ids=lambda cls: cls.__name__)
    async def test_every_kind_of_key(self, place: Place, cls: type[Any]) -> None:
        keys = key_values(cls)
        async with place.store(cls) as store:
            records = store.repository(cls)
            for number, key in enumerate(keys):
                await records.add(cls(key=key, n=number))
            for number, key in enumerate(keys):
                assert await records.get(key) == cls(key=key, n=number)
                assert await records.exists(key)
                with pytest.raises(Duplicate):
                    await records.add(cls(key=key, n=-1))
            assert await records.get_many(keys) == {key: cls(key=key, n=n) for n, key in enumerate(keys)}
            assert await lying(place, store, cls, "n") == [(n,) for n in range(len(keys))]
            assert [r.n for r in (await records.page()).items] == list(range(len(keys))), "key order"
            assert [r.n async for r in records.scan()] == list(range(len(keys)))
            for number, key in enumerate(keys):
                assert (await records.patch(key, n=100 + number)).n == 100 + number
                assert (await records.mutate(key, _next_n)).n == 101 + number
                assert await records.delete(key)
                assert not await records.exists(key)
                assert await records.count() == len(keys) - number - 1

    async def test_a_composite_key_is_told_apart_by_each_part(self, place: Place) -> None:
        keys = [("", 0), ("", 1), ("a", -1), ("a", 0), ("a", 11), ("a1", 1), ("b", 0), ("b,0", 0), ('b","0', 0)]
        async with place.store(Pair) as store:
            pairs = store.repository(Pair)
            for number, (left, right) in enumerate(keys):
                await pairs.add(Pair(left=left, right=right, n=number))
            assert sorted(keys) == sorted(await pairs.get_many(keys))
            assert [(p.left, p.right) for p in (await pairs.page()).items] == sorted(keys)
            for number, key in enumerate(keys):
                assert (await pairs.get(key)).n == number
            assert await pairs.delete(("a", 0))
            assert await pairs.find(("a", 0)) is None
            assert len(await lying(place, store, Pair, "left", "right")) == len(keys) - 1
            with pytest.raises(Duplicate) as caught:
                await pairs.add(Pair(left="a", right=11))
            about(caught.value, Pair, ("a", 11))

    async def test_unique_sets(self, place: Place) -> None:
        """Two records may not agree in a unique set; a null agrees with nothing, and case counts."""
        async with place.store(Account) as store:
            accounts = store.repository(Account)
            await accounts.add(Account(id="a", email="x@y", handle="h", phone="1"))
            clashes: list[tuple[dict[str, Any], tuple[str, ...]]] = [
                ({"email": "x@y"}, ("email",)),
                ({"handle": "h"}, ("realm", "handle")),
                ({"phone": "1"}, ("phone",)),
            ]
            await accounts.add(Account(id="c"))
            if not store.capabilities(Account).unique_sets:
                for number, (values, _) in enumerate(clashes):
                    await accounts.add(Account(id=f"b{number}", **values))
                assert await accounts.count() == 5
                return
            for values, fields in clashes:
                works = [
                    accounts.add(Account(id="b", **values)),
                    accounts.upsert(Account(id="b", **values)),
                    accounts.update(Account(id="c", **values)),
                    accounts.patch("c", values),
                    accounts.mutate("c", lambda _, values=values: Account(id="c", **values)),  # type: ignore[misc]
                    accounts.add_many([Account(id="d"), Account(id="b", **values)]),
                ]
                for work in works:
                    with pytest.raises(Duplicate) as caught:
                        await work
                    assert caught.value.entity == "accounts"
                    assert caught.value.key in ("b", "c")
                    assert caught.value.fields == fields
                    assert await lying(place, store, Account, "id", "email") == [("a", "x@y"), ("c", None)]
            free: list[dict[str, Any]] = [
                {"email": "X@y"},
                {"handle": "H"},
                {"handle": "h", "realm": "s"},
                {"phone": "1", "active": False},
            ]
            for number, values in enumerate([*free, {}, {}]):
                await accounts.add(Account(id=f"b{number}", **values))
            assert await accounts.count() == 8
            with pytest.raises(Duplicate):
                await accounts.patch("b3", active=True)
            await accounts.update(Account(id="a", email="x@y", handle="h", phone="1", opened=1))
            await accounts.delete("a")
            assert (await accounts.patch("b3", active=True)).phone == "1"
            assert (await accounts.patch("c", email="x@y")).email == "x@y"

    async def test_the_key_is_named_when_both_are_taken(self, place: Place) -> None:
        async with place.store(Account) as store:
            accounts = store.repository(Account)
            await accounts.add(Account(id="a", email="x"))
            with pytest.raises(Duplicate) as caught:
                await accounts.add(Account(id="a", email="x"))
            about(caught.value, Account, "a")
            assert caught.value.fields == ()

    async def test_a_stale_expect_is_a_conflict(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            version = (await notes.get_versioned("a")).version
            await notes.patch("a", stars=1)
            works = [
                notes.update(Note(id="a", stars=9), expect=version),
                notes.patch("a", stars=9, expect=version),
                notes.delete("a", expect=version),
                notes.delete("a", expect=""),
                notes.update(Note(id="a", stars=9), expect="absent"),
            ]
            for work in works:
                with pytest.raises(Conflict) as caught:
                    await work
                about(caught.value, Note, "a")
            assert await lying(place, store, Note, "id", "stars") == [("a", 1)]


class TestNames(Suite):
    """Names that are keywords or need quoting are names like any other."""

    async def test_keywords_as_names(self, place: Place) -> None:
        k = fields(Keyword)
        async with place.store(Keyword, KeywordToo) as store:
            words, others = store.repository(Keyword), store.repository(KeywordToo)
            first = Keyword(
                select="s", order=2, group="g", where="w", limit=1, cursor="c", table="drop table", index="i"
            )
            await words.add(first)
            await words.add(Keyword(select="t", order=1, group="g", to="s"))
            await others.add(KeywordToo(order=1, default="s"))
            assert await words.get("s") == first
            expected = Keyword(select="t", order=1, group="h", key="k", expect="e", changes="x", user="u", to="s")
            changes = {"key": "k", "expect": "e", "changes": "x", "group": "h", "user": "u"}
            assert await words.patch("t", changes) == expected
            assert await words.get("t") == expected
            page = await words.page((k.group >= "g") & (k.limit == None), order=[k.group.desc(), k.order])  # noqa: E711
            assert [w.select for w in page.items] == ["t"]
            assert await words.aggregate({"values": k.order.sum()}, by=k.group) == [
                {"group": "g", "values": 2},
                {"group": "h", "values": 1},
            ]
            if store.capabilities(Keyword).full_text != "none":
                assert [w.select for w in await words.search("DROP")] == ["s"]
            assert [w.select for w in (await words.related("s", Keyword, via="<to")).items] == ["t"]
            assert await lying(place, store, Keyword, "select", "group") == [("s", "g"), ("t", "h")]
            if store.capabilities(Keyword).references == "enforced":
                assert await words.delete("s")
                assert (await words.get("t")).to is None
                assert await others.count() == 0

    async def test_columns_with_names_of_their_own(self, place: Place) -> None:
        """The store uses the column's name, the application the field's."""
        s = fields(Server)
        async with place.store(Server) as store:
            servers = store.repository(Server)
            await servers.add(Server(id="a", name="n", background={"k": [1, None]}, about="one two", camelCase=5))
            await servers.add(Server(id="b", name="m"))
            assert await servers.get("a") == Server(
                id="a", name="n", background={"k": [1, None]}, about="one two", camelCase=5
            )
            assert [
                x.id for x in (await servers.page((s.camelCase > 4) & (s.name == "n"), order=s.about.desc())).items
            ] == ["a"]
            assert (await servers.patch("a", camelCase=6)).camelCase == 6
            assert await servers.aggregate({"most": s.camelCase.max()}, by=s.name) == [
                {"name": "m", "most": 0},
                {"name": "n", "most": 6},
            ]
            if store.capabilities(Server).unique_sets:
                with pytest.raises(Duplicate) as caught:
                    await servers.add(Server(id="c", name="n"))
                assert caught.value.fields == ("name",)
            assert set((await place.rows(Server))[0]) >= {
                item.column_in(store.capabilities(Server).kind) for item in entity_of(Server).fields
            }
            assert await lying(place, store, Server, "id", "camelCase") == [("a", 6), ("b", 0)]


def _same(note: Any) -> Any:
    return note


def _starred(note: Note) -> Note:
    note.stars += 1
    return note


def _next_n(record: Any) -> Any:
    record.n += 1
    return record
