"""Store URLs: what is understood, what is refused with which advice, and what is shown."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import SettingsError
from crossfade.flags import StoreUrl, same_place

CANARY = "Canary7Qx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory:", {"kind": "memory", "path": None}),
        ("memory:cache-1", {"kind": "memory", "path": "cache-1"}),
        ("sqlite:///relative.db", {"kind": "sqlite", "path": "relative.db"}),
        ("sqlite:////srv/abs.db", {"kind": "sqlite", "path": "/srv/abs.db"}),
        ("sqlite:////srv/my%20app%3F.db", {"kind": "sqlite", "path": "/srv/my app?.db"}),
        ("sqlite:////srv/a@b.db", {"kind": "sqlite", "path": "/srv/a@b.db"}),
        (
            "sqlite:////abs.db?synchronous=normal&busy_timeout=5",
            {"kind": "sqlite", "path": "/abs.db", "options": {"synchronous": "normal", "busy_timeout": "5"}},
        ),
        ("file:///srv/x", {"kind": "file", "path": "/srv/x"}),
        ("file://localhost/srv/x", {"kind": "file", "path": "/srv/x"}),
        ("file:data/x", {"kind": "file", "path": "data/x"}),
        ("file:///srv/%C3%A9", {"kind": "file", "path": "/srv/é"}),
        (
            "postgresql://u:p%40%2F@h:5432/db",
            {"kind": "postgres", "user": "u", "host": "h", "port": 5432, "database": "db", "path": None},
        ),
        ("postgres://u@h/db", {"kind": "postgres", "user": "u", "password": None, "port": None}),
        ("postgresql:///db?host=/run/pg", {"host": None, "database": "db", "options": {"host": "/run/pg"}}),
        ("postgresql://[::1]:5433/db", {"host": "::1", "port": 5433}),
        ("POSTGRESQL://h/db", {"scheme": "postgresql"}),
        ("emergent+https://host/base/x", {"kind": "graph", "host": "host", "path": "/base/x"}),
        ("emergent+http://127.0.0.1:3002", {"kind": "graph", "host": "127.0.0.1", "port": 3002, "path": None}),
        ("emergent+https://tok@host", {"kind": "graph", "user": None}),
        ("duck://u:p@h/x?a=1+2", {"kind": "duck", "user": "u", "path": "/x", "options": {"a": "1+2"}}),
    ],
)
def test_what_is_understood(text: str, expected: dict[str, object]) -> None:
    """Every documented form is taken apart, percent-decoded, and given back unchanged by raw()."""
    url = StoreUrl.parse(text, known=["duck"])
    assert {name: getattr(url, name) for name in expected} == expected
    assert url.raw() == text
    assert StoreUrl.parse(url.raw(), known=["duck"]) == url


def test_the_password_is_decoded_and_held_back() -> None:
    """The decoded password is there for a driver, as a SecretStr."""
    password = StoreUrl.parse("postgresql://u:p%40%2Fss@h/db").password
    assert password is not None
    assert password.get_secret_value() == "p@/ss"
    for login in ("emt_1:x", ":emt_1:x", "emt_1%3Ax", "emt_1:x:"):
        graph = StoreUrl.parse(f"emergent+https://{login}@host")
        assert graph.password is not None
        assert graph.password.get_secret_value() == "emt_1:x"
        assert graph.user is None


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "is empty"),
        ("app.db", "did you mean sqlite:///app.db?"),
        ("/srv/app.sqlite3", "did you mean sqlite:////srv/app.sqlite3?"),
        ("srv/data", "did you mean sqlite:///app.db?"),
        (r"C:\data\app.db", "has no scheme"),
        ("host:5432", "has no scheme"),
        ("sqlite:", "use 'memory:'"),
        ("sqlite://", "use 'memory:'"),
        ("sqlite:///", "use 'memory:'"),
        ("sqlite:///:memory:", "use 'memory:'"),
        ("sqlite://:memory:", "use 'memory:'"),
        ("sqlite::memory:", "use 'memory:'"),
        ("sqlite:///file:%3Amemory%3A", "use 'memory:'"),
        ("sqlite:app.db", "three slashes"),
        ("sqlite://app.db", "three slashes"),
        ("sqlite:/srv/app.db", "three slashes"),
        ("sqlite:////srv/", "ends in '/'"),
        ("memory://x", "'memory:name'"),
        ("memory:a/b", "'memory:name'"),
        ("file:", "needs a folder"),
        ("file:///", "needs a folder"),
        ("file://srv/x", "three slashes"),
        ("file://u:p@/srv/x", "three slashes"),
        ("postgresql:db", "is written postgresql://"),
        ("postgresql://h/a/b", "has no '/'"),
        ("postgresql://h:0/db", "a port from 1 to 65535"),
        ("postgresql://h:99999/db", "a port from 1 to 65535"),
        ("postgresql://h1:1,h2:2/db", "a port from 1 to 65535"),
        ("emergent+https:///x", "needs a host"),
        ("emergent+https:x", "needs a host"),
        ("postgre://h/db", "did you mean 'postgres'?"),
        ("postgresql+asyncpg://h/db", "unknown scheme"),
        ("mysql://h/db", "known are"),
        ("emergent://h", "did you mean 'emergent+http"),
        ("sqlite:////srv/a%zz.db", "write '%' itself as %25"),
        ("sqlite:////srv/a%ff.db", "must be UTF-8"),
        ("sqlite:////srv/a%00.db", "control character"),
        ("sqlite:////srv/a%E2%80%AE.db", "control character"),
        ("sqlite:////srv/a.db\n", "control character"),
        (" sqlite:////srv/a.db", "blanks around"),
        ("sqlite:////srv/a.db?x", "must be name=value"),
        ("sqlite:////srv/a.db?x=1&x=2", "given twice"),
        ("sqlite:////srv/a.db#x", "as %23"),
    ],
)
def test_what_is_refused(text: str, advice: str) -> None:
    """What cannot be a store is refused, and the error says where it stood and what to write instead."""
    with pytest.raises(SettingsError) as caught:
        StoreUrl.parse(text, setting="CROSSFADE_OLD")
    assert str(caught.value).startswith("CROSSFADE_OLD: ")
    assert advice in str(caught.value)


def test_a_third_party_scheme_must_be_known() -> None:
    """A scheme is taken only if it is built in or passed as known, and its kind is the scheme."""
    with pytest.raises(SettingsError, match="did you mean 'duckdb'"):
        StoreUrl.parse("duckbd://h/x", known=["duckdb"])
    url = StoreUrl.parse("duckdb://h/x", known=["duckdb"])
    assert (url.kind, url.kinds) == ("duckdb", ("duckdb",))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql://u:{CANARY}@h:5432/db", "postgresql://u:***@h:5432/db"),
        (f"postgresql://:{CANARY}@h/db", "postgresql://:***@h/db"),
        (f"emergent+https://{CANARY}@h/x", "emergent+https://***@h/x"),
        (f"emergent+https://{CANARY}:@h/x", "emergent+https://***@h/x"),
        (f"duck://{CANARY}:@h", "duck://***@h"),
        (f"duck://{CANARY}@h", "duck://***@h"),
        (f"emergent+https://h/x?api_key={CANARY}&page=5", "emergent+https://h/x?api_key=***&page=5"),
        (f"postgresql://h/db?sslpassword={CANARY}", "postgresql://h/db?sslpassword=***"),
        (f"sqlite:////a.db?CLIENT_Secret={CANARY}", "sqlite:////a.db?CLIENT_Secret=***"),
        ("sqlite:////srv/a%20b.db?synchronous=full", "sqlite:////srv/a%20b.db?synchronous=full"),
        ("file:data", "file:data"),
        ("memory:x", "memory:x"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    """str and repr show the place and mask passwords, tokens and secret-looking options, in copies and dicts too."""
    url = StoreUrl.parse(text, known=["duck"])
    assert str(url) == shown
    assert repr(url) == f"StoreUrl({shown!r})"
    assert f"{url}" == shown
    for view in (url.options, copy.deepcopy(url), asdict(url), [url], {"u": url}):
        assert CANARY not in repr(view)
    with pytest.raises(TypeError):
        vars(url)


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{CANARY}/x@h/db",
        f"postgresql://u:12/{CANARY}@h/db",
        f"postgresql://u:12?{CANARY}@h/db",
        f"postgresql://u:12?a={CANARY}@h/db",
        f"postgresql://u:12#{CANARY}@h/db",
        f"postgresql://u:{CANARY}%@h/db",
        f"postgresql://u:{CANARY}@h:port/db",
        f"postgresql://u:{CANARY}:x@h:1:2/db",
        f"emergent+https://h/x?{CANARY}",
        f"emergent+https://h/x?token={CANARY}&token={CANARY}",
        f"mysql://u:{CANARY}@h/db",
        f"u:{CANARY}@h/db",
        f"//u:{CANARY}@h/db",
        CANARY,
        f"{CANARY}:x",
        f"sqlite://u:{CANARY}@h/app.db",
        f"file://u:{CANARY}@h/x",
        f"memory:{CANARY} x",
    ],
)
def test_a_refused_url_is_not_repeated(text: str) -> None:
    """An error about a URL shows nothing of it that may be a password, also when the password broke the URL."""
    with pytest.raises(SettingsError) as caught:
        StoreUrl.parse(text)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)


def outcome(text: str) -> str:
    """What is shown of a text that is parsed: the URL, which survives a round trip, or the error."""
    try:
        url = StoreUrl.parse(text)
    except SettingsError as error:
        return f"{error}"
    assert StoreUrl.parse(url.raw()) == url
    return f"{url} {url!r}"


SECRETS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30).map(lambda t: CANARY + t)


@settings(max_examples=500)
@given(SECRETS, st.sampled_from(["postgresql://u:{}@h/db", "emergent+https://{}@h", "emergent+https://h/?token={}"]))
def test_no_password_is_ever_shown(secret: str, form: str) -> None:
    """Whatever characters a password has, escaped or not, it is in no text of the URL and in no error."""
    url = StoreUrl.parse(form.format(quote(secret, safe="")))
    assert CANARY not in f"{url}{url!r}{url.options!r}{asdict(url)!r}"
    held = url.options.get("token") or (url.password.get_secret_value() if url.password else None)
    assert held == secret
    assert CANARY not in outcome(form.format(secret))


@given(st.text())
def test_any_text_is_a_url_or_a_settings_error(text: str) -> None:
    """Parsing never raises anything but SettingsError, and what it accepts survives a round trip."""
    assert outcome(text).isprintable()


def test_a_url_cannot_be_changed() -> None:
    """A StoreUrl is frozen, its options too."""
    url = StoreUrl.parse("sqlite:///a.db?x=1")
    with pytest.raises(FrozenInstanceError):
        url.path = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        url.options["x"] = "2"  # type: ignore[index]
    assert len({url, StoreUrl.parse("sqlite:///a.db?x=1")}) == 1


def test_anchoring_moves_relative_paths_only() -> None:
    """A relative path is taken relative to the folder; absolute paths and servers stay as they are."""
    folder = Path("/etc/app")
    assert StoreUrl.parse("sqlite:///a b.db?x=1").anchored(folder).raw() == "sqlite:////etc/app/a%20b.db?x=1"
    assert StoreUrl.parse("file:data").anchored(folder).raw() == "file:///etc/app/data"
    for text in ("sqlite:////a.db", "file:///x", "memory:", "postgresql://h/db", "emergent+https://h/x"):
        assert StoreUrl.parse(text).anchored(folder).raw() == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sqlite:////srv/a.db", "sqlite:////srv/x/../a.db?x=1", True),
        ("sqlite:////srv/a.db", "file:///srv/a.db", True),
        ("sqlite:////srv/a.db", "sqlite:////srv/b.db", False),
        ("postgresql://u:1@h/db", "postgres://v:2@H:5432/db", True),
        ("postgresql://h/db", "postgresql://h/other", False),
        ("postgresql://h/db?options=a", "postgresql://h/db?options=b", False),
        ("memory:", "memory:", False),
        ("memory:a", "memory:a", True),
        ("memory:a", "memory:b", False),
        ("emergent+https://t@h/x/", "emergent+https://:t@h:443/x", True),
        ("emergent+https://t1@h/x", "emergent+https://t2@h/x", False),
        ("emergent+https://h/x?project=a", "emergent+https://h/x?project=b", False),
    ],
)
def test_same_place(one: str, other: str, same: bool) -> None:
    """Two URLs of one place are recognised whatever login or spelling they have."""
    assert same_place(StoreUrl.parse(one), StoreUrl.parse(other)) is same
