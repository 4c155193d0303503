"""Cursors: where a page ended, opaque to whoever carries it and worthless anywhere else.

A cursor is bound by a keyed digest to the entity, the order and the filter it was handed out for, so
that one that was made up, cut, or carried to another query is refused instead of skipping records.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from ..entity import Entity
from ..errors import BadCursor, InvalidQuery
from ..query import Condition, Order
from ..values import Refused, dump_json, load_json

__all__ = ["decode_cursor", "encode_cursor"]

_MAC_BYTES = 16
_MAX_CURSOR = 1 << 20


def encode_cursor(key: bytes, entity: Entity, order: Sequence[Order], where: Condition, record: Any) -> str:
    """The cursor behind `record`, the last of a page."""
    position = []
    for item in order:
        value = getattr(record, item.field.name)
        position.append(None if value is None else item.field.kind.to_plain(value))
    body = dump_json(position).encode()
    cursor = base64.urlsafe_b64encode(_mac(key, entity, order, where, body) + body).decode().rstrip("=")
    if len(cursor) > _MAX_CURSOR:
        raise InvalidQuery(f"the ordered fields of {entity.name} are too long for a cursor; order by shorter ones")
    return cursor


def decode_cursor(key: bytes, entity: Entity, order: Sequence[Order], where: Condition, cursor: str) -> tuple[Any, ...]:
    """The position that `cursor` stands for, as canonical values of the ordered fields; raises BadCursor."""
    wrong = BadCursor(
        f"this cursor was not handed out for this query of {entity.name}; "
        "use it with the same filter and order, or begin again without one"
    )
    if not isinstance(cursor, str) or len(cursor) > _MAX_CURSOR or not cursor.isascii():
        raise wrong
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, entity, order, where, body)):
        raise wrong
    try:
        plain = load_json(body)
        return tuple(
            None if value is None else item.field.kind.from_plain(value)
            for item, value in zip(order, plain, strict=True)
        )
    except (Refused, TypeError, ValueError):
        raise wrong from None


def _mac(key: bytes, entity: Entity, order: Sequence[Order], where: Condition, body: bytes) -> bytes:
    values = [leaf.plain_values() for leaf in where.leaves()]
    directions = [[item.field.name, item.descending] for item in order]
    bound = dump_json([entity.name, directions, repr(where.shape()), values]).encode()
    digest = blake2b(key=blake2b(key).digest(), digest_size=_MAC_BYTES, person=b"crossfade cursor")
    for part in (bound, body):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()
