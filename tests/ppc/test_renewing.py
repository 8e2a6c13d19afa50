"""*Connect Amazon Ads again* where every marketplace is linked and nothing is left to choose."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import list_queries, screen
from connections.models import AdsGrant, Connection, Grant
from connections.reader import Reader
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, US
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db

NORTHSTAR, MARKETING = "A1NORTHSTAR001", "ads@northstar.example"
READER = Reader("acme", "en", "UTC", "administer", "2026-11-23")


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(factories.make_organization(), seller=NORTHSTAR)


@pytest.fixture
def browser(connection: Connection) -> Client:
    return trips.sign_in(factories.make_member(connection.organization))


@pytest.fixture
def linked(browser: Client, connection: Connection) -> PpcLink:
    account = factories.make_account(connection, US)
    leads_to = trips.leave_for_ads(browser, connection, [account.pk])
    assert trips.come_back(browser, trips.allow(leads_to, MARKETING)) == "ads_connected"
    ledger.drain("interactive")
    link: PpcLink = PpcLink.objects.for_organization(connection.organization_id).get()
    assert link.status == PpcLink.Status.LINKED
    return link


def ppc_url(connection: Connection) -> str:
    return reverse("ppc_connect", args=[connection.organization.slug, connection.pk])


def ppc_word(connection: Connection) -> str:
    facts = list_queries.some_facts(connection.organization_id, [connection.pk])
    [row] = screen.compose_rows(facts, reader=READER)
    assert row.ppc_health is not None
    return row.ppc_health.sign.word


def test_an_ads_consent_near_its_end_is_renewed_and_its_links_move_over(
    browser: Client, connection: Connection, linked: PpcLink
) -> None:
    grants = AdsGrant.objects.for_organization(connection.organization_id)
    old = grants.get()
    grants.update(authorized_at=timezone.now() - timedelta(days=340))
    assert b"Renew the Amazon Ads consent" in browser.get(ppc_url(connection)).content

    leads_to = browser.post(ppc_url(connection), {"renew": "1"}).headers["Location"]
    assert trips.come_back(browser, trips.allow(leads_to, MARKETING)) == "ads_renewed"
    told = browser.get(reverse("account_connections", args=[connection.organization.slug])).text
    assert "Amazon Ads has a new consent." in told
    assert "are being made" not in told
    for queue in ("interactive", "background"):
        ledger.drain(queue)

    newest = grants.latest("authorized_at")
    linked.refresh_from_db()
    old.refresh_from_db()
    assert newest.pk != old.pk
    assert linked.status == PpcLink.Status.LINKED
    assert linked.profile is not None
    assert linked.profile.grant_id == newest.pk
    assert old.status == "disconnected"
    assert ppc_word(connection) == "Connected"


def test_a_declined_renewal_changes_nothing(
    amazon: RunningEmulator, browser: Client, connection: Connection, linked: PpcLink
) -> None:
    leads_to = browser.post(ppc_url(connection), {"renew": "1"}).headers["Location"]

    assert trips.come_back(browser, trips.deny(leads_to, MARKETING)) == "declined"

    linked.refresh_from_db()
    assert linked.status == PpcLink.Status.LINKED
    assert AdsGrant.objects.for_organization(connection.organization_id).count() == 1


def buttons(page: str, kind: str) -> list[str]:
    return re.findall(rf'class="button button--{kind}"[^>]*>([^<]*)</button>', page)


def test_a_lost_consent_is_named_first_and_its_renewal_leads(
    browser: Client, connection: Connection, linked: PpcLink
) -> None:
    factories.make_account(connection, CANADA)
    usual = browser.get(ppc_url(connection)).text
    assert buttons(usual, "primary") == ["Connect PPC"]
    assert " checked>" in usual

    AdsGrant.objects.for_organization(connection.organization_id).update(
        status=Grant.Status.INVALID, last_error_code="invalid_grant"
    )
    page = browser.get(ppc_url(connection)).text

    assert page.index("Amazon no longer accepts the Amazon Ads consent (since ") < page.index(
        "Renew the consent here, signed in to Amazon as the person who runs this seller"
    )
    assert buttons(page, "primary") == ["Renew the Amazon Ads consent"]
    assert buttons(page, "secondary") == ["Connect PPC"]
    assert "Connect further marketplaces" in page
    assert " checked>" not in page
    assert f"Renew the Amazon Ads consent of {connection.name}</h1>" in page


def test_where_all_is_linked_a_refused_consent_leaves_only_its_renewal(
    browser: Client, connection: Connection, linked: PpcLink
) -> None:
    AdsGrant.objects.for_organization(connection.organization_id).update(
        status=Grant.Status.INVALID, last_error_code="reconnect_required"
    )

    page = browser.get(ppc_url(connection)).text

    assert "Our support asks for a new Amazon Ads consent" in page
    assert buttons(page, "primary") == ["Renew the Amazon Ads consent"]
    assert buttons(page, "secondary") == []
    assert "Connected already" not in page
    assert "Connect further marketplaces" not in page


def test_where_nothing_is_linked_there_is_nothing_to_renew(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    factories.make_account(connection, US)
    assert b"Renew the Amazon Ads consent" not in browser.get(ppc_url(connection)).content

    with nothing_changes(amazon, events=()):
        reply = browser.post(ppc_url(connection), {"renew": "1"})

    assert reply.status_code == 422
    assert not Job.objects.for_organization(connection.organization_id).exists()
