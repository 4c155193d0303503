"""Settings: what is read from where, what wins, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import SettingsError
from crossfade.flags import Origin, Settings, StoreUrl, load_settings

FULL = """
catalog = "federation"
models = ["myapp.entities", "myapp.more"]
cursor_key = "of-the-file"
stage = "dual-write"

[stores]
old = "file:///srv/federation"
new = "sqlite:////var/lib/fed.db"
ledger = "sqlite:///ledger.db"

[groups.polls]
old = "file:polls"
new = "postgresql://h/polls"
gates = { soak = "24h", shadow_reads = 1000, ratio = 0.5, referenced-by = false, note = "x" }
retention = "7d"
stage = "shadow"
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, path: Path | None = None) -> Path:
    path = path or Path("crossfade.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(text: str, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
    return load_settings(write(text), environ=environ or {}, options=options)


def refused(text: str, environ: Mapping[str, str] | None = None, **options: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(text, environ, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value)


def test_a_whole_file(tmp_path: Path) -> None:
    """Every setting of the file arrives, typed, and tells where it came from."""
    settings = read(FULL)
    assert settings.catalog == "federation"
    assert settings.models == ("myapp.entities", "myapp.more")
    assert settings.cursor_key is not None
    assert settings.cursor_key.get_secret_value() == "of-the-file"
    assert settings.stage == "dual-write"
    assert dict(settings.old) == {"old": StoreUrl.parse("file:///srv/federation")}
    assert settings.new == StoreUrl.parse("sqlite:////var/lib/fed.db")
    assert settings.ledger == StoreUrl.parse(f"sqlite:///{tmp_path}/ledger.db")
    polls = settings.groups["polls"]
    assert dict(polls.old) == {"old": StoreUrl.parse(f"file://{tmp_path}/polls")}
    assert polls.new == StoreUrl.parse("postgresql://h/polls")
    assert dict(polls.gates) == {
        "soak": timedelta(hours=24),
        "shadow_reads": 1000,
        "ratio": 0.5,
        "referenced-by": False,
        "note": "x",
    }
    assert polls.gates["referenced-by"] is False
    assert polls.retention == timedelta(days=7)
    assert polls.stage == "shadow"
    assert settings.file == tmp_path / "crossfade.toml"
    assert settings.store is None
    assert settings.warnings == ()
    assert str(settings.origin("old")) == "crossfade.toml: stores.old"
    assert settings.origin("groups.polls.retention") == Origin("file", "crossfade.toml: groups.polls.retention")
    assert settings.origin("store") == Origin("default")


def test_nothing_set_is_nothing_set() -> None:
    """Without a file and variables everything is a default, and nothing is opened by guess."""
    assert load_settings(environ={}) == Settings()


def test_the_file_in_the_current_folder_is_found() -> None:
    """Without a source, crossfade.toml of the current folder is read if it is there."""
    write('store = "memory:a"')
    assert load_settings(environ={}).store == StoreUrl.parse("memory:a")


def test_a_url_opens_a_plain_store_and_reads_no_file() -> None:
    """A URL as the source is the store, whatever file lies around and whatever CROSSFADE_STORE says."""
    write("this is no toml")
    settings = load_settings("sqlite:///app.db", environ={"CROSSFADE_STORE": "memory:"})
    assert settings.store == StoreUrl.parse("sqlite:///app.db")
    assert settings.origin("store") == Origin("option", "store")
    assert str(settings.origin("store")) == "option store"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("app.db", "did you mean sqlite:///app.db?"),
        ("", "is empty"),
        ("sqlit:///app.db", "did you mean 'sqlite'?"),
        ("no/such/crossfade.toml", "there is no settings file no/such/crossfade.toml"),
        ("https://h/crossfade.toml", "unknown scheme 'https'"),
    ],
)
def test_a_source_that_is_neither(source: str, complaint: str) -> None:
    """A source that is no URL and no settings file is refused with advice."""
    with pytest.raises(SettingsError) as caught:
        load_settings(source, environ={})
    assert complaint in str(caught.value)


def test_third_party_schemes_are_taken_when_known() -> None:
    """The schemes of entry points reach every URL."""
    assert load_settings("duck://h/x", environ={}, known=["duck"]).store is not None


LEVELS = {
    "option": ({"options": {"X": "memory:option"}}, "memory:option"),
    "environment": ({"environ": "memory:environment"}, "memory:environment"),
    "file": ({"file": "memory:file"}, "memory:file"),
}


@pytest.mark.parametrize("setting", ["store", "old", "new", "ledger"])
@pytest.mark.parametrize(
    "present", [s for n in range(8) for s in [[lvl for i, lvl in enumerate(LEVELS) if n >> i & 1]]], ids=str
)
def test_precedence(setting: str, present: list[str]) -> None:
    """Option wins over environment, environment over file, file over default: every combination, every URL."""
    text, environ, options = "", {}, {}
    other = {"old": "new", "new": "old"}.get(setting)
    table = "[stores]\n" if setting != "store" else ""
    if "file" in present:
        text = f'{table}{setting} = "memory:file"\n'
    if "environment" in present:
        environ[f"CROSSFADE_{setting.upper()}"] = "memory:environment"
    if "option" in present:
        options[setting] = "memory:option"
    if other and present:
        text += f'{"" if text else table}{other} = "memory:other"\n'
    settings = read(text, environ, **options)
    found = settings.old.get("old") if setting == "old" else getattr(settings, setting)
    expected = next((f"memory:{level}" for level in LEVELS if level in present), None)
    assert (found.raw() if found else None) == expected
    assert settings.origin(setting).source == (next((level for level in LEVELS if level in present), "default"))


def test_precedence_of_the_cursor_key() -> None:
    """The cursor key follows the same order."""
    text = 'cursor_key = "file"'

    def key(environ: dict[str, str], **options: Any) -> str:
        found = read(text, environ, **options).cursor_key
        assert found is not None
        return found.get_secret_value()

    assert key({}) == "file"
    assert key({"CROSSFADE_CURSOR_KEY": "environment"}) == "environment"
    assert key({"CROSSFADE_CURSOR_KEY": "environment"}, cursor_key="option") == "option"


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is handed over replaces the process's own as a whole."""
    monkeypatch.setenv("CROSSFADE_STORE", "memory:process")
    monkeypatch.setenv("STORE", "memory:unprefixed")
    monkeypatch.setenv("store", "memory:lower")
    assert load_settings(environ={}).store is None
    assert load_settings().store == StoreUrl.parse("memory:process")


NAMED = """
[stores]
old = { db = "sqlite:///cron.db", my-mail = "sqlite:///gmail.db" }
new = { hub = "emergent+https://host" }
"""


def test_named_stores(tmp_path: Path) -> None:
    """Stores may have names of their own; a variable replaces one of them and leaves it its name."""
    settings = read(NAMED)
    assert list(settings.old) == ["db", "my-mail"]
    assert settings.old["db"] == StoreUrl.parse(f"sqlite:///{tmp_path}/cron.db")
    assert settings.new_name == "hub"
    assert str(settings.origin("new")) == "crossfade.toml: stores.new.hub"

    settings = read(
        NAMED, {"CROSSFADE_OLD_MY_MAIL": "memory:m", "CROSSFADE_OLD_EXTRA": "memory:x", "CROSSFADE_NEW": "memory:n"}
    )
    assert {name: url.path for name, url in settings.old.items()} == {
        "db": f"{tmp_path}/cron.db",
        "my-mail": "m",
        "extra": "x",
    }
    assert (settings.new_name, settings.new) == ("hub", StoreUrl.parse("memory:n"))
    assert str(settings.origin("old.my-mail")) == "CROSSFADE_OLD_MY_MAIL"
    assert str(settings.origin("new")) == "CROSSFADE_NEW"


def test_named_stores_from_the_environment_alone() -> None:
    """Several old stores need no file."""
    environ = {"CROSSFADE_OLD_DB": "memory:d", "CROSSFADE_OLD_MAIL_BOX": "memory:m", "CROSSFADE_NEW": "memory:n"}
    assert sorted(load_settings(environ=environ).old) == ["db", "mail_box"]


def test_an_option_replaces_a_whole_side() -> None:
    """An `old` option replaces all old stores, and nothing of what it replaced is reported as an origin."""
    settings = read(NAMED, {"CROSSFADE_OLD_DB": "memory:d"}, old=StoreUrl.parse("memory:o"), new={"n2": "memory:n"})
    assert dict(settings.old) == {"old": StoreUrl.parse("memory:o")}
    assert settings.new_name == "n2"
    assert [name for name in settings.origins if name.startswith("old")] == ["old"]


def test_what_a_group_does_not_set_it_has_from_all_groups() -> None:
    """A group's own stores replace those of all groups, side by side."""
    settings = read(NAMED + '[groups.polls]\nold = "memory:p"\n[groups.jobs]\nnew = "memory:j"\n')
    assert list(settings.old_of("polls")) == ["old"]
    assert settings.new_of("polls") == ("hub", settings.new)
    assert list(settings.old_of("jobs")) == ["db", "my-mail"]
    assert settings.new_of("jobs") == ("new", StoreUrl.parse("memory:j"))
    assert settings.new_of("other") == ("hub", settings.new)
    assert settings.moves("polls")
    assert not Settings().moves("polls")


def test_relative_paths_of_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the program is started, a file's relative store is the same; those of other sources are relative to it."""
    write('[stores]\nold = "file:data"\nnew = "sqlite:///app.db"', Path("etc/app/crossfade.toml"))
    settings = load_settings("etc/app/crossfade.toml", environ={"CROSSFADE_NEW": "sqlite:///app.db"})
    assert settings.old["old"].path == f"{tmp_path}/etc/app/data"
    assert settings.new is not None
    assert settings.new.path == "app.db"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('stor = "memory:"', "crossfade.toml: stor: unknown setting; did you mean 'store'?"),
        ('catalogue = "x"', "did you mean 'catalog'?"),
        ('[store]\nold = "memory:"', "crossfade.toml: store: must be the URL of a store"),
        ('[stores]\nolds = "memory:"', "crossfade.toml: stores.olds: unknown setting; did you mean 'old'?"),
        ('[stores]\nstore = "memory:"', "a store alone stands at the top"),
        ('old = "memory:"', "it belongs into the table [stores]"),
        ("[groups.polls]\nretension = 5", "groups.polls.retension: unknown setting; did you mean 'retention'?"),
        ("[groups.polls]\nxyz = 5", "crossfade.toml: groups.polls.xyz: unknown setting"),
        ("store = 5", "crossfade.toml: store: must be the URL of a store, in quotes"),
        ("stores = 5", "crossfade.toml: stores: must be a table"),
        ("[stores]\nold = 5", "stores.old: must be the URL of a store, or a table"),
        ("[stores]\nold = { db = 5 }", "stores.old.db: must be the URL of a store"),
        ('[stores]\nold = ["memory:"]', "stores.old: must be the URL"),
        ('models = "myapp"', "models: must be a list of module names"),
        ("models = [1]", "models: must be a list of module names"),
        ("catalog = true", "catalog: must be the name of a catalog"),
        ('catalog = ""', "catalog: is set but empty"),
        ('cursor_key = ""', "cursor_key: is set but empty"),
        ("cursor_key = 123456", "cursor_key: must be text"),
        ("stage = 1", "stage: must be a stage"),
        ("groups = 1", "groups: must be a table"),
        ("[groups]\npolls = 1", "groups.polls: must be a table with any of old"),
        ("[groups.polls]\ngates = 1", "groups.polls.gates: must be a table"),
        ("[groups.polls]\ngates = { a = [1] }", "groups.polls.gates.a: must be text, a number or a boolean"),
        ('[groups.polls]\ngates = { soak = "soon" }', "groups.polls.gates.soak: must be a duration such as"),
        ("[groups.polls]\ngates = { soak = true }", "groups.polls.gates.soak: must be a duration"),
        ("[groups.polls]\ngates = { soak = -1 }", "groups.polls.gates.soak: must be a duration"),
        ("[groups.polls]\nretention = true", "groups.polls.retention: must be a duration"),
        ('[groups.polls]\nretention = "1 week"', "groups.polls.retention: must be a duration"),
        ('store = ""', "crossfade.toml: store: is empty"),
        ('store = "app.db"', "crossfade.toml: store: has no scheme; did you mean sqlite:///app.db?"),
        ('[stores]\nold = "sqlit:///a"\nnew = "memory:"', "crossfade.toml: stores.old: unknown scheme 'sqlit'"),
        ('[stores]\nold = { new = "memory:" }\nnew = "memory:"', "cannot be the name of an old store"),
        ('[stores]\nold = { DB = "memory:" }\nnew = "memory:"', "cannot be the name of an old store"),
        ('[stores]\nold = "memory:"\nnew = { a = "memory:", b = "memory:" }', "there is one new store"),
        ('[stores]\nold = "memory:"\nnew = { old = "memory:" }', "cannot be the name of a new store"),
        ('[stores]\nold = { a-b = "memory:", a_b = "memory:" }\nnew = "memory:"', "would share the variable"),
        ('[stores]\nold = "memory:"', "an old store without a new one"),
        ('[stores]\nnew = "memory:"', "a new store without an old one"),
        ('[groups.polls]\nnew = "memory:"', "a new store without an old one (group 'polls')"),
        ('store = "memory:"\n[stores]\nnew = "memory:"', "opens a single store, but crossfade.toml: stores.new"),
        ('store = "memory:"\n[groups.polls]\nnew = "memory:"', "opens a single store, but"),
        ('[stores]\nold = "sqlite:///a.db"\nnew = "sqlite:///./a.db"', "are the same place: sqlite:///"),
        (
            '[stores]\nold = "file:a"\nnew = "memory:"\n[groups.p]\nnew = "sqlite:///a"',
            "(group 'p') are the same place",
        ),
        ('store = "memory:"\nstore = "memory:"', "crossfade.toml is not valid TOML: "),
        ("\n\nstore = memory", "(at line 3, column 9)"),
        ("[" * 100_000, "crossfade.toml is "),
        ("#" * 2_000_000, "larger than 1 MB"),
    ],
)
def test_a_wrong_file_is_refused(text: str, complaint: str) -> None:
    """What is unknown, malformed or contradictory in a file is refused: file, setting, and what to write instead."""
    assert complaint in refused(text)


def test_all_faults_are_told_at_once() -> None:
    """One run shows every fault of the file's shape."""
    message = refused("stor = 1\ncatalog = 2")
    assert "stor: unknown" in message
    assert "catalog: must be" in message


@pytest.mark.parametrize("content", [b"store = '\xff'", b"\xff\xfe"])
def test_a_file_that_is_not_text(content: bytes) -> None:
    """A file that is not UTF-8 is named as such."""
    Path("crossfade.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"crossfade\.toml is not UTF-8 text"):
        load_settings(environ={})


def test_a_file_written_on_windows() -> None:
    """A byte order mark and CRLF line ends are no fault."""
    Path("crossfade.toml").write_bytes(b'\xef\xbb\xbfstore = "memory:a"\r\ncatalog = "x"\r\n')
    assert load_settings(environ={}).catalog == "x"


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    """What cannot be read says why."""
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, environ={})


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        *(
            ({name: ""}, f"{name} is set but empty: unset it or give a value")
            for name in ("CROSSFADE_STORE", "CROSSFADE_OLD", "CROSSFADE_OLD_DB", "CROSSFADE_NEW", "CROSSFADE_LEDGER")
        ),
        ({"CROSSFADE_CURSOR_KEY": ""}, "CROSSFADE_CURSOR_KEY is set but empty"),
        ({"CROSSFADE_STORE": "app.db"}, "CROSSFADE_STORE: has no scheme; did you mean sqlite:///app.db?"),
        (
            {"CROSSFADE_OLD": "memory:", "CROSSFADE_OLD_DB": "memory:"},
            "CROSSFADE_OLD: gives one old store, but CROSSFADE_OLD_DB",
        ),
        ({"CROSSFADE_OLD_NEW": "memory:", "CROSSFADE_NEW": "memory:"}, "cannot be the name of an old store"),
        (
            {"CROSSFADE_STORE": "memory:", "CROSSFADE_NEW": "memory:"},
            "CROSSFADE_STORE: opens a single store, but CROSSFADE_NEW",
        ),
    ],
)
def test_a_wrong_variable_is_refused(environ: dict[str, str], complaint: str) -> None:
    """A variable that is empty, malformed or contradictory is named."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    assert complaint in str(caught.value)


def test_one_old_store_cannot_stand_for_several() -> None:
    """CROSSFADE_OLD beside a file that names several old stores is refused, not merged."""
    assert "gives one old store, but crossfade.toml: stores.old.db gives several" in refused(
        NAMED, {"CROSSFADE_OLD": "memory:"}
    )


def test_a_plain_store_in_code_does_not_silence_a_move_in_the_environment() -> None:
    """A hard-coded URL beside CROSSFADE_OLD and CROSSFADE_NEW would write past the move: refused."""
    environ = {"CROSSFADE_OLD": "memory:a", "CROSSFADE_NEW": "memory:b"}
    with pytest.raises(SettingsError, match="option store: opens a single store, but CROSSFADE_OLD is of a move"):
        load_settings("memory:x", environ=environ)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"stor": "memory:"}, "unknown option 'stor'; did you mean 'store'?"),
        ({"stage": "shadow"}, "unknown option 'stage'"),
        ({"store": 5}, "option store: must be the URL of a store"),
        ({"store": "app.db"}, "option store: has no scheme"),
        ({"groups": {"polls": {"gate": {}}}}, "option groups.polls.gate: unknown setting; did you mean 'gates'?"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], complaint: str) -> None:
    """Options are judged like every other source."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, options=options)
    assert complaint in str(caught.value)


def test_options_that_are_none_are_not_given() -> None:
    """A None in the options leaves the say to the environment."""
    assert load_settings(environ={"CROSSFADE_STORE": "memory:e"}, options={"store": None}).store == StoreUrl.parse(
        "memory:e"
    )


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("CROSSFADE_STROE", "'CROSSFADE_STROE' is not a variable of Crossfade; did you mean CROSSFADE_STORE?"),
        ("CROSSFADE_SERVICE_HOST", "'CROSSFADE_SERVICE_HOST' is not a variable of Crossfade"),
        ("CROSSFADE_CURSORKEY", "did you mean CROSSFADE_CURSOR_KEY?"),
        ("CROSSFADE_OLD_db", "did you mean CROSSFADE_OLD?"),
        ("crossfade_store", "'crossfade_store' is not read, because names are case-sensitive: write CROSSFADE_STORE"),
        ("crossfade_stage_polls", "write CROSSFADE_STAGE_POLLS"),
        ("Crossfade_Old_Db", "write CROSSFADE_OLD_DB"),
        ("CROSSFADE_\x1b[31m", r"'CROSSFADE_\x1b[31m' is not a variable"),
    ],
)
def test_unknown_names_with_our_prefix_are_warnings(name: str, warning: str) -> None:
    """An orchestrator's variables do not stop the program; `doctor` can tell about them."""
    settings = load_settings(environ={name: "x"})
    assert len(settings.warnings) == 1
    assert warning in settings.warnings[0]
    assert settings.warnings[0].isprintable()


def test_names_that_are_known_are_no_warnings() -> None:
    """Stage flags are judged elsewhere, and other programs' variables are none of our business."""
    names = ["CROSSFADE_STAGE", "CROSSFADE_STAGE_X", "CROSSFADE_STAGES", "CROSSFADE_TEST_POSTGRES", "CROSSFADE", "PATH"]
    assert load_settings(environ=dict.fromkeys(names, "x")).warnings == ()


def test_settings_are_frozen() -> None:
    """What was read once does not change, and can be looked at as a dict."""
    settings = read(FULL)
    with pytest.raises(FrozenInstanceError):
        settings.catalog = "x"  # type: ignore[misc]
    for mapping in (settings.old, settings.groups, settings.origins, settings.groups["polls"].gates):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]
    assert asdict(settings)["groups"]["polls"].retention == timedelta(days=7)


@pytest.mark.parametrize(
    ("source", "advice"),
    [("memory", "did you mean memory:"), (":memory:", "memory:"), (Path("app.db"), "write sqlite:///app.db")],
)
def test_a_store_that_is_written_almost_right_is_told_how(source: str | Path, advice: str) -> None:
    """Where the scheme is left out, or a path is given as an object, the sentence has the URL."""
    with pytest.raises(SettingsError, match=advice):
        load_settings(source, environ={})
