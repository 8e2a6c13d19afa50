from __future__ import annotations

import re
import unicodedata

import pytest

from sellerlegend.folding import pattern_of, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller", "muller"),
        ("Mu\u0308ller", "muller"),
        ("Łódź", "lodz"),
        ("Große Straße", "grosse strasse"),
        ("ΟΔΌΣ", "οδοσ"),
        ("Ёлка", "елка"),
        ("が 한국 ﬁ", "が 한국 ﬁ"),
        ("A1-NORTH_%", "a1-north_%"),
    ],
)
def test_neither_case_nor_accents_count(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_every_letter_finds_itself() -> None:
    letters = [chr(number) for number in range(0x20, 0x3000)]
    composed = [one for one in letters if unicodedata.normalize("NFC", one) == one]

    missing = [one for one in composed if not re.search(pattern_of(one), one)]

    assert len(composed) > 11_000
    assert missing == []


def test_every_letter_of_europe_finds_itself_small_and_large() -> None:
    letters = [chr(number) for number in (*range(0x20, 0x180), *range(0x386, 0x590))]

    missing = [
        (one, other)
        for one in letters
        for other in (one.lower(), one.upper())
        if len(other) == 1 and not re.search(pattern_of(one), other)
    ]

    assert missing == []
