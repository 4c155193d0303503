"""What users import stays what it is, and both faces have the same names."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import crossfade
from crossfade import Repository, Store, SyncRepository, SyncStore, SyncUnit, Unit

PUBLIC = """
Aggregate BadCursor Capabilities Column Condition Conflict Corrupt CorruptRecord CrossfadeError DanglingReference
DeclarationError DiskFull Duplicate Edge Entity Event Events FieldRef FlagError FlagName GateRefused Index InvalidQuery
InvalidRecord Json Locked Missing MissingExtra NotAStore Opening Order Page ReadOnly RecordError Ref Reference
Repository Runtime SchemaMismatch Scope Secret Settings SettingsError Stage Store StoreUrl Supplied SyncRepository
SyncStore SyncUnit Unavailable Unit Unsupported Versioned count entity entity_of fields load_settings new_id now open
open_sync use_runtime
""".split()

VERBS = """
add add_many aggregate count delete delete_many exists find get get_many get_versioned mutate page patch related scan
search update upsert upsert_many
""".split()


def public_names(cls: type[Any]) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_the_public_names_are_pinned() -> None:
    """A name that comes or goes is a decision: it is made here too."""
    assert sorted(crossfade.__all__) == sorted(PUBLIC)
    assert [name for name in PUBLIC if not hasattr(crossfade, name)] == []


def test_nothing_public_is_left_out() -> None:
    """Everything that the package shows without an underscore is meant to be shown, or a room of it."""
    rooms = {name for name, item in vars(crossfade).items() if inspect.ismodule(item)}
    shown = {name for name in vars(crossfade) if not name.startswith("_")} - rooms
    assert shown - set(crossfade.__all__) <= {"annotations"}


def test_the_verbs_are_pinned() -> None:
    """The contract has these verbs, each with a docstring."""
    assert sorted(public_names(Repository) - {"entity", "store"}) == sorted(VERBS)
    for name in VERBS:
        assert len(inspect.getdoc(getattr(Repository, name)) or "") > 40, name


# What one face has alone, and why.
ALLOWED: dict[tuple[type[Any], type[Any]], dict[str, str]] = {
    (Repository, SyncRepository): {},
    (Store, SyncStore): {
        "backend_of": "backends are asynchronous: there is nothing to wait with",
        "repository_class": "only the asynchronous store makes repositories",
    },
    (Unit, SyncUnit): {},
}


@pytest.mark.parametrize(("waiting", "sync"), ALLOWED, ids=lambda cls: cls.__name__)
def test_both_faces_have_the_same_names_and_parameters(waiting: type[Any], sync: type[Any]) -> None:
    """A verb or parameter added to one face is missing here until the other has it."""
    allowed = set(ALLOWED[waiting, sync])
    one, two = public_names(waiting), public_names(sync)
    assert one - two == allowed - two
    assert two - one <= allowed | {"entity"}
    for name in one & two:
        first, second = getattr(waiting, name), getattr(sync, name)
        if inspect.isfunction(first) and inspect.isfunction(second):
            assert list(inspect.signature(first).parameters) == list(inspect.signature(second).parameters), name


def test_both_ways_to_open_take_the_same() -> None:
    """`open` and `open_sync` differ in what they return only."""
    assert list(inspect.signature(crossfade.open).parameters) == list(inspect.signature(crossfade.open_sync).parameters)


def error_classes(cls: type[BaseException]) -> set[type[BaseException]]:
    return {cls}.union(*(error_classes(sub) for sub in cls.__subclasses__()))


def test_the_error_tree_is_drawn_as_it_is() -> None:
    """Every error stands in the drawing, below its parent, and is public."""
    drawing = inspect.getdoc(crossfade.errors) or ""
    lines = [line for line in drawing.splitlines() if "+--" in line or line.strip() == "CrossfadeError"]
    path: list[tuple[int, str]] = []
    parents: dict[str, str] = {}
    for line in lines:
        name = line.replace("|", " ").replace("+--", "   ").split()[0]
        depth = line.replace("|", " ").replace("+--", "   ").index(name)
        while path and path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1] if path else ""
        path.append((depth, name))
    ours = [cls for cls in error_classes(crossfade.CrossfadeError) if cls.__module__.startswith("crossfade")]
    assert {cls.__name__ for cls in ours} == set(parents)
    for cls in ours:
        assert parents[cls.__name__] in {"", *(base.__name__ for base in cls.__bases__)}
        assert getattr(crossfade, cls.__name__) is cls


@pytest.mark.parametrize(
    ("error", "python"),
    [
        (crossfade.Missing("polls", "p1"), LookupError),
        (crossfade.InvalidRecord("polls", "p1", field="x"), ValueError),
        (crossfade.InvalidQuery("x"), ValueError),
        (crossfade.SettingsError("x"), ValueError),
        (crossfade.DeclarationError("x"), TypeError),
        (crossfade.MissingExtra("postgres", "the PostgreSQL backend"), ImportError),
    ],
    ids=lambda item: getattr(item, "__name__", type(item).__name__),
)
def test_errors_are_what_plain_python_expects(error: Exception, python: type[Exception]) -> None:
    """Code that knows nothing of this library catches them by Python's own classes."""
    assert isinstance(error, python)
    assert "pip install 'crossfade[postgres]'" in str(error) or not isinstance(error, crossfade.MissingExtra)


def test_errors_travel_between_processes_and_show_keys_safely() -> None:
    """An error is picklable with all it says, and a key of any characters prints on one plain line."""
    import pickle

    error = crossfade.Duplicate("votes", ("p1", "\x1b[31m\u202eevil\n"), fields=("name",))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own error, made above
    assert (type(again), str(again), again.fields) == (crossfade.Duplicate, str(error), ("name",))
    assert str(error).isprintable()
