"""Tables that people bring as CSV, uploaded or pasted: read strictly, refused in words.

A file is what a spreadsheet of any country saves: commas, semicolons or tabs; UTF-8, UTF-16 or
Windows' own letters. What cannot be told for sure is refused rather than guessed.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

MOST_BYTES = 1_000_000
MOST_ROWS = 500
MOST_COLUMNS = 50
SEPARATORS = ",;\t"
# How spreadsheets are told the separator of the lines below.
SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
ZIP_SIGNATURE = b"PK\x03\x04"

Words = str | Promise


class TableRefused(ValueError):
    """The file cannot be read as such a table. Its text is for the person who brought it, and
    holds nothing of the file but names of columns."""


@dataclass(frozen=True)
class Column:
    """`titles`: what our pages and exports call it; the first one is told to who reads. A header
    may say any of them in any of our languages, or one of `names`, which are in lower case."""

    key: str
    titles: tuple[Words, ...]
    names: tuple[str, ...] = ()
    is_required: bool = False

    @property
    def title(self) -> str:
        return str(self.titles[0])

    def headings(self) -> frozenset[str]:
        """All that a header may call it, as `normal` writes it, whatever the reader's language."""
        found = set(self.names)
        for language, _name in settings.LANGUAGES:
            with translation.override(language):
                found.update(normal(str(title)) for title in self.titles)
        return frozenset(found)


@dataclass(frozen=True, repr=False)
class Record:
    """One row: its number as a spreadsheet counts, and its cells by column, trimmed. May hold a
    secret, so that it shows nothing of itself."""

    line: int
    cells: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.cells.get(key, "")


@sensitive_variables()
def read_table(data: bytes, columns: Iterable[Column]) -> list[Record]:
    """The rows below the header, without empty ones. Raises TableRefused."""
    known = tuple(columns)
    lines, reader = _opened(data, known)
    try:
        header = next(reader)
        places = places_of(header, known)
        records = []
        for line, cells in enumerate(reader, start=lines + 2):
            if any(cell.strip() for cell in cells):
                records.append(record_of(line, cells, len(header), places))
            if len(records) > MOST_ROWS:
                raise TableRefused(
                    _("The file has more than %(most)d rows. Split it, and bring each part.")
                    % {"most": MOST_ROWS}
                )
    except (csv.Error, StopIteration):
        raise TableRefused(
            _("The file is not whole CSV: a quotation mark is open, or a cell is far too long.")
        ) from None
    if not records:
        raise TableRefused(_("The file has a header and no rows."))
    return records


def unread_titles(data: bytes, columns: Iterable[Column]) -> list[str]:
    """What the header of a table that could be read names besides, as it stands there: nothing
    below it was read."""
    known = tuple(columns)
    _lines, reader = _opened(data, known)
    headings = frozenset[str]().union(*(column.headings() for column in known))
    return [cell.strip() for cell in next(reader) if cell.strip() and normal(cell) not in headings]


@sensitive_variables()
def _opened(data: bytes, columns: tuple[Column, ...]) -> tuple[int, Iterator[list[str]]]:
    """The rows from the header on, and how many lines stand before it. Raises TableRefused."""
    text = decoded(data)
    if not text.strip():
        raise TableRefused(_("The file is empty."))
    named = SEPARATOR_LINE.match(text)
    if named:
        text = text[named.end() :]
    separator = named[1] if named else separator_of(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    return (1 if named else 0), reader


@sensitive_variables()
def decoded(data: bytes) -> str:
    """Raises TableRefused."""
    if len(data) > MOST_BYTES:
        raise TableRefused(
            _("The file is larger than 1 MB. A list of %(most)d rows is far smaller.")
            % {"most": MOST_ROWS}
        )
    if data.startswith(ZIP_SIGNATURE):
        raise TableRefused(
            _("This is an Excel workbook. Save it as “CSV UTF-8 (comma delimited)” first.")
        )
    text = _with_byte_order_mark(data)
    if text is None:
        text = _without_byte_order_mark(data)
    if "\0" in text:
        raise TableRefused(
            _("The file holds signs that no text has. Save it as “CSV UTF-8 (comma delimited)”.")
        )
    return text


def _with_byte_order_mark(data: bytes) -> str | None:
    marks = {
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), None)
    if encoding is None:
        return None
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise TableRefused(
            _("The file is damaged: its end or a part of it cannot be read.")
        ) from None


def _without_byte_order_mark(data: bytes) -> str:
    """UTF-8, else the letters that older spreadsheets write on Windows: every letter of Latin-1
    is the same there."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise TableRefused(
            _("We cannot tell which letters the file uses. Save it as “CSV UTF-8”.")
        ) from None


def separator_of(text: str, columns: tuple[Column, ...]) -> str:
    """The one by which the first line names most of our columns."""
    first_line = text.lstrip().splitlines()[0]
    headings = [column.headings() for column in columns]

    def known_names(separator: str) -> int:
        cells = {normal(cell) for cell in first_line.split(separator)}
        return sum(bool(cells & known) for known in headings)

    return max(SEPARATORS, key=known_names)


def places_of(header: list[str], columns: tuple[Column, ...]) -> dict[str, int]:
    """Where each column stands. Raises TableRefused."""
    if len(header) > MOST_COLUMNS:
        raise TableRefused(
            _("The first line has %(count)d columns; at most %(most)d can be read.")
            % {"count": len(header), "most": MOST_COLUMNS}
        )
    names = [normal(cell) for cell in header]
    places: dict[str, int] = {}
    for column in columns:
        headings = column.headings()
        found = [place for place, name in enumerate(names) if name in headings]
        if len(found) > 1:
            raise TableRefused(
                _("The first line names the column “%(name)s” twice.") % {"name": column.title}
            )
        if found:
            places[column.key] = found[0]
    missing = [column for column in columns if column.is_required and column.key not in places]
    if missing:
        raise TableRefused(
            _(
                "The first line has to name the columns. Not found: %(missing)s. Columns that we "
                "know: %(known)s."
            )
            % {"missing": titles_of(missing), "known": titles_of(columns)}
        )
    return places


def titles_of(columns: Iterable[Column]) -> str:
    """In the reader's language."""
    return ", ".join(column.title for column in columns)


def normal(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").strip().strip('"').lower().split())


@sensitive_variables()
def record_of(line: int, cells: list[str], width: int, places: Mapping[str, int]) -> Record:
    """Raises TableRefused for a row that has more cells than the header: something in it was
    split that belongs together, and nobody knows which."""
    if any(cell.strip() for cell in cells[width:]):
        raise TableRefused(
            _(
                "Row %(line)d has more cells than the first line. Put texts that hold the "
                "separator into quotation marks."
            )
            % {"line": line}
        )
    return Record(
        line,
        {key: cells[place].strip() if place < len(cells) else "" for key, place in places.items()},
    )
