"""A table of refresh tokens: its columns, and what each row of it means for the organization.

Nothing is written and nothing is asked of Amazon here. A token is a `Secret` from the moment its
cell is looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from connections.authorization import is_seller_id
from connections.forms import NameField, holds_a_token
from connections.models import CONSENT_DAYS, Connection, SpApiGrant
from connections.places import place_of
from connections.uploaded_tables import Column, Record, read_table
from sellerlegend import crypto
from sellerlegend.alphabet import Alphabetical
from sellerlegend.amazon.secret import Secret

COLUMNS = (
    Column(
        "name",
        (_("Name"), _("Store name"), _("Store")),
        ("account name", "account"),
        is_required=True,
    ),
    Column("region", (_("Region"),), ("aws region",)),
    Column("marketplace", (_("Marketplace"),), ("marketplace id", "country")),
    Column("seller", (_("Seller ID"),), ("selling partner id", "merchant token", "merchant id")),
    Column(
        "token",
        (_("Refresh token"),),
        ("token", "refreshtoken", "lwa refresh token"),
        is_required=True,
    ),
    Column("day", (_("Consented on"),), ("consent date", "authorised on", "authorized on")),
)
TOKEN_SHAPE = re.compile(r"Atzr\|[\x21-\x7e]{3,2040}")
NAME_LENGTH, SELLER_LENGTH = 80, 40
NOON = time(12, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """A row that the organization has, with what is known of its consent."""

    id: UUID
    name: str
    region: str
    seller: str
    is_living: bool
    is_removed: bool
    fingerprint: str
    given_at: datetime | None
    is_dated: bool


@dataclass(frozen=True)
class Checked:
    """One row of the file. `problem`: keys of PROBLEMS, or "" for one that can be imported.
    `renews`: the row of the organization that would get this consent; it has to be ticked."""

    line: int
    name: str
    region: str = ""
    marketplace_id: str = ""
    seller: str = ""
    consented_on: date | None = None
    token: Secret | None = None
    problem: str = ""
    renews: UUID | None = None

    def refused(self, problem: str) -> Checked:
        """For this besides: who corrects a file wants to know of everything at once."""
        return replace(self, problem=f"{self.problem} {problem}".strip(), token=None)

    @property
    def fingerprint(self) -> str:
        return crypto.fingerprint(self.token) if self.token else ""


@sensitive_variables()
def checked_table(data: bytes, organization_id: UUID) -> list[Checked]:
    """Every row of the file with its problem, if it has one. Raises TableRefused."""
    known = known_rows(organization_id)
    read = [checked(record, known) for record in read_table(data, COLUMNS)]
    return [against(row, known) for row in without_twins(read)]


def known_rows(organization_id: UUID) -> list[Known]:
    """Also those that were removed: whoever connects the seller again gets the old row back."""
    rows = Connection.with_removed.for_organization(organization_id)
    grants = SpApiGrant.objects.for_organization(organization_id).defer("refresh_token")
    consents = {grant.connection_id: grant for grant in grants}
    found = []
    for row in rows.order_by(Alphabetical("name"), "pk"):
        grant = consents.get(row.pk)
        found.append(
            Known(
                id=row.pk,
                name=row.name,
                region=row.region,
                seller=row.selling_partner_id or row.expected_selling_partner_id,
                is_living=grant is not None and grant.is_living,
                is_removed=row.removed_at is not None,
                fingerprint=grant.fingerprint if grant and grant.is_living else "",
                given_at=grant.authorized_at if grant else None,
                is_dated=grant is not None and grant.is_consent_dated,
            )
        )
    return found


def moment_of(day: date) -> datetime:
    """Noon of UTC: the same day almost everywhere, and never in the future."""
    return min(datetime.combine(day, NOON), timezone.now())


def is_newer(day: date | None, given_at: datetime | None, *, is_dated: bool) -> bool:
    """Whether a consent of this day is certainly newer than the one that works here."""
    if day is None or given_at is None:
        return False
    return not is_dated or moment_of(day) > given_at


# One row by itself -------------------------------------------------------------------------


@sensitive_variables()
def checked(record: Record, known: list[Known]) -> Checked:
    name, problem = cleaned_name(record["name"])
    row = Checked(record.line, name)
    row = row.refused(problem) if problem else row
    row = with_seller(with_place(row, record), record["seller"], known)
    return with_token(with_day(row, record["day"]), record["token"])


def with_place(row: Checked, record: Record) -> Checked:
    region, marketplace = record["region"], record["marketplace"]
    place = place_of(region, marketplace)
    if place is None:
        return row.refused(place_problem(region, marketplace))
    return replace(row, region=place.region.value, marketplace_id=place.marketplace_id)


def with_seller(row: Checked, text: str, known: list[Known]) -> Checked:
    if text and (len(text) > SELLER_LENGTH or not is_seller_id(text)):
        return row.refused("seller_malformed")
    row = replace(row, seller=text or seller_by_name(row, known))
    return row if row.seller else row.refused("seller_missing")


def cleaned_name(text: str) -> tuple[str, str]:
    """The name as a form would take it, and the problem with it."""
    if not text:
        return "", "name_missing"
    if holds_a_token(text):
        return "", "name_is_a_token"
    if len(text) > NAME_LENGTH:
        return text[:NAME_LENGTH], "name_too_long"
    try:
        return NameField().clean(text), ""
    except ValidationError:
        return "", "name_missing"


def place_problem(region: str, marketplace: str) -> str:
    if not region and not marketplace:
        return "place_missing"
    both = bool(region and marketplace) and place_of(region, "") and place_of("", marketplace)
    return "places_differ" if both else "place_unknown"


def seller_by_name(row: Checked, known: list[Known]) -> str:
    """A file without a Seller ID can still mean a row of ours, by its name. Where the place was
    refused, one of any region: it would be found."""
    for each in known:
        if each.name.lower() == row.name.lower() and row.region in ("", each.region):
            return each.seller
    return ""


def with_day(row: Checked, text: str) -> Checked:
    if not text:
        return row
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return row.refused("day_malformed")
    today = timezone.now().date()
    if day > today + timedelta(days=1):
        return row.refused("day_in_the_future")
    if day <= today - timedelta(days=CONSENT_DAYS):
        return row.refused("consent_over")
    return replace(row, consented_on=day)


@sensitive_variables()
def with_token(row: Checked, text: str) -> Checked:
    if not text:
        return row.refused("token_missing")
    if not TOKEN_SHAPE.fullmatch(text):
        return row.refused("token_malformed")
    return row if row.problem else replace(row, token=Secret(text))


# Among the others --------------------------------------------------------------------------


def without_twins(rows: Iterable[Checked]) -> list[Checked]:
    """Of rows that mean the same thing none is taken: nobody knows which one is right."""
    found = list(rows)
    good = [row for row in found if not row.problem]
    sellers = Counter((row.seller, row.region) for row in good)
    names = Counter(row.name.lower() for row in good)
    tokens = Counter(row.fingerprint for row in good)

    def judged(row: Checked) -> Checked:
        if row.problem:
            return row
        if sellers[row.seller, row.region] > 1:
            return row.refused("twice_in_the_file")
        if names[row.name.lower()] > 1:
            return row.refused("name_twice")
        return row.refused("token_twice") if tokens[row.fingerprint] > 1 else row

    return [judged(row) for row in found]


def against(row: Checked, known: list[Known]) -> Checked:
    """Compared with what the organization has."""
    if row.problem:
        return row
    if any(each.fingerprint == row.fingerprint for each in known):
        return row.refused("token_known")
    named = next((each for each in known if is_same_name(each, row)), None)
    mine = next((each for each in known if is_same_seller(each, row)), None)
    if mine is None and named is not None:
        is_waiting = not named.seller and named.region == row.region
        return row if is_waiting else row.refused("name_taken")
    if mine is None or mine.given_at is None:
        return row
    if mine.is_removed and named is not None:
        return row.refused("name_taken")
    newer = is_newer(row.consented_on, mine.given_at, is_dated=mine.is_dated)
    if mine.is_living and not newer:
        return row.refused("kept_newer" if row.consented_on else "kept_better")
    return replace(row, renews=mine.id, name=row.name if mine.is_removed else mine.name)


def is_same_name(known: Known, row: Checked) -> bool:
    return not known.is_removed and known.name.lower() == row.name.lower()


def is_same_seller(known: Known, row: Checked) -> bool:
    return known.seller == row.seller and known.region == row.region
