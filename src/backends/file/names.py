"""Names of files made from keys: for layouts that keep a file per record. Our own layout makes no name from a key.

Two keys never get one name, on no file system: not where letter case is folded, not where Unicode is
normalised, not where names are short or some are reserved. A name never leads out of its folder.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

__all__ = ["MAX_NAME", "file_name"]

MAX_NAME: Final = 160
"""The longest name, in bytes, which are ASCII characters; file systems take 255, less what is added to it."""
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])\Z")
_KEPT: Final = 80


def file_name(key: str) -> str:
    """The name for a text: itself where it is plain, else with every other byte of its UTF-8 as `%` and two digits.

    What would be too long keeps its beginning, and a digest of the whole behind `%%`, which nothing else has.
    The text cannot be had back from such a name: the record holds its own key. Raises UnicodeEncodeError
    for a lone surrogate.
    """
    data = key.encode()
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in data)
    if len(name) > MAX_NAME:
        return f"{name[:_KEPT]}%%{sha256(data).hexdigest()}"
    if name == "":
        return "%"
    if _RESERVED.match(name):
        return f"%{data[0]:02x}{name[1:]}"
    return name
