"""What may stand in a mail of ours, where somebody else chose the words."""

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


# No address holds it (RFC 5892 disallows it in domain names), and no eye sees it.
_WORD_JOINER = "\u2060"
_JOINT_OF_ADDRESS = re.compile(r"(?<=[.:@/\u3002\uff0e])(?=\S)")


def unlinked(name: str) -> str:
    """A name that has to be said, in such a way that a mail program makes nothing to click of it:
    *shop.example* is the honest name of many a shop."""
    return _JOINT_OF_ADDRESS.sub(_WORD_JOINER, name) if holds_link(name) else name


def name_for_mail(name: str) -> str:
    """ "" where the name, from a file of somebody's, holds what would become a link."""
    return "" if holds_link(name) else name
