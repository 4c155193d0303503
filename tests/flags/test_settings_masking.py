"""No secret value is in anything that this room shows: planted tokens are looked for everywhere."""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from crossfade.errors import SettingsError
from crossfade.flags import (
    Names,
    Settings,
    StoreUrl,
    asked_stage,
    check_names,
    load_settings,
    positive_int,
    resolve_stage,
    take_options,
)

CANARY = "Canary7Qx"
_tokens = iter(f"{CANARY}{number}" for number in range(10_000))


def secret() -> str:
    """A token that is nowhere else."""
    return next(_tokens)


def everything_about(error: BaseException) -> str:
    """What a log, an error reporter with locals, or a curious handler can see of an error."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None:
            continue
        pending += [one.__cause__, one.__context__]
        seen += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ""))]
        # Frames of this test hold the tokens by nature; those of the package must not.
        walk = one.__traceback__
        while walk is not None:
            seen.append(frame_text(walk.tb_frame))
            walk = walk.tb_next
        seen += traceback.TracebackException.from_exception(one).format_exception_only()
    return "\n".join(seen)


def frame_text(frame: FrameType) -> str:
    if Path(frame.f_code.co_filename).name == Path(__file__).name:
        return ""
    return "\n".join(f"{name}={value!r}" for name, value in frame.f_locals.items())


def failing(call: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        call()
    return everything_about(caught.value)


def full_settings() -> Settings:
    path = Path("crossfade.toml")
    path.write_text(
        f"""
        cursor_key = "{secret()}"
        [stores]
        old = {{ db = "postgresql://u:{secret()}@h/db", web = "emergent+https://{secret()}@h/" }}
        new = "emergent+https://h/?api_key={secret()}"
        ledger = "postgresql://h/db?sslpassword={secret()}"
        [groups.polls]
        new = "postgresql://u:{secret()}@h/polls"
        """
    )
    environ = {
        "CROSSFADE_CURSOR_KEY": secret(),
        "CROSSFADE_OLD_MORE": f"postgresql://u:{secret()}@h/more",
        "CROSSFADE_STROE": secret(),
        "crossfade_store": secret(),
    }
    return load_settings(path, environ=environ, options={"ledger": f"postgresql://u:{secret()}@h/l"})


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_settings_show_no_secret() -> None:
    """str, repr, asdict, JSON, copies, origins and warnings of full settings hold no planted token."""
    settings = full_settings()
    assert len(settings.warnings) == 2
    views: list[Any] = [settings, asdict(settings), copy.copy(settings), copy.deepcopy(settings)]
    views += [getattr(settings, one.name) for one in fields(settings)]
    for url in (*settings.old.values(), settings.new, settings.ledger, settings.groups["polls"].new):
        assert isinstance(url, StoreUrl)
        assert CANARY in url.raw(), "the token was planted and a driver gets it"
        views += [url, url.password, url.options, asdict(url), [getattr(url, one.name) for one in fields(url)]]
    for view in views:
        assert CANARY not in str(view)
        assert CANARY not in repr(view)
        assert CANARY not in json.dumps(view, default=str)
    for url in settings.old.values():
        with pytest.raises(TypeError):
            vars(url)


FILES = [
    'stor = "{0}"',
    'cursor_key = ["{0}"]',
    'store = ["{0}"]',
    'store = "{0}"',
    'store = "postgresql://u:{0}@h:x/db"',
    'store = "postgresql://u:{0}@h/db"\n[stores]\nnew = "emergent+https://{0}@h"',
    'store = "postgres+x://u:{0}@h/db"',
    "cursor_key = {0}",
    'cursor_key = "{0}',
    "password: {0}",
    '[stores]\nold = "postgresql://u:{0}@h/db"',
    '[stores]\nold = "postgresql://u:{0}@h/db"\nnew = "postgresql://v:{0}@h/db"',
    '[stores]\nold = {{ "db" = 5, x = "{0}" }}',
    '[stores]\nold = "emergent+https://{0}@/"\nnew = "memory:"',
    '[groups.polls]\ngates = {{ soak = "{0}" }}',
    '[groups.polls]\nretention = "{0}"',
    '[groups.polls]\npassword = "{0}"',
    'cursor_key = "{0}"\ncatalog = 5',
    'cursor_key = "{0}"\n[stores]\nold = "memory:"',
]


@pytest.mark.parametrize("text", FILES)
def test_a_wrong_file_shows_no_secret(text: str) -> None:
    """Whatever is wrong with a file, no value of it is in the error, its causes, or the locals of its frames."""
    Path("crossfade.toml").write_text(text.format(secret()))
    environ = {"CROSSFADE_LEDGER": f"postgresql://u:{secret()}@h/db", "OTHER_SECRET": secret()}
    assert CANARY not in failing(lambda: load_settings(environ=environ))


@pytest.mark.parametrize(
    "environ",
    [
        {"CROSSFADE_STORE": "{0}"},
        {"CROSSFADE_STORE": "//u:{0}@h"},
        {"CROSSFADE_STORE": "postgresql://u:{0}@h/a/b"},
        {"CROSSFADE_STORE": "sqlite://{0}"},
        {"CROSSFADE_OLD": "postgresql://u:{0}@h/db"},
        {"CROSSFADE_OLD": "postgresql://u:{0}@h/db", "CROSSFADE_NEW": "postgresql://w:{0}@h/db"},
        {"CROSSFADE_NEW": "", "CROSSFADE_OLD": "postgresql://u:{0}@h/db"},
        {"CROSSFADE_OLD": "emergent+https://{0}@h", "CROSSFADE_OLD_X": "emergent+https://{0}@h"},
    ],
)
def test_a_wrong_variable_shows_no_secret(environ: dict[str, str]) -> None:
    """Whatever is wrong with the environment, no value of it is in the error or in the locals of its frames."""
    planted = {name: text.format(secret()) for name, text in environ.items()} | {"OTHER_SECRET": secret()}
    assert CANARY not in failing(lambda: load_settings(environ=planted))


@pytest.mark.parametrize("option", ["store", "old", "cursor_key", "stor", "groups"])
def test_a_wrong_option_shows_no_secret(option: str) -> None:
    """Options are held back like everything else."""
    value = {"polls": {"stage": [secret()]}} if option == "groups" else [secret()]
    options = {option: value, "ledger": f"postgresql://u:{secret()}@h/db"}
    assert CANARY not in failing(lambda: load_settings(environ={}, options=options))


def test_a_wrong_url_or_url_option_shows_no_secret() -> None:
    """Errors of StoreUrl.parse and take_options hold nothing of the URL that is secret."""
    assert CANARY not in failing(lambda: StoreUrl.parse(f"postgresql://u:{secret()}@h:x/db"))
    assert CANARY not in failing(lambda: StoreUrl.parse(f"mysql://u:{secret()}@h/db"))
    for query in (f"token={secret()}", f"pool=x&password={secret()}"):
        url = StoreUrl.parse(f"postgresql://u:{secret()}@h/db?{query}")
        assert CANARY not in failing(partial(take_options, url, {"pool": positive_int, "password": positive_int}))


def test_a_stage_flag_that_holds_a_url_is_not_repeated() -> None:
    """A URL that landed in a stage flag is not shown, nor is the environment around a wrong flag."""
    nobody = Names()
    wrong = f"postgresql://u:{secret()}@h/db"
    assert CANARY not in failing(lambda: resolve_stage(wrong, old=nobody, new=nobody, name="CROSSFADE_STAGE"))
    settings = full_settings()
    groups = ["polls"]
    for environ in ({"CROSSFADE_STAGE": wrong}, {"CROSSFADE_STAGES": secret()}, {"CROSSFADE_STAGE_POLLS": "x"}):
        planted = environ | {"OTHER_SECRET": secret()}
        assert CANARY not in failing(partial(asked_stage, settings, "polls", groups=groups, environ=planted))
    assert CANARY not in failing(lambda: check_names(settings, groups=["x"], environ={"OTHER_SECRET": secret()}))
