"""A schema's address as the drivers want it. Crossfade's URL names it `schema=`, the drivers take it as a setting."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

__all__ = ["dsn", "is_postgres"]


def is_postgres(where: str) -> bool:
    """Whether a place is a database's schema rather than a file or a folder."""
    return where.startswith("postgresql:")


def dsn(where: str) -> str:
    """The URL of a schema in the words that asyncpg and libpq share."""
    parts = urlsplit(where)
    options = dict(parse_qsl(parts.query))
    options["options"] = f"-csearch_path={options.pop('schema')}"
    return urlunsplit(parts._replace(query=urlencode(options, quote_via=quote)))
