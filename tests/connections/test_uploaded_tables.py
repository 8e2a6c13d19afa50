"""Tables that people bring: what is read, and what is refused in words. Never an error page."""

from __future__ import annotations

import codecs

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from connections import client_table, token_table
from connections.uploaded_tables import MOST_BYTES, MOST_ROWS, Column, TableRefused, read_table
from sellerlegend.organizations.models import Organization
from tests import factories, trips

COLUMNS = (
    Column("name", ("name", "store name"), is_required=True),
    Column("token", ("refresh token",)),
)


def cells(data: bytes | str) -> list[tuple[int, str, str]]:
    raw = data.encode() if isinstance(data, str) else data
    return [(row.line, row["name"], row["token"]) for row in read_table(raw, COLUMNS)]


@pytest.mark.parametrize(
    "text",
    [
        "name,refresh token\nA,x\n",
        "Refresh_Token;Store-Name\r\nx;A\r\n",
        "NAME\trefresh token\rA\tx\r",
        '\ufeff"name","other","refresh token"\n"A","ignored","x"',
        "name,refresh token\n\n,,\nA,x\n\n",
        "sep=;\r\nname;refresh token\r\nA;x\r\n",
        '"sep=,"\nname,refresh token\nA,x\n',
        "SEP=\t\nname\trefresh token\nA\tx\n",
    ],
)
def test_one_table_in_many_dresses(text: str) -> None:
    assert [found[1:] for found in cells(text)] == [("A", "x")]


def test_the_line_that_tells_the_separator_counts_as_one() -> None:
    assert cells("sep=;\nname;refresh token\nA;x\n") == [(3, "A", "x")]


def test_quotes_separators_and_line_breaks_within_a_cell() -> None:
    text = 'name,refresh token\n"A, ""B""\nand C",x\nD,y\n'

    assert cells(text) == [(2, 'A, "B"\nand C', "x"), (3, "D", "y")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_letters_of_many_kinds_of_file(encoding: str) -> None:
    data = "name\nMüller – Söhne\n".encode(encoding)
    if encoding == "utf-16-le":
        data = codecs.BOM_UTF16_LE + data

    assert [found[1] for found in cells(data)] == ["Müller – Söhne"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty."),
        (b" \n\n ", "The file is empty."),
        (b"name\n", "a header and no rows"),
        (b"a,b\nc,d\n", "Not found: name."),
        (b"name,name\nA,B\n", "the column “name” twice"),
        (b"PK\x03\x04rest of a workbook", "Excel workbook"),
        (b"na\x00me\nA\n", "signs that no text has"),
        ("name\nA\n".encode("utf-16-be"), "signs that no text has"),
        (codecs.BOM_UTF16_LE + b"n", "damaged"),
        (codecs.BOM_UTF8 + b"\xff", "damaged"),
        (b"\x81\x8d\x8f", "which letters"),
        (b'name\n"A\n', "not whole CSV"),
        (b'name\n"A"B\n', "not whole CSV"),
        (b"name\nA,B\n", "Row 2 has more cells"),
        (b"name\n" + b"x" * 200_000, "not whole CSV"),
        (b"name" + b",x" * 100_000 + b"\nA\n", "at most 50"),
        (b"name\n" + b"A\n" * (MOST_ROWS + 1), "more than 500 rows"),
        (b"x" * (MOST_BYTES + 1), "larger than 1 MB"),
    ],
)
def test_what_is_refused_and_why(data: bytes, words: str) -> None:
    with pytest.raises(TableRefused) as refused:
        cells(data)

    assert words in str(refused.value)


def test_as_many_rows_as_are_allowed() -> None:
    assert len(cells("name\n" + "A\n" * MOST_ROWS)) == MOST_ROWS


def test_a_row_shows_nothing_of_itself() -> None:
    (row,) = read_table(b"name,refresh token\nA,Atzr|secret\n", COLUMNS)

    assert "secret" not in repr(row)
    (checked,) = token_table.without_twins([token_table.checked(row, [])])
    assert "secret" not in repr(checked)


SPOILED = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.lists(st.text(alphabet='aA1,;"\t\r\n=|\x00\ufeffü', max_size=8), max_size=6), max_size=6
    ).map(lambda rows: "\n".join(",".join(row) for row in rows).encode("utf-8")),
)
HEADERS = st.sampled_from(
    [
        b"",
        b"name,refresh token\n",
        b"name;marketplace;seller id;refresh token;consented on\n",
        b"client name,contact mail,store name,marketplace,tags\n",
    ]
)


@given(header=HEADERS, rest=SPOILED)
def test_no_file_is_more_than_refused(header: bytes, rest: bytes) -> None:
    for columns in (COLUMNS, token_table.COLUMNS, client_table.COLUMNS):
        try:
            records = read_table(header + rest, columns)
        except TableRefused:
            continue
        if columns is token_table.COLUMNS:
            token_table.without_twins(token_table.checked(record, []) for record in records)
        if columns is client_table.COLUMNS:
            client_table.without_twins(client_table.checked(record) for record in records)


# Through the front door ----------------------------------------------------------------------


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.make_organization("Acme")


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 3_000_000,
        b"\x00" * 100,
        b"client name\n" + b"\xed\xa0\x80",
        b"client name" + b",x" * 100_000,
        b'client name\n"',
    ],
)
def test_a_hostile_upload_is_answered_in_words(data: bytes, organization: Organization) -> None:
    browser = trips.sign_in(factories.owner_of(organization))
    url = reverse("client_list_new", args=[organization.slug])

    answer = browser.post(url, {"file": SimpleUploadedFile("list.csv", data)})

    assert answer.status_code in (303, 422)
    assert answer.status_code == 303 or "Nothing was taken from the file" in answer.content.decode()


def test_a_large_file_costs_a_megabyte(organization: Organization) -> None:
    from sellerlegend.uploads import MOST_BYTES as KEPT
    from sellerlegend.uploads import CappedUpload

    upload = CappedUpload()
    upload.new_file("file", "a.csv", "text/csv", None, None, {})
    for start in range(0, 50_000_000, 1_000_000):
        assert upload.receive_data_chunk(b"x" * 1_000_000, start) is None  # type: ignore[func-returns-value]
    file = upload.file_complete(50_000_000)

    assert file.size == 50_000_000
    assert len(file.read()) == KEPT
