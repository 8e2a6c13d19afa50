"""A string that must not be seen: one class, one door."""

from __future__ import annotations

import hmac
from typing import NoReturn

MASK = "**********"


class Secret:
    """A token, code or client secret. Only `reveal()` gives the value.

    `repr`, `str` and `format` give a mask of fixed length, equality takes constant time, and
    pickling (so copying, caching and task arguments too) and JSON raise TypeError.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("A secret is made from a string.")
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self), _octets(other))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is not copied or pickled.")


class SecretBytes(bytes):
    """A key, or what it opens, for those who need bytes. Shows a mask, so that no page of DEBUG
    prints it out of a frame. A slice of it is ordinary bytes again: wrap what gets a name.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is not copied or pickled.")


def _octets(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")
