"""Reading the parts of Amazon's JSON: the right type or `Malformed`, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sellerlegend.amazon.http import clean_text

_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,64}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_PROFILE_ID = re.compile(r"[0-9]{1,20}")

Item = TypeVar("Item")


class Malformed(ValueError):
    """An item that is not what Amazon's model promises. Names the key, never the value."""


def is_identifier(text: str) -> bool:
    """Whether this could stand in an address as one of Amazon's ids: letters and digits alone."""
    return text.isascii() and text.isalnum() and len(text) <= 64


def mapping(value: object, key: str) -> Mapping[str, object]:
    found = _member(value, key)
    if not isinstance(found, dict):
        raise Malformed(key)
    return found


def flag(value: object, key: str) -> bool:
    found = _member(value, key)
    if not isinstance(found, bool):
        raise Malformed(key)
    return found


def identifier(value: object, key: str) -> str:
    """Printable ASCII without spaces, kept exactly; ids are never cut or cleaned."""
    return _matching(_IDENTIFIER, _member(value, key), key)


def country_code(value: object, key: str) -> str:
    return _matching(_COUNTRY, _member(value, key), key)


def number_as_text(value: object, key: str) -> str:
    """A whole number kept exactly as text; ids go beyond 2^53, and may come as a string."""
    found = _member(value, key)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return _matching(_PROFILE_ID, found, key)


def text(value: object, key: str, max_length: int) -> str:
    """Cleaned text for display; absent and null are empty, another type is malformed."""
    found = _member(value, key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Malformed(key)
    return clean_text(found, max_length)


def readable_items(
    items: Iterable[object], read: Callable[[object], Item]
) -> tuple[list[Item], int]:
    """The items that `read` accepts, and how many it called malformed."""
    accepted: list[Item] = []
    dropped = 0
    for item in items:
        try:
            accepted.append(read(item))
        except Malformed:
            dropped += 1
    return accepted, dropped


def _member(value: object, key: str) -> object:
    if not isinstance(value, Mapping):
        raise Malformed(key)
    return value.get(key)


def _matching(pattern: re.Pattern[str], found: object, key: str) -> str:
    if not isinstance(found, str) or not pattern.fullmatch(found):
        raise Malformed(key)
    return found
