"""The data set of docs/performance.md, loaded by COPY: invented rows, the same in every run."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.management import call_command
from django.db import connection, models
from django.utils import timezone

from connections.models import AdsGrant, Connection, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from sellerlegend import crypto
from sellerlegend.amazon.regions import MARKETPLACES, Marketplace, Region
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Membership, Organization, Role, User

MARKETPLACES_EACH = 10
EUROPE = [m for m in MARKETPLACES.values() if m.region is Region.EU][:MARKETPLACES_EACH]
# Of ten marketplaces: six onboarded, five linked, one refused; nothing moves.
ONBOARDING = ("onboarded",) * 6 + ("needs_attention",) + ("pending",) * 3
LINKED = 5


@dataclass(frozen=True)
class Size:
    """How much stands in the database around the organizations that are measured."""

    organizations: int
    connections_each: int

    @property
    def words(self) -> str:
        rows = self.organizations * self.connections_each
        return (
            f"{self.organizations:,} organizations, {rows:,} connections, "
            f"{rows * MARKETPLACES_EACH:,} marketplace accounts, {rows * LINKED:,} Ads profiles"
        )


DEFAULT_SIZE = Size(organizations=200, connections_each=25)
FULL_SIZE = Size(organizations=1_000, connections_each=20)
# Organizations that are measured, by their number of connections, beside the crowd.
MEASURED = (25, 100, 1_000)


@dataclass(frozen=True)
class Tenant:
    organization: Organization
    person: User


def load(size: Size, measured: tuple[int, ...] = MEASURED) -> dict[int, Tenant]:
    """Create the tables and fill them. Returns the measured tenants by number of rows."""
    call_command("migrate", verbosity=0)
    return add(size, measured)


def add(size: Size, measured: tuple[int, ...]) -> dict[int, Tenant]:
    """The same in tables that are there."""
    crowd = [
        make_tenant(f"crowd-{size.organizations}-{number}", size.connections_each)
        for number in range(size.organizations)
    ]
    asked = [make_tenant(f"bench-{rows}", rows) for rows in measured]
    tenants = [*crowd, *asked]
    people = [person for _organization, person, _rows in tenants]
    copy(Organization, (organization for organization, _person, _rows in tenants))
    copy(User, people)
    copy(Membership, (membership(*tenant) for tenant in tenants))
    for start in range(0, len(tenants), 50):
        copy_trees(tenants[start : start + 50])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    return {rows: Tenant(organization, person) for organization, person, rows in asked}


def make_tenant(slug: str, rows: int) -> tuple[Organization, User, int]:
    organization = Organization(name=slug, slug=slug, revision=7, listed_at_revision=3)
    organization.data_key = crypto.new_data_key(organization.pk)
    person = User(email=f"owner@{slug}.example.com", name="Ada Benson")
    person.last_organization_id = organization.pk
    person.set_unusable_password()
    return organization, person, rows


def membership(organization: Organization, person: User, _rows: int) -> Membership:
    return Membership(organization=organization, user=person, role=Role.ADMIN)


def copy_trees(tenants: list[tuple[Organization, User, int]]) -> None:
    """Everything below some organizations, parents first."""
    trees = [row for tenant in tenants for row in tree(*tenant)]
    for model in (AdsGrant, Connection, SpApiGrant, MarketplaceAccount, AdsProfile, PpcLink, Job):
        copy(model, (row for row in trees if type(row) is model))


def tree(organization: Organization, person: User, rows: int) -> Iterator[models.Model]:
    now = timezone.now().replace(microsecond=0)
    consent = {
        "authorized_by_id": person.pk,
        "refresh_token": "not a token",
        "status": "active",
        "last_success_at": now,
    }
    given = now - timedelta(days=30)
    ads = AdsGrant(
        organization=organization, authorized_at=given, status_changed_at=given, **consent
    )
    yield ads
    for number in range(rows):
        authorized_at = now - timedelta(days=20 + number % 250)
        row = Connection(
            organization=organization,
            name=f"Northstar Outdoors {number:04d} & Co",
            region="EU",
            marketplace_id=EUROPE[0].marketplace_id,
            selling_partner_id=f"A{organization.pk.hex[:6].upper()}{number:07d}",
            account_confirmed_at=authorized_at,
            participations_read_at=authorized_at,
            revision=2 + number % 5,
        )
        yield row
        yield SpApiGrant(
            connection=row, authorized_at=authorized_at, status_changed_at=authorized_at, **consent
        )
        yield Job(
            organization=organization,
            kind="marketplaces.read",
            subject_id=row.pk,
            connection_id=row.pk,
            status="done",
            finished_at=authorized_at,
        )
        for place, marketplace in enumerate(EUROPE):
            yield from store(row, ads, place, marketplace, authorized_at)


def store(
    row: Connection, ads: AdsGrant, place: int, marketplace: Marketplace, since: datetime
) -> Iterator[models.Model]:
    """One marketplace of a row: its onboarding and, for some, its PPC link."""
    state = ONBOARDING[place]
    account = MarketplaceAccount(
        organization_id=row.organization_id,
        connection=row,
        marketplace_id=marketplace.marketplace_id,
        name=marketplace.name,
        country_code=marketplace.country_code,
        currency=marketplace.currency,
        language=marketplace.language,
        domain_name=marketplace.domain,
        store_name=row.name,
        is_participating=True,
        onboarding=state,
        onboarding_changed_at=since,
        attention_reason="access_denied" if state == "needs_attention" else "",
        onboarded_at=since if state == "onboarded" else None,
    )
    yield account
    if place >= LINKED:
        return
    profile = AdsProfile(
        organization_id=row.organization_id,
        grant=ads,
        profile_id=str(account.pk.int % 10**18),
        account_type="seller",
        account_id=row.selling_partner_id or "",
        account_name=row.name,
        marketplace_id=marketplace.marketplace_id,
        country_code=marketplace.ads_country_code,
        currency_code=marketplace.currency,
        can_edit=True,
    )
    yield profile
    yield PpcLink(
        organization_id=row.organization_id,
        account=account,
        profile=profile,
        status="linked",
        linked_at=since,
    )


# COPY --------------------------------------------------------------------------------------


def copy(model: type[models.Model], rows: Iterable[models.Model]) -> None:
    columns = [field.column for field in model._meta.concrete_fields]
    names = [field.attname for field in model._meta.concrete_fields]
    text = io.StringIO()
    for row in rows:
        values = row.__dict__
        text.write("\t".join([as_text(values[name]) for name in names]) + "\n")
    text.seek(0)
    listed = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {model._meta.db_table} ({listed}) FROM STDIN", text)


def as_text(value: Any) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n")
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, uuid.UUID):
        return value.hex
    return str(value)
