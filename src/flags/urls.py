"""Store URLs: taken apart strictly, shown masked, never revealed by an error.

    memory:   memory:name
    file:///srv/data            absolute; file:data is relative
    sqlite:////srv/app.db       four slashes: absolute; sqlite:///app.db is relative
    postgresql://user:password@host:5432/database      also postgres://
    emergent+https://host/base  also emergent+http://

Paths, names and passwords are percent-decoded; query parameters are options of the store. The text is taken
apart by hand because `urlsplit` repairs what it should refuse: it drops line breaks, and a `/` or `#` inside a
password silently moves the rest of the password into the path or the fragment, where it would be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote, unquote

from pydantic import SecretStr

from ..errors import SettingsError
from .plain import FrozenMap, did_you_mean, sealed, shown

__all__ = ["Options", "StoreUrl", "same_place"]

_KINDS: Final = {
    "memory": "memory",
    "file": "file",
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "emergent+https": "graph",
    "emergent+http": "graph",
}
_SPELLINGS: Final = {"postgres": ("postgres", "postgresql"), "graph": ("graph", "emergent")}
_SECRET: Final = re.compile(r"key|token|pass|pwd|secret|auth|cred|sig|session|cookie|private|jwt|bearer", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_EXAMPLES: Final = "sqlite:///app.db, file:///srv/data, postgresql://host/database or emergent+https://host"


class Options(FrozenMap[str, str]):
    """Query parameters by name. Values whose name looks secret are masked when the mapping is shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr({name: "***" if _SECRET.search(name) else value for name, value in self.items()})


@dataclass(frozen=True, slots=True, repr=False)
class StoreUrl:
    """One store. `str()` and `repr()` mask every secret in it; `raw()` reveals.

    `kind` is file, sqlite, postgres, graph, memory, or the scheme itself for a third party's store; `kinds` are
    the spellings that a stage alias may use for it. `path` is the file, folder or name of an embedded store, or
    the path on a server; for postgres it is None and `database` is set. The login of a graph is its token, in
    `password`; a third party's login without a password counts as a token too.
    """

    scheme: str
    kind: str
    path: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: SecretStr | None = None
    database: str | None = None
    options: Options = field(default_factory=Options, hash=False)
    # As it was written, because putting it together again could not tell `token@host` from `:token@host`.
    original: SecretStr | None = field(default=None, compare=False)

    @classmethod
    @sealed
    def parse(cls, text: str, *, known: Iterable[str] = (), setting: str = "store URL") -> StoreUrl:
        """Take `text` apart. `known` are the schemes of third parties; `setting` names the source in errors.

        Raises SettingsError with advice, without any part of `text` that could be secret.
        """
        return replace(_parse(text, frozenset(known), setting), original=SecretStr(text))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every spelling of the kind, for aliases such as `postgresql-only`."""
        return _SPELLINGS.get(self.kind, (self.kind,))

    @property
    def embedded(self) -> bool:
        """True if the store is a path on this machine (file, sqlite)."""
        return self.kind in {"file", "sqlite"}

    def raw(self) -> str:
        """The whole URL, secrets included: for drivers, never for people."""
        return self._text(reveal=True) if self.original is None else self.original.get_secret_value()

    def anchored(self, folder: Path) -> StoreUrl:
        """The same store with a relative path taken relative to `folder`; any other URL as it is."""
        if not self.embedded or self.path is None or Path(self.path).is_absolute():
            return self
        return replace(self, path=str(folder.absolute() / self.path), original=None)

    def __str__(self) -> str:
        return self._text(reveal=False)

    def __repr__(self) -> str:
        return f"StoreUrl({self._text(reveal=False)!r})"

    def _text(self, *, reveal: bool) -> str:
        path = "" if self.path is None else quote(self.path, safe="/:@!$&'()*+,;=~")
        if self.kind == "memory":
            place = f"memory:{path}"
        elif self.kind == "sqlite":
            place = f"sqlite:///{path}"
        elif self.kind == "file":
            place = f"file://{path}" if path.startswith("/") else f"file:{path}"
        else:
            if self.database is not None:
                path = "/" + quote(self.database, safe="")
            # A third party's URL may be `scheme:rest`, without a host.
            place = f"{self.scheme}:" + (f"//{self._login(reveal)}{self._address()}" if self.host is not None else "")
            if self.host is None and self.kind == "postgres":
                place += f"//{self._login(reveal)}"
            place += path
        shown_options = (
            f"{quote(name, safe='')}=" + (quote(value, safe="/:,") if reveal or not _SECRET.search(name) else "***")
            for name, value in self.options.items()
        )
        return f"{place}?{'&'.join(shown_options)}" if self.options else place

    def _login(self, reveal: bool) -> str:
        if self.user is None and self.password is None:
            return ""
        password = None if self.password is None else quote(self.password.get_secret_value(), safe="")
        user = quote(self.user or "", safe="")
        if reveal:
            return f"{user}@" if password is None else f"{user}:{password}@"
        if self.kind != "postgres":
            return "***@"  # over HTTP a token is often sent as the user
        return f"{user}@" if password is None else f"{user}:***@"

    def _address(self) -> str:
        host = self.host or ""
        host = f"[{host}]" if ":" in host else quote(host, safe="")
        return host if self.port is None else f"{host}:{self.port}"


def same_place(one: StoreUrl, other: StoreUrl) -> bool:
    """True if both URLs name one place, so that copying from one to the other would copy a store onto itself.

    Memory stores without a name are never the same. Options count on a server, because they can choose a schema,
    and so does the token of a graph, because it chooses the project; other logins do not.
    """

    def place(url: StoreUrl) -> tuple[object, ...]:
        if url.embedded:
            # A file and an SQLite database at one path are one place too, whatever the kind.
            return ("path", str(Path(url.path or "").resolve()))
        host = None if url.host is None else url.host.lower()
        port = url.port or _PORTS.get(url.scheme)
        token = url.password if url.kind == "graph" else None
        return (url.kind, (url.path or "").rstrip("/"), host, port, url.database, token, sorted(url.options.items()))

    return place(one) == place(other) and not (one.kind == "memory" and one.path is None)


_PORTS: Final = {"postgresql": 5432, "postgres": 5432, "emergent+https": 443, "emergent+http": 80}


def _parse(text: str, known: frozenset[str], setting: str) -> StoreUrl:
    def refuse(why: str) -> NoReturn:
        raise SettingsError(f"{setting}: {why}")

    if text == "":
        refuse(f"is empty; give a URL such as {_EXAMPLES}")
    if text != text.strip() or not all(char.isprintable() for char in text):
        refuse("holds a control character, or blanks around the URL; write odd characters percent-encoded")
    found = _SCHEME.fullmatch(text)
    scheme = found[1].lower() if found else ""
    rest = found[2] if found else ""
    if scheme not in _KINDS and scheme not in known:
        if not rest.startswith("//"):
            refuse(f"has no scheme; {_scheme_advice(text)}")
        near = did_you_mean(scheme, {*_KINDS, *known})
        refuse(f"unknown scheme {shown(scheme)}{near or '; known are ' + ', '.join(sorted({*_KINDS, *known}))}")
    if "#" in rest:
        refuse("has a '#'; write it as %23")
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        refuse("has a '%' that does not begin a percent-encoded byte; write '%' itself as %25")
    place, _, query = rest.partition("?")
    options = _options(query, refuse_in=setting) if query else Options()
    kind = _KINDS.get(scheme, scheme)
    login, authority, path = _split(place)
    if kind == "memory":
        if authority is not None or not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", path):
            refuse("a memory store is 'memory:' or 'memory:name', the name of letters, digits, '.', '_' and '-'")
        return StoreUrl(scheme, kind, path=path or None, options=options)
    if kind == "sqlite":
        return StoreUrl(scheme, kind, path=_sqlite_path(place, authority, path, setting), options=options)
    if kind == "file":
        return StoreUrl(scheme, kind, path=_file_path(login, authority, path, setting), options=options)
    return _server_url(scheme, kind, place, query, options, setting)


def _scheme_advice(text: str) -> str:
    # Only what is plainly a path is repeated: a lone word could be a key that landed in the wrong variable.
    if len(text) <= 200 and re.fullmatch(r"[A-Za-z0-9_./-]+\.(db|sqlite3?)", text):
        return f"did you mean sqlite:///{text}?"
    if text.strip(":") == "memory":
        return "did you mean memory:?"
    if re.fullmatch(r"(\./|/)?[A-Za-z0-9_./-]+\.toml", text):
        return "for a settings file give its path where a path is expected, not as a URL"
    return f"did you mean sqlite:///app.db? A store is written {_EXAMPLES}"


def _split(place: str) -> tuple[str | None, str | None, str]:
    """Login, authority and path of what stands between the scheme and the query; None for what is not there."""
    if not place.startswith("//"):
        return None, None, place
    authority, slash, path = place[2:].partition("/")
    login, at, address = authority.rpartition("@")
    return (login if at else None), address, slash + path


def _decode(text: str, setting: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: percent-encoded bytes must be UTF-8") from None
    if not decoded.isprintable():
        raise SettingsError(f"{setting}: holds a control character")
    return decoded


def _options(query: str, *, refuse_in: str) -> Options:
    options: dict[str, str] = {}
    for item in query.split("&"):
        name, equals, value = item.partition("=")
        name = _decode(name, refuse_in)
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
            # The item itself is not shown: after an unescaped '?' it may be the end of a password.
            raise SettingsError(f"{refuse_in}: what follows the '?' must be name=value; write '?' itself as %3F")
        if name in options:
            raise SettingsError(f"{refuse_in}: the option {shown(name)} is given twice")
        options[name] = _decode(value, refuse_in)
    return Options(options)


def _sqlite_path(place: str, authority: str | None, path: str, setting: str) -> str:
    if ":memory:" in unquote(place) or place.strip("/") == "":
        raise SettingsError(f"{setting}: an SQLite store is a file; for a store in memory use 'memory:'")
    if authority != "":
        raise SettingsError(
            f"{setting}: an SQLite URL has three slashes before a relative path (sqlite:///app.db)"
            " and four before an absolute one (sqlite:////srv/app.db)"
        )
    decoded = _decode(path[1:], setting)
    if decoded.endswith("/"):
        raise SettingsError(f"{setting}: an SQLite store is a file, and this path ends in '/'")
    return decoded


def _file_path(login: str | None, authority: str | None, path: str, setting: str) -> str:
    if login is not None or authority not in {None, "", "localhost"}:
        raise SettingsError(
            f"{setting}: a file URL has no host: write three slashes before an absolute path (file:///srv/data)"
            " and none before a relative one (file:data)"
        )
    decoded = _decode(path, setting)
    if decoded.strip("/") == "":
        raise SettingsError(f"{setting}: a file store needs a folder, such as file:///srv/data")
    return decoded


def _server_url(scheme: str, kind: str, place: str, query: str, options: Options, setting: str) -> StoreUrl:
    login, address, path = _split(place)
    if "@" in path + query and address is not None:
        # An unescaped '/' or '?' in a password ends the login early, and the rest of it would pass for a path.
        raise SettingsError(
            f"{setting}: has an '@' after the host; in a password write '/' as %2F, '?' as %3F and '@' as %40"
        )
    user, password = _login(login, kind, setting)
    host, port = _address(address, setting)
    path = _decode(path, setting)
    if kind == "graph" and host is None:
        raise SettingsError(f"{setting}: needs a host, such as {scheme}://host")
    if kind != "postgres":
        return StoreUrl(scheme, kind, path or None, host, port, user, password, options=options)
    if address is None:
        raise SettingsError(f"{setting}: is written {scheme}://user:password@host:5432/database")
    database = path[1:]
    if "/" in _split(place)[2][1:]:
        raise SettingsError(f"{setting}: a database name has no '/'; in a name or password write it as %2F")
    return StoreUrl(scheme, kind, None, host, port, user, password, database or None, options)


def _login(login: str | None, kind: str, setting: str) -> tuple[str | None, SecretStr | None]:
    if login is None:
        return None, None
    if kind == "graph":
        return None, SecretStr(_decode(login.removeprefix(":").removesuffix(":"), setting))
    user, colon, password = login.partition(":")
    user, password = _decode(user, setting), _decode(password, setting)
    if kind != "postgres" and not password:
        return None, SecretStr(user)
    return user or None, SecretStr(password) if colon else None


def _address(address: str | None, setting: str) -> tuple[str | None, int | None]:
    if not address:
        return None, None
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", address)
    if found is None or (found[2] is not None and not 1 <= int(found[2]) <= 65535):
        # The text is not shown: what stands where the port belongs may be a password with an unescaped '/'.
        raise SettingsError(
            f"{setting}: the host must be host or host:port, with a port from 1 to 65535;"
            " in a password write '/' as %2F and ':' as %3A"
        )
    return _decode(found[1].strip("[]"), setting), None if found[2] is None else int(found[2])
