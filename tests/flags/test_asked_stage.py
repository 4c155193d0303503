"""Which stage a process asks for: precedence, disagreement, names that mean nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from crossfade.errors import FlagError, SettingsError
from crossfade.flags import (
    FlagName,
    FrozenMap,
    GroupSettings,
    Level,
    Settings,
    Stage,
    StoreUrl,
    asked_stage,
    asks,
    check_names,
    stage_variables,
)

OLD = FrozenMap({"old": StoreUrl.parse("sqlite:////srv/app.db")})
NEW = StoreUrl.parse("emergent+https://host")
GROUPS = ("polls", "my-jobs")
FLAGS = (FlagName(name="USE_EMERGENT_POLLS", group="polls"), FlagName(name="USE_DB", on="new-only", off="old-only"))

# Strongest first; each level asks for a stage of its own. The two levels that must agree stand apart below.
TABLE: list[tuple[Level, str, Stage]] = [
    (Level.OPTION, "new-primary", Stage.NEW_PRIMARY),
    (Level.GROUP_VARIABLE, "dual-write", Stage.DUAL_WRITE),
    (Level.GROUP_FLAG, "dual-write-emergent-read", Stage.DUAL_WRITE_NEW_READ),
    (Level.VARIABLE, "shadow", Stage.SHADOW),
    (Level.FLAG, "True", Stage.NEW_ONLY),
    (Level.GROUP_FILE, "sqlite-only", Stage.OLD_ONLY),
    (Level.FILE, "emergent-only", Stage.NEW_ONLY),
]


def given(levels: dict[Level, str]) -> Any:
    """The keyword arguments under which exactly `levels` say something about the group polls."""
    names = {
        Level.GROUP_VARIABLE: "CROSSFADE_STAGE_POLLS",
        Level.GROUP_FLAG: "USE_EMERGENT_POLLS",
        Level.VARIABLE: "CROSSFADE_STAGE",
        Level.FLAG: "USE_DB",
    }
    settings = Settings(
        old=OLD,
        new=NEW,
        stage=levels.get(Level.FILE),
        groups=FrozenMap({"polls": GroupSettings(stage=levels.get(Level.GROUP_FILE))}),
    )
    return {
        "settings": settings,
        "group": "polls",
        "groups": GROUPS,
        "flags": FLAGS,
        "option": levels.get(Level.OPTION),
        "environ": {name: levels[level] for level, name in names.items() if level in levels},
    }


def test_the_table_is_the_order_of_levels() -> None:
    """The precedence is the order of `Level`, and the table here leaves none out."""
    assert [level for level, _, _ in TABLE] == list(Level)[:-1]


@pytest.mark.parametrize(("level", "text", "stage"), TABLE, ids=[level.name for level, _, _ in TABLE])
def test_each_level_alone(level: Level, text: str, stage: Stage) -> None:
    """Each level can ask, and the answer says which one did."""
    asked = asked_stage(**given({level: text}))
    assert (asked.stage, asked.level) == (stage, level)
    assert asked.origin


@pytest.mark.parametrize(("strong", "weak"), list(itertools.combinations(range(len(TABLE)), 2)))
def test_each_pair_of_levels(strong: int, weak: int) -> None:
    """Of any two levels the stronger one wins, except that the two for one group must agree."""
    (high, high_text, stage), (low, low_text, _) = TABLE[strong], TABLE[weak]
    arguments = given({high: high_text, low: low_text})
    if (high, low) == (Level.GROUP_VARIABLE, Level.GROUP_FLAG):
        with pytest.raises(
            FlagError, match="CROSSFADE_STAGE_POLLS asks for dual-write and USE_EMERGENT_POLLS for dual"
        ):
            asked_stage(**arguments)
        return
    asked = asked_stage(**arguments)
    assert (asked.stage, asked.level) == (stage, high)
    assert [one.level for one in asks(**arguments)] == [high, low]


def test_all_levels_at_once() -> None:
    """With every level set, the list of asks is the table."""
    levels = {level: text for level, text, _ in TABLE} | {Level.GROUP_FLAG: "dual-write"}
    found = asks(**given(levels))
    assert [one.level for one in found] == [level for level, _, _ in TABLE]
    assert found[0].stage is Stage.NEW_PRIMARY


def test_two_names_for_one_group_may_agree() -> None:
    """CROSSFADE_STAGE_<GROUP> and the catalog's flag are fine together when they mean the same stage."""
    asked = asked_stage(**given({Level.GROUP_VARIABLE: "new-only", Level.GROUP_FLAG: "emergent-only"}))
    assert (asked.stage, asked.origin) == (Stage.NEW_ONLY, "CROSSFADE_STAGE_POLLS")


def test_nothing_set_asks_for_nothing() -> None:
    """An unset flag asks for nothing: no stage is made up."""
    asked = asked_stage(**given({}))
    assert (asked.stage, asked.level) == (None, Level.NOTHING)
    assert asks(**given({})) == ()


def test_an_option_may_be_a_stage() -> None:
    """Code can hand over the Stage itself."""
    assert asked_stage(**(given({}) | {"option": Stage.SHADOW})).stage is Stage.SHADOW


@pytest.mark.parametrize(("weak", "place"), [(level, place) for place, (level, _, _) in enumerate(TABLE)])
@pytest.mark.parametrize("text", ["", "dual_write", "OLD-ONLY", "maybe"])
def test_a_wrong_value_is_refused_at_every_level(weak: Level, place: int, text: str) -> None:
    """A wrong value stops the program, also where a stronger level decides today."""
    for strong in (None, *TABLE[:place]):
        levels = {weak: text} | ({} if strong is None else {strong[0]: strong[1]})
        with pytest.raises(FlagError) as caught:
            asked_stage(**given(levels))
        assert "nearest is" in str(caught.value) or "set but empty" in str(caught.value)


def test_other_groups_do_not_matter() -> None:
    """What is set for one group says nothing about another."""
    arguments = given({Level.GROUP_VARIABLE: "dual-write", Level.GROUP_FILE: "shadow"}) | {"group": "my-jobs"}
    assert asked_stage(**arguments).stage is None
    arguments["environ"] = {"CROSSFADE_STAGE_MY_JOBS": "shadow"}
    assert asked_stage(**arguments).stage is Stage.SHADOW


def test_flags_of_one_level_must_agree() -> None:
    """A catalog with two names for the same thing refuses them when they disagree."""
    flags = (FlagName(name="A_FLAG"), FlagName(name="B_FLAG"))
    arguments = given({}) | {"flags": flags, "environ": {"A_FLAG": "shadow", "B_FLAG": "dual-write"}}
    with pytest.raises(FlagError, match="A_FLAG asks for shadow and B_FLAG for dual-write"):
        asked_stage(**arguments)
    arguments["environ"] = {"A_FLAG": "new-only", "B_FLAG": "emergent-only"}
    assert asked_stage(**arguments).stage is Stage.NEW_ONLY


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CROSSFADE_STAGES", "CROSSFADE_STAGE"),
        ("CROSSFADE_STAGE_", "CROSSFADE_STAGE"),
        ("CROSSFADE_STAGE_POLL", "CROSSFADE_STAGE_POLLS"),
        ("CROSSFADE_STAGE_polls", "CROSSFADE_STAGE_POLLS"),
        ("CROSSFADE_STAGE_MYJOBS", "CROSSFADE_STAGE_MY_JOBS"),
        ("CROSSFADE_STAGE-POLLS", "CROSSFADE_STAGE_POLLS"),
        ("CROSSFADE_STAGE ", "CROSSFADE_STAGE"),
        ("CROSSFADE_STAGE_PORT_5432_TCP", "CROSSFADE_STAGE"),
        ("CROSSFADE_STAGE_\u202ePOLLS", "CROSSFADE_STAGE_POLLS"),
    ],
)
@pytest.mark.parametrize("value", ["", "shadow", "nonsense"])
def test_an_unknown_name_of_a_stage_flag_is_refused(name: str, nearest: str, value: str) -> None:
    """A misspelt flag never passes as an unset one, whatever its value; the error names the nearest known name."""
    with pytest.raises(FlagError) as caught:
        asked_stage(**(given({}) | {"environ": {name: value}}))
    assert f"the nearest is {nearest}" in str(caught.value)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_names_of_variables() -> None:
    """A group's variable is its name in upper case, with `_` for everything but ASCII letters and digits."""
    assert stage_variables(["polls", "my-jobs", "a.b c", "größe", "x1"]) == {
        "CROSSFADE_STAGE": None,
        "CROSSFADE_STAGE_POLLS": "polls",
        "CROSSFADE_STAGE_MY_JOBS": "my-jobs",
        "CROSSFADE_STAGE_A_B_C": "a.b c",
        "CROSSFADE_STAGE_GR__E": "größe",
        "CROSSFADE_STAGE_X1": "x1",
    }


@pytest.mark.parametrize("pair", [("my-jobs", "my_jobs"), ("Polls", "polls")])
def test_two_groups_with_one_variable_are_refused(pair: tuple[str, str]) -> None:
    """Two groups cannot share a variable."""
    with pytest.raises(FlagError, match="would share the variable CROSSFADE_STAGE_"):
        stage_variables(pair)


def test_groups_that_do_not_exist_are_refused() -> None:
    """A group that the catalog does not have is refused in the call, in a flag and in the settings."""
    with pytest.raises(SettingsError, match="no group 'poll'; did you mean 'polls'"):
        asked_stage(**(given({}) | {"group": "poll"}))
    with pytest.raises(FlagError, match="F decides the group 'poll', which is unknown; did you mean 'polls'"):
        asked_stage(**(given({}) | {"flags": [FlagName(name="F", group="poll")]}))
    settings = Settings(old=OLD, new=NEW, groups=FrozenMap({"pols": GroupSettings(stage="shadow")}))
    with pytest.raises(SettingsError, match="no group 'pols'; did you mean 'polls'"):
        asked_stage(**(given({}) | {"settings": settings}))


@pytest.mark.parametrize("settings", [Settings(), Settings(store=NEW), Settings(old=OLD), Settings(new=NEW)])
def test_a_stage_without_two_stores_is_refused(settings: Settings) -> None:
    """A program with one store cannot be in a move: a flag that asks for a stage there is a mistake, not a no-op."""
    arguments = given({}) | {"settings": settings}
    assert asked_stage(**arguments).stage is None
    for more in ({"option": "shadow"}, {"environ": {"CROSSFADE_STAGE": "old-only"}}, {"environ": {"USE_DB": "0"}}):
        with pytest.raises(FlagError, match="has not both an old and a new store"):
            asked_stage(**(arguments | more))


def mixed() -> Any:
    """The group polls moves from SQLite to SQLite, all others from SQLite to the graph."""
    groups = FrozenMap({"polls": GroupSettings(new=StoreUrl.parse("sqlite:////srv/new.db"))})
    return given({}) | {"settings": Settings(old=OLD, new=NEW, groups=groups)}


def test_an_alias_for_all_groups_may_not_fit_one_that_has_its_own_say() -> None:
    """`sqlite-only` for all groups, ambiguous in one of them, stands as long as that group has a flag of its own."""
    environ = {"CROSSFADE_STAGE": "sqlite-only"}
    with pytest.raises(FlagError, match="fits both stores"):
        asked_stage(**(mixed() | {"environ": environ}))
    assert asked_stage(**(mixed() | {"group": "my-jobs", "environ": environ})).stage is Stage.OLD_ONLY
    environ["CROSSFADE_STAGE_POLLS"] = "shadow"
    assert asked_stage(**(mixed() | {"environ": environ})).stage is Stage.SHADOW
    environ["CROSSFADE_STAGE"] = "emergent-only"
    assert asked_stage(**(mixed() | {"environ": environ})).stage is Stage.SHADOW
    environ["CROSSFADE_STAGE"] = "postgres-only"
    with pytest.raises(FlagError, match="CROSSFADE_STAGE: 'postgres-only' is not a stage"):
        asked_stage(**(mixed() | {"environ": environ}))


def test_a_group_names_the_old_stores_that_it_uses() -> None:
    """An alias is judged by the stores of the group, not by stores that others use."""
    old = FrozenMap({"db": StoreUrl.parse("sqlite:////a.db"), "pg": StoreUrl.parse("postgresql://h/a")})
    settings = Settings(old=old, new=StoreUrl.parse("postgresql://h/b"))
    arguments = given({}) | {"settings": settings, "environ": {"CROSSFADE_STAGE": "postgres-only"}}
    with pytest.raises(FlagError, match="fits both"):
        asked_stage(**arguments)
    assert asked_stage(**arguments, old_stores=["db"]).stage is Stage.NEW_ONLY
    with pytest.raises(SettingsError, match="uses the old store 'dbs', which is not set; did you mean 'db'"):
        asked_stage(**arguments, old_stores=["dbs"])


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("USE_EMERGENT_POLL", True),
        ("USE_EMERGENT_PLOLS", True),
        ("use_db", True),
        ("USE_DB2", False),
        ("USER", False),
        ("PATH", False),
    ],
)
def test_near_misses_of_a_catalogs_own_flags_are_warnings(name: str, warned: bool) -> None:
    """Names that we do not own cannot stop the program, but a near miss of a declared flag is told."""
    warnings = check_names(Settings(), groups=GROUPS, flags=FLAGS, environ={name: "x", "USE_DB": "1"})
    assert bool(warnings) is warned
    assert all(name in warning for warning in warnings)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment handed over, the process's own is read."""
    monkeypatch.setenv("CROSSFADE_STAGE_POLLS", "shadow")
    assert asked_stage(**(given({}) | {"environ": None})).stage is Stage.SHADOW
