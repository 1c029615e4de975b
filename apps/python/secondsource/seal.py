"""The checksum at the end of a record: the first 16 hexadecimal digits of the SHA-256 of all bytes before the comma that
precedes it (docs/results-format.md)."""

import enum
import hashlib
import re

_KEY = b'"checksum":'
_DIGITS = 16
_BLANK = b" \t\r\n"
_END = re.compile(rb',[ \t\r\n]*"checksum":[ \t\r\n]*"(.{%d})"[ \t\r\n]*\}[ \t\r\n]*\Z' % _DIGITS, re.DOTALL)


class Seal(enum.Enum):
    NONE = enum.auto()
    GOOD = enum.auto()
    BROKEN = enum.auto()


def seal_of(text: bytes) -> Seal:
    """Compares the checksum at the end of a JSON object with its text. Earlier versions of the program wrote none."""
    begin = max(0, len(text) - 8 * _DIGITS)
    end = _END.search(text, begin)
    if end:
        body = text[: end.start()].rstrip(_BLANK)
        return Seal.GOOD if hashlib.sha256(body).hexdigest()[:_DIGITS].encode() == end.group(1) else Seal.BROKEN
    # No record has a member of this name, so a text that looks like a checksum elsewhere means that the record is damaged.
    last = text.rfind(_KEY)
    return Seal.BROKEN if last >= 0 and len(text) - last < 2 * _DIGITS + len(_KEY) else Seal.NONE
