"""What may stand in a mail of ours to a client, where somebody else chose the words."""

from __future__ import annotations

import re
import unicodedata

# What mail programs turn into something to click on: a mail of ours leads to our page alone.
_LINK = re.compile(r"://|www\.|@|[a-z0-9-]{2,}\.[a-z]{2,}", re.IGNORECASE)
# A dot as people write it who want to have it overlooked.
_DOT_IN_BRACKETS = re.compile(r"\s*[\[({<]\s*(?:\.|dot|punkt)\s*[\])}>]\s*", re.IGNORECASE)
# The full stop of Chinese and Japanese: browsers read it as a dot, NFKC leaves it.
_IDEOGRAPHIC_FULL_STOP = "\u3002"


def holds_link(text: str) -> bool:
    """Also one in disguise: letters and dots of another width, unseen characters, `[.]`."""
    plain = unicodedata.normalize("NFKC", text).replace(_IDEOGRAPHIC_FULL_STOP, ".")
    seen = "".join(one for one in plain if unicodedata.category(one) != "Cf")
    return bool(_LINK.search(_DOT_IN_BRACKETS.sub(".", seen)))


def name_for_mail(name: str) -> str:
    """ "" where the name, from a file of somebody's, holds what would become a link."""
    return "" if holds_link(name) else name
