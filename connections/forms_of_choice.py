"""Choices that differ in words and ids alone are one query: its form, and the values it binds.

What is chosen from a short list (a state, a region, an order) belongs to the form.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from connections.listing import OVERDUE, WINDOWS, WITHOUT_ID, Chosen
from connections.narrowing import words_of

SOMEBODY = UUID(int=0)


def form_of(chosen: Chosen) -> Chosen:
    return chosen.having(
        q=" ".join("w" for _ in words_of(chosen)),
        tag=tuple(0 for _ in chosen.tag),
        client=any_of(chosen.client),
        authorised=any_of(chosen.authorised),
        # Every time with a beginning is alike.
        expiry=WINDOWS[0] if chosen.expiry not in ("", OVERDUE) else chosen.expiry,
    )


def any_of(text: str) -> str:
    return text if text in WITHOUT_ID else str(SOMEBODY)


def values_of(chosen: Chosen) -> dict[str, Any]:
    """By the names that `filled` reads."""
    words = {f"word_{place}": word for place, word in enumerate(words_of(chosen))}
    tags = {f"tag_{place}": tag for place, tag in enumerate(chosen.tag)}
    ids = {
        name: UUID(text)
        for name, text in (("client", chosen.client), ("authorised", chosen.authorised))
        if text not in WITHOUT_ID
    }
    return words | tags | ids


def filled(form: Chosen, values: dict[str, Any]) -> Chosen:
    """The form with these values."""
    return form.having(
        q=" ".join(values[f"word_{place}"] for place, _ in enumerate(words_of(form))),
        tag=tuple(values[f"tag_{place}"] for place, _ in enumerate(form.tag)),
        client=str(values["client"]) if "client" in values else form.client,
        authorised=str(values["authorised"]) if "authorised" in values else form.authorised,
    )
