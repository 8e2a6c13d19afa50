from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from sellerlegend.amazon.secret import Secret

CANARY = "Atzr|IwEBI-canary"


@pytest.mark.parametrize("show", [repr, str, ascii, "{}".format])
def test_a_secret_shows_a_mask_of_fixed_length(show: Callable[[object], str]) -> None:
    assert show(Secret(CANARY)) == "**********"


def test_a_format_does_not_change_the_mask() -> None:
    assert f"{Secret(CANARY):>40}" == f"{Secret(CANARY)!r}" == "**********"


def test_only_reveal_gives_the_value() -> None:
    assert Secret(CANARY).reveal() == CANARY


def test_equal_values_are_equal_secrets_of_equal_hash() -> None:
    assert Secret("one") == Secret("one")
    assert hash(Secret("one")) == hash(Secret("one"))
    assert Secret("one") != Secret("other")
    assert Secret("one") != "one"
    assert Secret("\ud800") == Secret("\ud800")


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("x")


@pytest.mark.parametrize(
    "leave", [pickle.dumps, copy.copy, copy.deepcopy, json.JSONEncoder().encode]
)
def test_a_secret_does_not_leave_the_process(leave: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leave(Secret(CANARY))

    assert CANARY not in str(caught.value)


def test_a_secret_is_made_from_a_string_only() -> None:
    with pytest.raises(TypeError, match="made from a string"):
        Secret(None)  # type: ignore[arg-type]
