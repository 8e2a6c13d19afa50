"""The catalogues of translations: what to translate is read from the source, and compiled with
Babel, since a fresh machine has neither xgettext nor msgfmt."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from tests.demo.environment import CHECKOUT

LOCALES = CHECKOUT / "sellerlegend" / "locale"
ROOMS = ("connections", "marketplaces", "ppc", "sellerlegend", "templates")
KEYWORDS = {
    **dict.fromkeys(("_", "_lazy", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}


def messages_of_the_source(checkout: Path = CHECKOUT) -> Catalog:
    """Every text that the product shows, with the files that hold it; no line numbers, which
    would make each change of the source one of every catalogue."""
    found = Catalog(charset="utf-8")
    for path in source_files(checkout):
        text = path.read_text("utf-8")
        if path.suffix != ".py":
            # Python's tokenizer, unlike xgettext, minds how a template is indented.
            lines = templatize(text, origin=str(path)).splitlines()
            text = "\n".join(line.strip() for line in lines)
        for _line, message, comments, context in extract(
            "python", io.BytesIO(text.encode()), keywords=KEYWORDS, comment_tags=("Translators:",)
        ):
            place = (path.relative_to(checkout).as_posix(), 0)
            found.add(message, locations=[place], auto_comments=comments, context=context)
    return found


def source_files(checkout: Path) -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((checkout / room).rglob("*")):
            if path.suffix in (".py", ".html", ".txt") and "migrations" not in path.parts:
                yield path


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as text:
        return read_po(text, locale=path.parts[-3], abort_invalid=True)


def whole_catalogues(locales: Path = LOCALES) -> list[Path]:
    """Not English: the source is English, and its catalogue holds our words for those of others."""
    found = locales.glob("*/LC_MESSAGES/django.po")
    return sorted(path for path in found if path.parts[-3] != "en")


def update_catalogues(locales: Path = LOCALES) -> None:
    """Add what is new and drop what is gone. Nothing is guessed: a changed text is a new one."""
    template = messages_of_the_source()
    for path in whole_catalogues(locales):
        catalog = read_catalogue(path)
        born = catalog.creation_date
        catalog.update(template, no_fuzzy_matching=True, update_header_comment=False)
        catalog.creation_date = born  # or two branches would always disagree about it
        catalog.obsolete.clear()
        with path.open("wb") as text:
            write_po(text, catalog, width=100, sort_output=True, include_lineno=False)


def compile_messages(locales: Path = LOCALES) -> list[Path]:
    """Write each catalogue that is missing or older than its source; returns those written."""
    written = []
    for source in sorted(locales.glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        with target.open("wb") as binary:
            write_mo(binary, read_catalogue(source))
        written.append(target)
    return written


if __name__ == "__main__":
    if "--update" in sys.argv[1:]:
        update_catalogues()
    for path in compile_messages():
        print(f"compiled {path.relative_to(CHECKOUT)}")
