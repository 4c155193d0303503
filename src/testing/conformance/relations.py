"""References: what may refer to what, what deleting does, and how references are followed."""

from __future__ import annotations

from typing import Any

import pytest

from ...errors import DanglingReference, InvalidQuery, InvalidRecord, Missing
from ...repos.store import Store
from .entities import LIBRARY, Author, Book, BookLabel, Bookmark, Chapter, Folder, Keyword, Label, Line, Note, Role
from .harness import Place
from .suite import Suite, about, lying

__all__ = ["TestReferences", "TestRelated"]


async def filled(store: Store) -> None:
    """Two authors, an editor, two books with chapters and labels."""
    await store.repository(Author).add_many(
        [Author(id="ada", pen_name="A."), Author(id="bob"), Author(id="eve", pen_name="E.")]
    )
    await store.repository(Book).add_many(
        [
            Book(id="b1", author_id="ada", editor_id="eve", reviewer="E."),
            Book(id="b2", author_id="bob", editor_id="eve"),
        ]
    )
    await store.repository(Chapter).add_many([Chapter(book_id=b, number=n) for b in ("b1", "b2") for n in (10, 9, 1)])
    await store.repository(Label).add_many([Label(id=key) for key in ("x", "y", "z")])
    edges = [("b1", "z"), ("b1", "x"), ("b2", "x")]
    await store.repository(BookLabel).add_many([BookLabel(book_id=b, label_id=x) for b, x in edges])
    await store.repository(Bookmark).add(Bookmark(id="m", book_id="b1"))


class TestReferences(Suite):
    """Where references are enforced a dangling one is refused; elsewhere it is kept as a plain key."""

    async def test_adding_what_refers_to_nothing(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            books = store.repository(Book)
            cases = [
                (Book(id="n", author_id="nobody"), "author_id"),
                (Book(id="n", author_id="ada", editor_id="nobody"), "editor_id"),
                (Book(id="n", author_id="ada", reviewer="N."), "reviewer"),
                (Book(id="n", author_id="Ada"), "author_id"),
                (Book(id="n", author_id=""), "author_id"),
            ]
            if store.capabilities(Book).references == "kept":
                for book, _ in cases:
                    assert await books.upsert(book) == book
                return
            for book, field in cases:
                for work in (
                    books.add(book),
                    books.upsert(book),
                    books.add_many([Book(id="m", author_id="ada"), book]),
                ):
                    with pytest.raises(DanglingReference) as caught:
                        await work
                    about(caught.value, Book, "n", field)
                    assert isinstance(caught.value, InvalidRecord)
            assert [row[0] for row in await lying(place, store, Book, "id")] == ["b1", "b2"]

    async def test_changing_to_what_is_not_there(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            books, chapters = store.repository(Book), store.repository(Chapter)
            if store.capabilities(Book).references == "kept":
                assert (await books.patch("b1", editor_id="nobody")).editor_id == "nobody"
                return
            works = [
                books.patch("b1", editor_id="nobody"),
                books.update(Book(id="b1", author_id="ada", editor_id="nobody")),
                books.mutate("b1", lambda book: Book(id="b1", author_id="ada", editor_id="nobody")),
            ]
            for work in works:
                with pytest.raises(DanglingReference) as caught:
                    await work
                about(caught.value, Book, "b1", "editor_id")
            with pytest.raises(DanglingReference) as caught:
                await chapters.add(Chapter(book_id="b9", number=1))
            about(caught.value, Chapter, ("b9", 1), "book_id")
            assert (await lying(place, store, Book, "id", "editor_id"))[0] == ("b1", "eve")
            assert (await books.patch("b1", editor_id="bob")).editor_id == "bob"
            assert (await books.patch("b1", editor_id=None, reviewer=None)).editor_id is None

    async def test_deleting_what_is_referred_to(self, place: Place) -> None:
        """Restrict refuses, cascade deletes, set null empties, and a reference that is not enforced stays."""
        async with place.store(*LIBRARY) as store:
            await filled(store)
            authors, books = store.repository(Author), store.repository(Book)
            if store.capabilities(Book).references == "kept":
                assert await authors.delete("ada")
                assert (await books.get("b1")).author_id == "ada"
                return
            for work in (authors.delete("ada"), authors.delete_many(["ada"])):
                with pytest.raises(DanglingReference) as caught:
                    await work
                about(caught.value, Author, "ada")
            with pytest.raises(DanglingReference):
                await authors.delete("eve")  # b1 refers to her pen name, which restricts
            await books.patch("b1", reviewer=None)
            assert await authors.delete("eve") is True
            assert await lying(place, store, Book, "id", "editor_id") == [("b1", None), ("b2", None)]
            assert await books.delete("b1") is True
            assert await lying(place, store, Chapter, "book_id", "number") == [("b2", 1), ("b2", 9), ("b2", 10)]
            assert await lying(place, store, BookLabel, "book_id", "label_id") == [("b2", "x")]
            assert await lying(place, store, Bookmark, "id", "book_id") == [("m", "b1")]
            assert await store.repository(Label).delete("x") is True
            assert await lying(place, store, BookLabel, "book_id") == []
            assert await authors.delete("ada") is True
            assert [row[0] for row in await lying(place, store, Author, "id")] == ["bob"]

    async def test_a_refused_delete_changes_nothing(self, place: Place) -> None:
        """Though other referring records would have been deleted or emptied."""
        async with place.store(*LIBRARY) as store:
            await filled(store)
            if store.capabilities(Book).references == "kept":
                return
            await store.repository(Author).add(Author(id="free"))
            await store.repository(Book).patch("b1", editor_id="ada")
            with pytest.raises(DanglingReference):
                await store.repository(Author).delete("ada")
            with pytest.raises(DanglingReference):
                await store.repository(Author).delete_many(["free", "ada"])
            assert (await lying(place, store, Book, "id", "editor_id"))[0] == ("b1", "ada")
            if store.capabilities(Author).atomic_units:
                assert [row[0] for row in await lying(place, store, Author, "id")] == ["ada", "bob", "eve", "free"]

    async def test_changing_what_is_referred_to(self, place: Place) -> None:
        """A field other than the key that others refer to does not change under them."""
        async with place.store(*LIBRARY) as store:
            await filled(store)
            authors = store.repository(Author)
            if store.capabilities(Book).references == "kept":
                return
            for work in (authors.patch("eve", pen_name="X."), authors.update(Author(id="eve"))):
                with pytest.raises(DanglingReference) as caught:
                    await work
                assert (caught.value.entity, caught.value.key) == ("authors", "eve")
            assert (await authors.patch("eve", pen_name="E.")).pen_name == "E."
            assert (await authors.patch("ada", pen_name="X.")).pen_name == "X."

    async def test_updating_keeps_what_refers(self, place: Place) -> None:
        """Replacing a record is no delete: what refers to it stays."""
        async with place.store(*LIBRARY) as store:
            await filled(store)
            books = store.repository(Book)
            await books.upsert(Book(id="b1", author_id="bob", title="new"))
            await books.update(Book(id="b1", author_id="bob", title="newer"))
            await books.upsert_many([Book(id="b1", author_id="bob", title="newest")])
            assert len(await lying(place, store, Chapter, "book_id")) == 6
            assert len(await lying(place, store, BookLabel, "book_id")) == 3

    async def test_a_tree(self, place: Place) -> None:
        async with place.store(Folder) as store:
            folders = store.repository(Folder)
            await folders.add_many([Folder(id="r"), Folder(id="a", parent_id="r"), Folder(id="b", parent_id="a")])
            await folders.add(Folder(id="self", parent_id="self"))
            await folders.patch("r", parent_id="b")  # now a ring
            await folders.add(Folder(id="other"))
            if store.capabilities(Folder).references == "kept":
                return
            with pytest.raises(DanglingReference):
                await folders.add_many([Folder(id="child", parent_id="later"), Folder(id="later")])
            assert await folders.delete("a") is True
            assert [row[0] for row in await lying(place, store, Folder, "id")] == ["other", "self"]
            assert await folders.delete("self") is True

    async def test_a_reference_over_several_fields(self, place: Place) -> None:
        async with place.store(Role, Line) as store:
            roles, lines = store.repository(Role), store.repository(Line)
            await roles.add_many([Role(session="s", agent="a"), Role(session="s", agent="b")])
            await lines.add_many(
                [Line(id="1", session="s", agent="a"), Line(id="2", session="s", agent="b"), Line(id="3", session="t")]
            )
            page = await lines.related("1", Role)
            assert page.items == [Role(session="s", agent="a")]
            assert [line.id for line in (await roles.related(("s", "b"), Line)).items] == ["2"]
            assert (await lines.related("3", Role)).items == []
            if store.capabilities(Line).references == "kept":
                return
            with pytest.raises(DanglingReference) as caught:
                await lines.add(Line(id="4", session="t", agent="a"))
            assert (caught.value.entity, caught.value.key) == ("lines", "4")
            assert await roles.delete(("s", "a"))
            assert await lying(place, store, Line, "id") == [("2",), ("3",)]

    async def test_inside_a_unit(self, place: Place) -> None:
        """A unit may add what refers and what is referred to; what deletes do to others shows after it."""
        async with place.store(*LIBRARY) as store:
            async with store.unit() as unit:
                await unit.repository(Author).add(Author(id="a"))
                await unit.repository(Book).add(Book(id="b", author_id="a"))
                await unit.repository(Chapter).add(Chapter(book_id="b", number=1))
            assert await lying(place, store, Book, "id", "author_id") == [("b", "a")]
            if store.capabilities(Book).references == "kept":
                return
            async with store.unit() as unit:
                await unit.repository(Book).delete("b")
                await unit.repository(Author).delete("a")
            assert await lying(place, store, Chapter, "book_id") == []
            with pytest.raises(DanglingReference):
                async with store.unit() as unit:
                    await unit.repository(Author).add(Author(id="z"))
                    await unit.repository(Book).add(Book(id="c", author_id="nobody"))
            assert await lying(place, store, Book, "id") == []
            if store.capabilities(Book).atomic_units:
                assert await lying(place, store, Author, "id") == []


class TestRelated(Suite):
    """Following references both ways."""

    async def test_outward(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            books, chapters = store.repository(Book), store.repository(Chapter)
            page = await books.related("b1", Author, via="author_id")
            assert (page.items, page.cursor) == ([Author(id="ada", pen_name="A.")], None)
            assert [a.id for a in (await books.related("b1", Author, via="editor_id")).items] == ["eve"]
            assert [a.id for a in (await books.related("b1", Author, via="reviewer")).items] == ["eve"]
            assert (await books.related("b2", Author, via="reviewer")).items == []
            assert [b.id for b in (await chapters.related(("b2", 9), Book)).items] == ["b2"]

    async def test_backward_in_pages(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            authors, books = store.repository(Author), store.repository(Book)
            assert [b.id for b in (await authors.related("eve", Book, via="editor_id")).items] == ["b1", "b2"]
            assert [b.id for b in (await authors.related("eve", Book, via="reviewer")).items] == ["b1"]
            assert (await authors.related("bob", Book, via="reviewer")).items == []
            first = await books.related("b1", Chapter, limit=2)
            assert [c.number for c in first.items] == [1, 9]
            rest = await books.related("b1", Chapter, limit=2, cursor=first.cursor)
            assert ([c.number for c in rest.items], rest.cursor) == ([10], None)

    async def test_in_a_tree(self, place: Place) -> None:
        async with place.store(Folder) as store:
            folders = store.repository(Folder)
            await folders.add_many([Folder(id="r"), *(Folder(id=key, parent_id="r") for key in "cab")])
            assert [f.id for f in (await folders.related("a", Folder, via="parent_id")).items] == ["r"]
            assert [f.id for f in (await folders.related("r", Folder, via="<parent_id")).items] == ["a", "b", "c"]
            assert (await folders.related("r", Folder, via="parent_id")).items == []
            with pytest.raises(InvalidQuery, match="<parent_id"):
                await folders.related("a", Folder)

    async def test_through_an_edge(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            books, labels = store.repository(Book), store.repository(Label)
            assert [x.id for x in (await books.related("b1", Label, through=BookLabel)).items] == ["x", "z"]
            assert [b.id for b in (await labels.related("x", Book, through=BookLabel)).items] == ["b1", "b2"]
            assert (await labels.related("y", Book, through=BookLabel)).items == []
            first = await labels.related("x", Book, through=BookLabel, limit=1)
            assert [b.id for b in first.items] == ["b1"]
            second = await labels.related("x", Book, through=BookLabel, limit=1, cursor=first.cursor)
            assert [b.id for b in second.items] == ["b2"]
            assert second.cursor is None

    async def test_what_is_not_there_is_left_out(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            marks = store.repository(Bookmark)
            await marks.add_many([Bookmark(id="m", book_id="gone"), Bookmark(id="n")])
            assert (await marks.related("m", Book)).items == []
            assert (await marks.related("n", Book)).items == []

    async def test_what_is_refused(self, place: Place) -> None:
        wrong: list[tuple[Any, dict[str, Any]]] = [
            (Author, {}),  # several references fit
            (Author, {"via": "title"}),
            (Author, {"via": "autor_id"}),
            (Keyword, {}),
            (Label, {}),
            (Label, {"through": Chapter}),
            (Chapter, {"limit": 0}),
            (Chapter, {"cursor": "x"}),
        ]
        async with place.store(*LIBRARY, Keyword, Note) as store:
            await filled(store)
            books = store.repository(Book)
            for other, how in wrong:
                with pytest.raises(InvalidQuery):
                    await books.related("b1", other, **how)
            with pytest.raises(Missing) as caught:
                await books.related("absent", Chapter)
            about(caught.value, Book, "absent")

    async def test_inside_a_unit(self, place: Place) -> None:
        async with place.store(*LIBRARY) as store:
            await filled(store)
            async with store.unit() as unit:
                await unit.repository(Chapter).add(Chapter(book_id="b1", number=2))
                await unit.repository(Chapter).delete(("b1", 9))
                found = await unit.repository(Book).related("b1", Chapter)
                assert [c.number for c in found.items] == [1, 2, 10]
