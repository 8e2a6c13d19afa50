"""Text as people look for it: neither case nor accents count, and ß is ss."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from itertools import chain

# Latin, Greek and Cyrillic. What other scripts put on a letter makes another letter of it.
BLOCKS = ((0xC0, 0x2B0), (0x370, 0x530), (0x1E00, 0x2000), (0x2C60, 0x2C80))
WITH_ACCENTS = frozenset(map(chr, chain.from_iterable(range(*block) for block in BLOCKS)))
# To Unicode a stroke or a hook is part of the letter; who types a name leaves it out.
NAMED_WITH = re.compile(r"LATIN (?:SMALL|CAPITAL) LETTER (\w) WITH ")
SPELLINGS = str.maketrans({"ß": "ss", "ς": "σ"})


def plain(text: str) -> str:
    """To compare without case and accents."""
    return "".join(map(_bare, unicodedata.normalize("NFC", text))).lower().translate(SPELLINGS)


def pattern_of(text: str) -> str:
    """For a `regex` lookup: finds `text` whatever its case and accents.

    A regular expression that PostgreSQL and Python read alike. The databases' own ways to leave
    accents out are an extension of the one, and none of the other; that case does not count is
    written out as well, which PostgreSQL finds faster and in every locale.
    """
    letters = "".join(map(_any_of, plain(text)))
    return f"(?:{letters.replace(DOUBLE_S, f'(?:{DOUBLE_S}|[ßẞ])')})"


def _any_of(letter: str) -> str:
    upper = letter.upper()
    variants = ACCENTED.get(letter, "") + (upper if len(upper) == 1 and upper != letter else "")
    return f"[{letter}{variants}]" if variants else re.escape(letter)


def _bare(letter: str) -> str:
    if letter not in WITH_ACCENTS:
        return letter
    base = unicodedata.normalize("NFD", letter)[0]
    named = NAMED_WITH.match(unicodedata.name(base, ""))
    if named:
        return named[1]
    return base if base.isalpha() else letter


def _accented() -> dict[str, str]:
    found: defaultdict[str, str] = defaultdict(str)
    for letter in sorted(WITH_ACCENTS):
        base = plain(letter)
        if len(base) == 1 and letter not in (base, base.upper()):
            found[base] += letter
    return dict(found)


ACCENTED = _accented()
DOUBLE_S = _any_of("s") * 2
