"""The list for programs: the same rows as the page, codes and moments, and nothing more."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from connections import list_json
from connections.listing import Chosen
from connections.models import AdsGrant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.organizations.models import Organization, Role
from tests import factories, trips

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.owner_of(organization))


def listed(browser: Client, organization: Organization, query: str = "") -> dict[str, Any]:
    url = reverse("connections_json", args=[organization.slug])
    response = browser.get(f"{url}?{query}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"].startswith("no-store")
    page: dict[str, Any] = json.loads(response.content)
    return page


def test_a_row_is_its_facts(browser: Client, organization: Organization) -> None:
    row = factories.make_connection(organization, seller="A1SELLER000001", name="Nørd & Co")
    now = timezone.now().replace(microsecond=0)
    SpApiGrant._base_manager.filter(connection=row).update(
        authorized_at=now - timedelta(days=30),
        status_changed_at=now - timedelta(days=30),
        last_success_at=now,
        verified_at=now,
    )
    factories.make_tag(organization, "vip", row)
    factories.make_client(organization, "Ames", row)
    grant = factories.make_ads_grant(organization)
    factories.put_to_use(grant, row)
    AdsGrant._base_manager.filter(pk=grant.pk).update(
        authorized_at=now - timedelta(days=5), status="active", last_success_at=now
    )

    page = listed(browser, organization)

    assert {key: page[key] for key in ("total", "page", "pages")} == {
        "total": 1,
        "page": 1,
        "pages": 1,
    }
    [found] = page["connections"]
    row.refresh_from_db()
    assert found == {
        "id": str(row.pk),
        "name": "Nørd & Co",
        "seller_id": "A1SELLER000001",
        "region": row.region,
        "client": "Ames",
        "tags": ["vip"],
        "created_at": row.created_at.isoformat(),
        "marketplaces_read_at": row.participations_read_at
        and row.participations_read_at.isoformat(),
        "selling_partner": {
            "health": "connected",
            "since": (now - timedelta(days=30)).isoformat(),
            "consented_at": (now - timedelta(days=30)).isoformat(),
            "renew_by": (now + timedelta(days=335)).isoformat(),
            "authorized_by": factories.owner_of(organization).email,
            "authorized_by_client": False,
            "verified_at": now.isoformat(),
            "last_success_at": now.isoformat(),
            "last_failure_at": None,
            "last_failure": None,
        },
        "ppc": {"health": "connected", "renew_by": (now + timedelta(days=360)).isoformat()},
    }


def test_ppc_is_as_bad_as_the_worst_consent_that_feeds_the_row(
    browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization)
    assert listed(browser, organization)["connections"][0]["ppc"] is None
    for status, marketplace in (("active", factories.US), ("invalid", factories.CANADA)):
        grant = factories.make_ads_grant(organization)
        AdsGrant._base_manager.filter(pk=grant.pk).update(
            status=status, last_success_at=timezone.now()
        )
        profile = factories.make_profile(grant, seller=row.selling_partner_id or "")
        factories.make_link(factories.make_account(row, marketplace), profile)

    assert listed(browser, organization)["connections"][0]["ppc"]["health"] == "revoked"


def test_it_is_the_page_of_the_same_address(browser: Client, organization: Organization) -> None:
    for name in ("Cedar", "Birch", "Alder"):
        factories.make_connection(organization, name=name)
    factories.make_connection(factories.make_organization("Other"), name="Alder")

    found = listed(browser, organization, "sort=-name")
    assert [row["name"] for row in found["connections"]] == ["Cedar", "Birch", "Alder"]
    assert [row["name"] for row in listed(browser, organization, "q=bir")["connections"]] == [
        "Birch"
    ]


def test_a_page_has_a_hundred_rows_for_two_statements(
    organization: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(101):
        factories.make_connection(organization)
    member = organization.memberships.get()
    chosen = Chosen()
    list_json.page_of_list(member, chosen, 1)

    with django_assert_num_queries(2):
        first = list_json.page_of_list(member, chosen, 1)
    second = list_json.page_of_list(member, chosen, 2)

    assert (len(first["connections"]), len(second["connections"])) == (100, 1)
    assert (first["pages"], second["total"]) == (2, 101)
    assert len({row["id"] for row in first["connections"] + second["connections"]}) == 101
    beyond = list_json.page_of_list(member, chosen, 3)
    assert (beyond["connections"], beyond["total"], beyond["pages"]) == ([], 101, 2)


def test_a_limited_member_gets_the_rows_within_reach(organization: Organization) -> None:
    mine, _other = (factories.make_connection(organization) for _ in range(2))
    person = factories.make_member(organization, Role.VIEWER)
    factories.limit(person, organization, mine)

    found = listed(trips.sign_in(person), organization)

    assert [row["id"] for row in found["connections"]] == [str(mine.pk)]
    assert found["total"] == 1


def test_no_secret_is_near(browser: Client, organization: Organization) -> None:
    row = factories.make_connection(organization, refresh_token="Atzr|canary-of-the-list")
    stored = factories.grant_of(row).refresh_token

    text = json.dumps(listed(browser, organization))

    assert "canary" not in text
    assert str(stored) not in text
    assert not MarketplaceAccount._base_manager.exists()


def test_a_permission_is_missing_since_the_first_role_that_the_consent_lacks(
    browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization)
    now = timezone.now().replace(microsecond=0)
    given = now - timedelta(days=50)
    SpApiGrant._base_manager.filter(connection=row).update(
        authorized_at=given, last_success_at=now, verified_at=now
    )
    for name, days in (("Before", 60), ("Tax", 40), ("Pricing", 10)):
        added_at = now - timedelta(days=days)
        ApplicationRole.objects.create(application="spapi", name=name, added_at=added_at)

    [found] = listed(browser, organization)["connections"]

    assert found["selling_partner"]["health"] == "permission_missing"
    assert found["selling_partner"]["since"] == (now - timedelta(days=40)).isoformat()
