"""With DEBUG, Django's error page prints every variable of every frame: no key is among them."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import RequestFactory
from django.views.debug import technical_500_response
from pytest_django import Settings

from sellerlegend import crypto
from sellerlegend.amazon.secret import MASK, Secret, SecretBytes
from sellerlegend.env import parse_key_ring

RING_KEY = b"this-key-of-the-ring-is-no-news!"
OTHER_RING_KEY = b"neither-is-the-second-one-there!"
DATA_KEY = b"and-that-of-the-organization-too"
TOKEN = "Atzr|what-a-seller-gave-us"
OWNER = UUID(int=7)
PLACE = crypto.Place("table", "column", OWNER, OWNER)


@pytest.fixture
def sealed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A data key and what it sealed."""
    settings.DEBUG = True
    encoded = base64.b64encode(RING_KEY).decode()
    second = base64.b64encode(OTHER_RING_KEY).decode()
    settings.TOKEN_ENCRYPTION_KEYS = parse_key_ring(f"first:{encoded},second:{second}")
    with monkeypatch.context() as known:
        known.setattr("secrets.token_bytes", lambda size: DATA_KEY[:size])
        data_key = crypto.new_data_key(OWNER)
    return data_key, crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)


def key_not_loaded(data_key: str, text: str) -> object:
    return open_it(data_key.replace("v1.first.", "v1.gone."), text)


def damaged_data_key(data_key: str, text: str) -> object:
    return open_it(data_key[:-2] + "AA", text)


def damaged_text(data_key: str, text: str) -> object:
    return open_it(data_key, text[:-2] + "AA")


def seal_for_no_place(data_key: str, text: str) -> object:
    nowhere: Any = "no UUID"
    place = crypto.Place("table", "column", OWNER, nowhere)
    return crypto.seal(
        crypto.unseal(text, PLACE, data_key=data_key, purpose=crypto.Purpose.PROBE),
        place,
        data_key=data_key,
    )


def wrap_for_nobody(data_key: str, text: str) -> object:
    nobody: Any = "no UUID"
    return crypto.rewrap_data_key(data_key, nobody)


def open_it(data_key: str, text: str) -> object:
    return crypto.unseal(text, PLACE, data_key=data_key, purpose=crypto.Purpose.PROBE)


@pytest.mark.parametrize(
    "fail", [key_not_loaded, damaged_data_key, damaged_text, seal_for_no_place, wrap_for_nobody]
)
def test_the_debug_page_shows_no_key_and_no_token(
    sealed: tuple[str, str], rf: RequestFactory, fail: Callable[[str, str], object]
) -> None:
    page = ""
    try:
        fail(*sealed)
    except (crypto.Undecryptable, AttributeError):
        page = technical_500_response(rf.get("/"), *sys.exc_info()).content.decode()

    assert "crypto.py" in page
    for value in (RING_KEY, OTHER_RING_KEY, DATA_KEY, TOKEN.encode()):
        for form in (value.decode(), value.hex(), base64.b64encode(value).decode()):
            # The constants above stand in this module's own source, but in no frame of it.
            assert form not in page


def test_bytes_that_show_nothing_work_as_bytes() -> None:
    key = SecretBytes(RING_KEY)

    assert (repr(key), str(key), f"{key}", f"{ {'k': key} }") == (
        MASK,
        MASK,
        MASK,
        "{'k': " + MASK + "}",
    )
    assert (key == RING_KEY, len(key), key[:4], key.hex()) == (True, 32, b"this", RING_KEY.hex())
    with pytest.raises(TypeError):
        pickle.dumps(key)
