"""The database's own wall: rows that join two trees cannot join two organizations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db import connection as database
from django.db.models import Model

from connections.models import AdsGrant, Connection
from marketplaces.models import MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from sellerlegend.organizations.models import Organization
from tests import factories


@dataclass
class Tree:
    organization: Organization
    connection: Connection
    account: MarketplaceAccount
    grant: AdsGrant
    profile: AdsProfile


@pytest.fixture
def ours(db: None) -> Tree:
    return grown()


@pytest.fixture
def theirs(db: None) -> Tree:
    return grown()


def grown() -> Tree:
    organization = factories.make_organization()
    connection = factories.make_connection(organization)
    grant = factories.make_ads_grant(organization)
    profile = factories.make_profile(grant, seller=str(connection.selling_partner_id))
    account = factories.make_account(connection)
    return Tree(organization, connection, account, grant, profile)


CROSSINGS: dict[str, Callable[[Tree, Tree], Model]] = {
    "link to a foreign profile": lambda ours, theirs: PpcLink(
        organization=ours.organization, account=ours.account, profile=theirs.profile
    ),
    "link of a foreign account": lambda ours, theirs: PpcLink(
        organization=ours.organization, account=theirs.account, profile=ours.profile
    ),
    "foreign link of our own": lambda ours, theirs: PpcLink(
        organization=theirs.organization, account=ours.account, profile=ours.profile
    ),
    "account of a foreign connection": lambda ours, theirs: MarketplaceAccount(
        organization=ours.organization,
        connection=theirs.connection,
        marketplace_id=factories.CANADA,
        is_participating=True,
    ),
    "profile of a foreign grant": lambda ours, theirs: AdsProfile(
        organization=ours.organization, grant=theirs.grant, profile_id="1", can_edit=True
    ),
    "Ads consent for a foreign row": lambda ours, theirs: AdsGrant(
        organization=ours.organization,
        asked_for=theirs.connection,
        refresh_token="sealed",
        status="active",
        authorized_at=ours.grant.authorized_at,
    ),
}


def store(row: Model) -> None:
    with transaction.atomic():
        row.save(force_insert=True)
        database.check_constraints()


def move(table: str, old: Organization, new: Organization) -> None:
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET organization_id = %s WHERE organization_id = %s", [new.pk, old.pk]
        )
        database.check_constraints()


@pytest.mark.needs_postgresql
@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS)
def test_a_row_across_organizations_cannot_be_stored(
    crossing: Callable[[Tree, Tree], Model], ours: Tree, theirs: Tree
) -> None:
    row = crossing(ours, theirs)

    with pytest.raises(IntegrityError, match="_same_organization"):
        store(row)


@pytest.mark.needs_postgresql
@pytest.mark.parametrize(
    "table",
    ["ppc_ppclink", "ppc_adsprofile", "marketplaces_marketplaceaccount"],
)
def test_a_row_cannot_be_moved_to_another_organization_by_sql(
    table: str, ours: Tree, theirs: Tree
) -> None:
    factories.make_link(ours.account, ours.profile)

    with pytest.raises(IntegrityError, match="_same_organization"):
        move(table, ours.organization, theirs.organization)


def test_rows_of_one_organization_can_be_stored(ours: Tree) -> None:
    link = factories.make_link(ours.account, ours.profile)

    database.check_constraints()
    assert link.organization == ours.organization


def test_a_linked_profile_cannot_be_deleted(ours: Tree) -> None:
    factories.make_link(ours.account, ours.profile)

    with pytest.raises(IntegrityError, match="referenced through restricted foreign keys"):
        ours.profile.delete()


def test_one_account_has_one_link(ours: Tree) -> None:
    factories.make_link(ours.account)

    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_link(ours.account)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "linked"},
        {"status": "needs_attention"},
        {"status": "nonsense"},
    ],
    ids=["linked without a profile", "attention without a reason", "an unknown status"],
)
def test_a_status_that_means_nothing_cannot_be_stored(columns: dict[str, Any], ours: Tree) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        factories.make_link(ours.account, **columns)
