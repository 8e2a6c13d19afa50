"""The two kinds of file that an export is written as. Neither can start a formula.

CSV: RFC 4180 with a byte order mark, so that spreadsheets read its letters right, times in ISO
8601 with their zone. XLSX: real dates in the reader's zone, every text a text.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO, Any

from django.utils import timezone
from xlsxwriter import Workbook

from connections.export import COLUMNS, Cell, titles

BYTE_ORDER_MARK = "\ufeff"
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
WORKBOOK_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
WIDTH, TIME_WIDTH = 24, 18


def starts_a_formula(text: str) -> bool:
    """Also behind spaces and line breaks, which some programs skip."""
    return text.lstrip(" \n").startswith(FORMULA_STARTS)


# CSV ---------------------------------------------------------------------------------------


def csv_pieces(batches: Iterable[list[list[Cell]]]) -> Iterator[str]:
    """The text, a batch at a time."""
    yield BYTE_ORDER_MARK + _csv_lines([titles()])
    for batch in batches:
        yield _csv_lines([[_csv_cell(cell) for cell in row] for row in batch])


def _csv_lines(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[harmless(cell) for cell in row] for row in rows])
    return text.getvalue()


def _csv_cell(cell: Cell) -> str:
    if isinstance(cell, datetime):
        return timezone.localtime(cell).isoformat(timespec="seconds")
    return cell or ""


def harmless(text: str) -> str:
    """As a cell that no program takes for a formula."""
    return f"'{text}" if starts_a_formula(text) else text


# XLSX --------------------------------------------------------------------------------------


def xlsx_file(batches: Iterable[list[list[Cell]]]) -> IO[bytes]:
    """A temporary file, gone when it is closed. Rows are on the disk and not in memory."""
    target = tempfile.TemporaryFile(suffix=".xlsx")  # noqa: SIM115  # the answer closes it
    book = Workbook(target, WORKBOOK_OPTIONS)
    sheet = book.add_worksheet()
    formats = {
        "title": book.add_format({"bold": True}),
        "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
        # What Excel itself keeps an apostrophe typed before a text as.
        "text": book.add_format({"quote_prefix": True}),
    }
    for place, column in enumerate(COLUMNS):
        sheet.set_column(place, place, TIME_WIDTH if column.is_time else WIDTH)
    sheet.freeze_panes(1, 1)
    for place, title in enumerate(titles()):
        sheet.write_string(0, place, title, formats["title"])
    number = 0
    for batch in batches:
        for row in batch:
            number += 1
            for place, cell in enumerate(row):
                _write(sheet, number, place, cell, formats)
    sheet.autofilter(0, 0, number, len(COLUMNS) - 1)
    book.close()
    target.seek(0)
    return target


def _write(sheet: Any, number: int, place: int, cell: Cell, formats: dict[str, Any]) -> None:
    if isinstance(cell, datetime):
        local = timezone.localtime(cell).replace(tzinfo=None)
        sheet.write_datetime(number, place, local, formats["time"])
    elif cell:
        is_risky = starts_a_formula(cell)
        sheet.write_string(number, place, cell, formats["text"] if is_risky else None)
