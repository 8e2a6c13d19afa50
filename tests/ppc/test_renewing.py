"""*Connect Amazon Ads again* where every marketplace is linked and nothing is left to choose."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import list_queries, screen
from connections.models import AdsGrant, Connection
from connections.reader import Reader
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import US
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


def test_where_nothing_is_linked_there_is_nothing_to_renew(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    factories.make_account(connection, US)
    assert b"Renew the Amazon Ads consent" not in browser.get(ppc_url(connection)).content

    with nothing_changes(amazon, events=()):
        reply = browser.post(ppc_url(connection), {"renew": "1"})

    assert reply.status_code == 422
    assert not Job.objects.for_organization(connection.organization_id).exists()
