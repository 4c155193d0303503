"""What counts as a stage, and what does not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import FlagError
from crossfade.flags import FlagName, Names, Side, Stage, StoreUrl, TwoState, resolve_stage, stage_words

FILE = StoreUrl.parse("file:///srv/data")
SQLITE = StoreUrl.parse("sqlite:////srv/app.db")
POSTGRES = StoreUrl.parse("postgresql://host/db")
GRAPH = StoreUrl.parse("emergent+https://host")
MEMORY = StoreUrl.parse("memory:a")
DUCK = StoreUrl.parse("duck://host/x", known=["duck"])

ORDER = ["old-only", "dual-write", "shadow", "dual-write-new-read", "new-primary", "new-only"]


def resolve(text: str, old: StoreUrl = SQLITE, new: StoreUrl = GRAPH, **more: TwoState) -> Stage:
    return resolve_stage(text, old=Names.of({"old": old}), new=Names.of({"new": new}), name="THE_FLAG", **more)


@pytest.mark.parametrize(
    ("stage", "authority", "follower", "reads"),
    [
        ("old-only", "old", None, "old"),
        ("dual-write", "old", "new", "old"),
        ("shadow", "old", "new", "old"),
        ("dual-write-new-read", "old", "new", "new"),
        ("new-primary", "new", "old", "new"),
        ("new-only", "new", None, "new"),
    ],
)
def test_the_table_of_stages(stage: str, authority: str, follower: str | None, reads: str) -> None:
    """Who is the authority, who follows and who answers reads is what the table of the design says."""
    found = Stage(stage)
    assert (found.authority, found.follower, found.reads) == (authority, follower, reads)
    assert isinstance(found.authority, Side)


def test_stages_compare_by_their_place_in_the_move() -> None:
    """Comparing and sorting stages never falls back to comparing letters, nor compares with something else."""
    assert [stage.value for stage in Stage] == ORDER
    assert sorted(Stage) == list(Stage)
    assert [stage.position for stage in Stage] == [0, 1, 2, 3, 4, 5]
    for one, other in itertools.product(Stage, repeat=2):
        assert (one < other) is (one.position < other.position)
        assert (one <= other) is (one.position <= other.position)
        assert (one > other) is (one.position > other.position)
        assert (one >= other) is (one.position >= other.position)
    word = "old-only"
    with pytest.raises(TypeError):
        _ = word < Stage.SHADOW
    with pytest.raises(TypeError):
        _ = word >= Stage.SHADOW
    with pytest.raises(TypeError):
        sorted([Stage.SHADOW, word])


@pytest.mark.parametrize("word", ORDER)
def test_canonical_words(word: str) -> None:
    """The six canonical words mean themselves for every pair of stores."""
    for old, new in itertools.product([FILE, SQLITE, POSTGRES, GRAPH, MEMORY], repeat=2):
        assert resolve(word, old, new) is Stage(word)


SPELLINGS = [
    (FILE, ["file"]),
    (SQLITE, ["sqlite"]),
    (POSTGRES, ["postgres", "postgresql"]),
    (GRAPH, ["graph", "emergent"]),
    (MEMORY, ["memory"]),
    (DUCK, ["duck"]),
]


@pytest.mark.parametrize(("url", "kinds"), SPELLINGS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_aliases_by_kind(url: StoreUrl, kinds: list[str]) -> None:
    """`<kind>-only` and `dual-write-<kind>-read` work for every kind, in every spelling, on both sides."""
    other = SQLITE if url is not SQLITE else FILE
    for kind in kinds:
        assert resolve(f"{kind}-only", url, other) is Stage.OLD_ONLY
        assert resolve(f"{kind}-only", other, url) is Stage.NEW_ONLY
        assert resolve(f"dual-write-{kind}-read", url, other) is Stage.DUAL_WRITE
        assert resolve(f"dual-write-{kind}-read", other, url) is Stage.DUAL_WRITE_NEW_READ


@pytest.mark.parametrize(
    ("word", "stage"),
    [
        ("dual-write", Stage.DUAL_WRITE),
        ("dual-write-emergent-read", Stage.DUAL_WRITE_NEW_READ),
        ("emergent-only", Stage.NEW_ONLY),
        ("sqlite-only", Stage.OLD_ONLY),
    ],
)
def test_the_flags_that_users_have(word: str, stage: Stage) -> None:
    """The four values that DIANE_USE_EMERGENT_MCP takes today go on working."""
    assert resolve(word) is stage


def test_aliases_by_name() -> None:
    """A store's own name works like its kind; the sides may be called old and new."""
    old = Names.of({"db": SQLITE, "mail": SQLITE, "tokens": FILE})
    new = Names.of({"hub": GRAPH})

    def named(word: str) -> Stage:
        return resolve_stage(word, old=old, new=new, name="F")

    for store in ("db", "mail", "tokens", "sqlite", "file"):
        assert named(f"{store}-only") is Stage.OLD_ONLY
        assert named(f"dual-write-{store}-read") is Stage.DUAL_WRITE
    assert named("hub-only") is Stage.NEW_ONLY
    assert named("dual-write-hub-read") is Stage.DUAL_WRITE_NEW_READ
    assert named("dual-write-old-read") is Stage.DUAL_WRITE
    assert named("dual-write-new-read") is Stage.DUAL_WRITE_NEW_READ


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("sqlite-only", ["old-only", "new-only"]),
        ("dual-write-sqlite-read", ["dual-write", "dual-write-new-read"]),
    ],
)
def test_an_alias_that_fits_both_stores_is_refused(word: str, instead: list[str]) -> None:
    """What fits both stores is not guessed; the error says what to write instead."""
    with pytest.raises(FlagError) as caught:
        resolve(word, SQLITE, StoreUrl.parse("sqlite:////srv/new.db"))
    message = str(caught.value)
    assert "fits both stores" in message
    assert "THE_FLAG" in message
    assert all(stage in message for stage in instead)


@pytest.mark.parametrize("word", ["file-only", "dual-write-file-read"])
def test_one_shared_store_among_several_is_enough_to_be_ambiguous(word: str) -> None:
    """With several old stores an alias is refused as soon as one of them is of the new store's kind."""
    old = Names.of({"db": SQLITE, "tokens": FILE})
    with pytest.raises(FlagError, match="fits both"):
        resolve_stage(word, old=old, new=Names.of({"new": FILE}), name="F")
    assert resolve_stage("tokens-only", old=old, new=Names.of({"new": FILE}), name="F") is Stage.OLD_ONLY


@pytest.mark.parametrize(
    ("text", "nearest", "reason"),
    [
        ("", None, "THE_FLAG is set but empty: unset it or give a stage"),
        ("Old-Only", "old-only", "lower case"),
        ("DUAL-WRITE", "dual-write", "lower case"),
        (" old-only", "old-only", "blanks"),
        ("old-only\n", "old-only", "blanks"),
        ("dual_write", "dual-write", ""),
        ("dual-wirte", "dual-write", ""),
        ("dualwrite", "dual-write", ""),
        ("shadwo", "shadow", ""),
        ("newonly", "new-only", ""),
        ("emergnt-only", "emergent-only", ""),
        ("dual-write-emergent", "dual-write-emergent-read", ""),
        ("sqllite-only", "sqlite-only", ""),
        ("\u043eld-only", "old-only", "U+043E"),
        ("old\u2011only", "old-only", "U+2011"),
        ("shadow\u202e", "shadow", "U+202E"),
        ("\uff53\uff48\uff41\uff44\uff4f\uff57", "", "U+FF53"),
        ("0", "", "two-state"),
        ("True", "", "two-state"),
        ("old-only,new-only", "old-only", ""),
        ("x" * 100_000, "", "..."),
    ],
)
def test_everything_else_is_refused_with_the_nearest(text: str, nearest: str | None, reason: str) -> None:
    """A value off the list is refused: the error names the variable, the value and the nearest valid value."""
    with pytest.raises(FlagError) as caught:
        resolve(text)
    message = str(caught.value)
    assert message.startswith("THE_FLAG")
    assert reason in message
    if nearest is not None:
        assert f"the nearest is '{nearest}" in message
    assert all(word in message for word in ORDER)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 700


TWO_STATE = TwoState(on=Stage.NEW_ONLY, off=Stage.OLD_ONLY)


@pytest.mark.parametrize("text", ["1", "true", "True", "TRUE", "tRuE", "on", "On", "ON"])
def test_two_state_on(text: str) -> None:
    """A two-state flag takes 1, true and on in any letter case."""
    assert resolve(text, two_state=TWO_STATE) is Stage.NEW_ONLY


@pytest.mark.parametrize("text", ["0", "false", "False", "FALSE", "off", "Off", "OFF"])
def test_two_state_off(text: str) -> None:
    """A two-state flag takes 0, false and off in any letter case."""
    assert resolve(text, two_state=TWO_STATE) is Stage.OLD_ONLY


@pytest.mark.parametrize(
    "text", ["", "yes", "no", "2", "00", " 1", "1 ", "01", "+1", "ture", "t", "\uff2f\uff2e", "\u0661", "Old-Only"]
)
def test_two_state_flags_are_strict_too(text: str) -> None:
    """A two-state flag takes nothing off its list."""
    with pytest.raises(FlagError, match="THE_FLAG"):
        resolve(text, two_state=TWO_STATE)


def test_two_state_flags_take_stages() -> None:
    """A two-state flag can ask for a stage between its two states, also by an alias."""
    assert resolve("shadow", two_state=TWO_STATE) is Stage.SHADOW
    assert resolve("emergent-only", two_state=TWO_STATE) is Stage.NEW_ONLY


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"name": "USE DB"}, "cannot be the name"),
        ({"name": ""}, "cannot be the name"),
        ({"name": "CROSSFADE_STAGE"}, "Crossfade's own"),
        ({"name": "USE_DB", "on": "new-only"}, "both on and off"),
        ({"name": "USE_DB", "off": "new-only"}, "both on and off"),
        ({"name": "USE_DB", "on": "sqlite-only", "off": "old-only"}, "is not one of"),
        ({"name": "USE_DB", "on": "old-only", "off": "old-only"}, "same stage"),
    ],
)
def test_a_flag_name_is_checked_when_it_is_declared(declared: dict[str, str], complaint: str) -> None:
    """A catalog that declares a flag wrongly learns it at once."""
    with pytest.raises(FlagError, match=complaint):
        FlagName(**declared)


def test_a_flag_name_knows_its_two_states() -> None:
    """A flag is two-state exactly if it declares on and off."""
    flag = FlagName(name="FEDERATION_USE_DB", on="new-only", off="old-only")
    assert flag.two_state == TWO_STATE
    assert FlagName(name="DIANE_USE_EMERGENT_MCP", group="mcp").two_state is None


KINDS = st.sampled_from([FILE, SQLITE, POSTGRES, GRAPH, MEMORY])


@given(
    st.text() | st.sampled_from(ORDER).flatmap(lambda word: st.text(max_size=2).map(lambda t: word + t)), KINDS, KINDS
)
def test_nothing_off_the_list_is_ever_accepted(text: str, old: StoreUrl, new: StoreUrl) -> None:
    """Whatever the text, the answer is the listed stage or a FlagError that can be printed safely."""
    words, torn = stage_words(Names.of({"old": old}), Names.of({"new": new}))
    assert not set(words) & set(torn)
    if text in words:
        assert resolve(text, old, new) is words[text]
        return
    with pytest.raises(FlagError) as caught:
        resolve(text, old, new)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@given(st.sampled_from(["old-only", "dual-write", "sqlite-only", "1", "true"]), st.data())
def test_no_single_edit_of_a_valid_word_passes_unless_it_is_on_the_list(word: str, data: st.DataObject) -> None:
    """One typed, dropped or changed character never turns a value into an accepted one by leniency."""
    place = data.draw(st.integers(0, len(word)))
    char = data.draw(st.characters())
    for edited in (
        word[:place] + char + word[place:],
        word[:place] + word[place + 1 :],
        word[:place] + char + word[place + 1 :],
    ):
        words, _ = stage_words(Names.of({"old": SQLITE}), Names.of({"new": GRAPH}))
        if edited in words or (edited.lower() in {"0", "1", "true", "false", "on", "off"} and edited.isascii()):
            continue
        with pytest.raises(FlagError):
            resolve(edited, two_state=TWO_STATE)
