"""What a row and its details say of permissions, the Seller ID, and marketplaces that moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from connections import capabilities
from connections.health_models import Capability, CapabilityCheck
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.words import exact_day, exact_time
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.organizations.models import Organization
from tests import factories
from tests.factories import CANADA, US, grant_of

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture(autouse=True)
def clock_of_the_module() -> Iterator[None]:
    """The words are computed from NOW, which a long run leaves behind."""
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Shop")


def details(browser: Client, row: Connection) -> str:
    url = reverse("connection_details", args=[row.organization.slug, row.pk])
    return " ".join(browser.get(url).content.decode().split())


def listed(browser: Client, row: Connection) -> str:
    url = reverse("account_connections", args=[row.organization.slug])
    return " ".join(browser.get(url).content.decode().split())


def check(row: Connection, capability: Capability, state: str) -> None:
    checks = CapabilityCheck.objects.for_organization(row.organization_id)
    checks.create(
        connection=row, capability=capability, state=state, checked_at=NOW, changed_at=NOW
    )


def change(row: Connection, **columns: Any) -> None:
    Connection.objects.for_organization(row.organization_id).update(**columns)


def test_each_permission_is_listed_with_what_it_unlocks(row: Connection, browser: Client) -> None:
    check(row, Capability.ORDERS, "granted")
    check(row, Capability.FINANCES, "missing")
    change(row, participations_read_at=NOW)

    text = details(browser, row)

    assert "Orders and sales." in text
    assert "Fees, refunds and payments." in text
    assert "Amazon does not give us the role Finance and Accounting" in text
    assert text.count("Amazon does not give us the role") == 1
    # Inventory, listings and reports: nobody has asked for them yet.
    assert text.count("Not known yet") == 3


def test_a_disconnected_row_claims_no_permission(row: Connection, browser: Client) -> None:
    check(row, Capability.ORDERS, "granted")
    SpApiGrant.objects.for_organization(row.organization_id).update(
        status="disconnected", refresh_token=""
    )

    assert "Orders and sales." not in details(browser, row)


@pytest.mark.parametrize(
    ("code", "told"), [("en_CA", "English"), ("ar_AE", "Arabic"), ("xx_YY", "xx_YY")]
)
def test_a_store_has_a_language_and_no_code(
    row: Connection, browser: Client, code: str, told: str
) -> None:
    factories.make_account(row, US, language=code)

    assert f"Language: {told}<" in details(browser, row)


def test_the_details_say_how_sure_we_are_of_the_seller(row: Connection, browser: Client) -> None:
    unproved = "no other call has confirmed it yet"
    assert unproved in details(browser, row)

    change(row, seller_proved_at=NOW)

    text = details(browser, row)
    assert "Amazon confirmed the Seller ID on" in text
    assert unproved not in text


def test_a_renewed_consent_keeps_what_amazon_confirmed_before(
    row: Connection, browser: Client
) -> None:
    """The day of it stays, and that the new consent has still to show it."""
    with time_machine.travel(NOW - timedelta(days=300)):
        capabilities.confirm_seller(grant_of(row), row.selling_partner_id or "")
    factories.consent(row, refresh_token="Atzr|made-up-renewed")

    text = details(browser, row)

    day = exact_day(NOW - timedelta(days=300))
    assert f"Amazon confirmed the Seller ID on {day}, with an earlier consent." in text
    assert "With the present one it is to be confirmed again; we ask by ourselves." in text
    assert "no other call has confirmed it yet" not in text

    capabilities.confirm_seller(grant_of(row), row.selling_partner_id or "")

    text = details(browser, row)
    assert "with an earlier consent" not in text
    assert "Amazon confirmed the Seller ID on" in text


def test_a_confirmation_of_another_seller_id_says_nothing_of_this_one(
    row: Connection, browser: Client
) -> None:
    capabilities.confirm_seller(grant_of(row), row.selling_partner_id or "")
    change(row, seller_proved_at=None, selling_partner_id="A1SOMEBODYELSE")
    assert "no other call has confirmed it yet" in details(browser, row)


def test_an_ads_profile_of_the_same_seller_supports_the_claim(
    row: Connection, browser: Client
) -> None:
    account = factories.make_account(row, US)
    grant = factories.make_ads_grant(row.organization)
    profile = factories.make_profile(grant, seller=row.selling_partner_id or "")
    factories.make_link(account, profile)

    assert "An Amazon Ads profile with the same Seller ID supports it." in details(browser, row)


def test_a_new_marketplace_is_offered_until_it_is_started(row: Connection, browser: Client) -> None:
    factories.make_account(row, US, onboarding="onboarded")
    account = factories.make_account(row, CANADA, joined_at=NOW)
    offer = "New: Canada. Press Continue to start onboarding."

    assert offer in listed(browser, row)
    assert "Joined after the consent" in details(browser, row)

    type(account).objects.for_organization(row.organization_id).filter(pk=account.pk).update(
        onboarding="onboarded", onboarded_at=NOW
    )
    change(row, revision=row.revision + 1)

    assert offer not in listed(browser, row)


def test_a_lost_marketplace_is_shown_as_such(row: Connection, browser: Client) -> None:
    gone: dict[str, Any] = {"is_participating": False, "lost_at": NOW - timedelta(days=1)}
    factories.make_account(row, US, onboarding="onboarded", **gone)
    factories.make_account(row, CANADA, **gone)

    text = listed(browser, row)

    assert "Onboarded, no longer participating" in text
    assert "No longer participating" in text
    assert "Gone since" in details(browser, row)


@pytest.mark.parametrize(("onboarding", "hours"), [("pending", 1), ("onboarded", 5)])
def test_a_state_of_a_lost_marketplace_has_its_own_moment(
    row: Connection, browser: Client, onboarding: str, hours: int
) -> None:
    """What nobody started is left since the seller left; what was onboarded is so for longer."""
    factories.make_account(
        row,
        US,
        onboarding=onboarding,
        onboarding_changed_at=NOW - timedelta(hours=5),
        is_participating=False,
        lost_at=NOW - timedelta(hours=1),
    )

    text = " ".join(strip_tags(details(browser, row)).split())

    word = {"pending": "No longer participating", "onboarded": "Onboarded"}[onboarding]
    assert f"{word} since {exact_time(NOW - timedelta(hours=hours))}" in text


def test_the_daily_proof_does_not_make_a_row_move(row: Connection, browser: Client) -> None:
    from marketplaces.verification import VERIFY
    from sellerlegend.jobs import ledger

    ledger.enqueue(VERIFY, organization=row.organization, subject_id=row.pk, connection_id=row.pk)

    assert "Reading the marketplaces from Amazon" not in listed(browser, row)


def test_permissions_of_a_refused_consent_wait_for_its_renewal(
    row: Connection, browser: Client
) -> None:
    type(factories.grant_of(row))._base_manager.update(status="invalid")

    text = details(browser, row)

    assert "The consent has to be renewed first" in text
    assert "Nothing to do: we ask Amazon by ourselves" not in text


def add_role(application: str, name: str, days_ago: int) -> None:
    added_at = NOW - timedelta(days=days_ago)
    ApplicationRole.objects.create(application=application, name=name, added_at=added_at)


def given(row: Connection, days_ago: int) -> str:
    """The day of its consent."""
    authorized_at = NOW - timedelta(days=days_ago)
    SpApiGrant.objects.for_organization(row.organization_id).update(authorized_at=authorized_at)
    return exact_day(authorized_at)


def test_a_role_that_is_newer_than_the_consent_is_named_among_the_permissions(
    row: Connection, browser: Client
) -> None:
    day = given(row, 40)
    check(row, Capability.ORDERS, "granted")
    add_role("spapi", "Pricing", 10)
    add_role("spapi", "Finance <b>", 20)
    add_role("spapi", "Older than it", 41)
    add_role("ads", "Reporting", 10)

    text = details(browser, row)

    assert text.count(f"Not part of the consent of {day}<") == 2
    assert '<th scope="row">Pricing</th>' in text
    assert '<th scope="row">Finance &lt;b&gt;</th>' in text
    help_words = "Reconnect the account, signed in as its primary user: the new consent has it."
    assert text.count(help_words) == 2
    assert "Older than it" not in text
    assert "Reporting" not in text

    factories.consent(row, refresh_token="Atzr|made-up-renewed")

    assert "Pricing" not in details(browser, row)


def test_of_a_consent_without_a_known_day_none_is_told(row: Connection, browser: Client) -> None:
    day = given(row, 40)
    SpApiGrant.objects.for_organization(row.organization_id).update(
        imported_at=NOW, is_consent_dated=False
    )
    add_role("spapi", "Pricing", 10)

    text = details(browser, row)

    assert '<th scope="row">Pricing</th>' in text
    assert text.count("Not part of the present consent<") == 1
    assert f"Not part of the consent of {day}" not in text


def test_a_role_that_is_newer_than_an_ads_consent_is_named_too(
    row: Connection, organization: Organization, browser: Client
) -> None:
    given(row, 40)
    ads = factories.make_ads_grant(organization)
    factories.put_to_use(ads, row)
    authorized_at = NOW - timedelta(days=30)
    AdsGrant.objects.for_organization(organization).update(authorized_at=authorized_at)
    add_role("ads", "Reporting", 10)
    add_role("ads", "Older than it", 31)

    text = details(browser, row)

    assert '<th scope="row">Reporting (Amazon Ads)</th>' in text
    assert text.count(f"Not part of the consent of {exact_day(authorized_at)}<") == 1
    assert "Connect Amazon Ads again: the new consent has it." in text
    assert "Older than it" not in text

    AdsGrant.objects.for_organization(organization).update(status="disconnected", refresh_token="")

    assert "Reporting" not in details(browser, row)


def test_a_new_role_says_nothing_of_a_consent_that_is_disconnected(
    row: Connection, browser: Client
) -> None:
    given(row, 40)
    SpApiGrant.objects.for_organization(row.organization_id).update(
        status="disconnected", refresh_token=""
    )
    add_role("spapi", "Pricing", 10)

    assert "Pricing" not in details(browser, row)


def test_many_new_roles_cost_the_details_as_many_statements_as_none(
    row: Connection, browser: Client
) -> None:
    given(row, 40)

    def statements() -> int:
        details(browser, row)
        with CaptureQueriesContext(database) as sent:
            details(browser, row)
        return len(sent)

    before = statements()
    for number in range(20):
        add_role("spapi", f"Role {number}", 10)

    assert statements() <= before


def test_details_say_that_no_marketplace_is_left_as_the_row_does(
    row: Connection, browser: Client
) -> None:
    words = (
        "Amazon lists no active marketplace for this seller in this region. Check the account in "
        "Seller Central, then check again."
    )
    change(row, participations_read_at=NOW)
    SpApiGrant._base_manager.filter(connection=row).update(last_success_at=NOW)
    account = factories.make_account(row, US)
    assert words not in details(browser, row)

    type(account)._base_manager.filter(pk=account.pk).update(is_participating=False, lost_at=NOW)

    assert words in listed(browser, row)
    assert details(browser, row).count(words) == 1
