"""Refresh tokens of another tool: a file, a look, a confirmation, and one fate for each row."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pytest
from allauth.mfa.models import Authenticator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from connections import imported_tokens, renewals, retention, rotation, token_imports, token_table
from connections.health import Health
from connections.import_models import RESULTS_KEPT, TOKENS_KEPT, ImportedToken, TokenImport
from connections.import_views import FILE
from connections.models import Connection, Grant, SpApiGrant
from connections.token_table import checked_table
from connections.uploaded_tables import titles_of
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting, erasure
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import fingerprint
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Incident, Job
from sellerlegend.organizations import limits
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import US
from tests.nothing_changed import nothing_changes
from tests.signing_in import proved_seconds_ago, signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR, SAKURA = "A1NORTHSTAR001", "A2BLUEHARBOR02", "A3SAKURATEA003"
HEADER = ("Name", "Marketplace", "Seller ID", "Refresh token", "Consented on")
TOKEN = "Atzr|IwEBIJustATokenOfATest"
DAY = timedelta(days=1)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return signed_in_freshly(factories.owner_of(organization))


def table(*rows: tuple[str, ...], header: tuple[str, ...] = HEADER, separator: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([header, *rows])
    return text.getvalue()


def new_url(organization: Organization) -> str:
    return reverse("token_import_new", args=[organization.slug])


def page_url(found: TokenImport) -> str:
    return reverse("token_import", args=[found.organization.slug, found.pk])


def bring(browser: Client, organization: Organization, text: str) -> TokenImport:
    answer = browser.post(new_url(organization), {"text": text})
    assert answer.status_code == 303, words_of(answer)
    newest: TokenImport = TokenImport.objects.for_organization(organization).latest("created_at")
    assert answer.headers["Location"] == page_url(newest)
    return newest


def confirm(browser: Client, found: TokenImport, *renew: ImportedToken) -> None:
    fields = {"action": "confirm", "renew": [str(row.pk) for row in renew]}
    assert browser.post(page_url(found), fields).status_code == 303


def test_a_column_that_nobody_reads_is_named_unless_it_is_a_secret(
    organization: Organization, browser: Client
) -> None:
    row = ("A", "US", NORTHSTAR, TOKEN, "2026-03-31", "x", "y")
    text = table(row, header=(*HEADER[:-1], "Day of consent", TOKEN + "B", "Note"))

    page = words_of(browser.post(new_url(organization), {"text": text}, follow=True))

    assert (
        "These columns are not read, since we do not know their titles: “Day of consent”, “Note”."
    ) in page
    assert TOKEN not in page


def rows_of(found: TokenImport) -> list[ImportedToken]:
    return list(token_imports.rows_of(found).order_by("line"))


def outcomes(found: TokenImport) -> list[tuple[str, str]]:
    return [(row.status, row.outcome) for row in rows_of(found)]


def words_of(page: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


def authorize(
    amazon: RunningEmulator, seller: str = NORTHSTAR, region: Literal["NA", "EU", "FE"] = "NA"
) -> str:
    return amazon.world.authorize(seller, region)


# From the file to the connection ------------------------------------------------------------


def test_a_token_becomes_a_connection_like_any_other(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    given = timezone.now().date() - 100 * DAY
    token = authorize(amazon)
    text = table(("Northstar", "US", NORTHSTAR, token, given.isoformat()))

    found = bring(browser, organization, text)
    looked = words_of(browser.get(page_url(found)))
    assert not Connection.objects.for_organization(organization).exists()
    confirm(browser, found)
    ledger.drain("interactive")

    assert "1 row can be imported." in looked
    assert outcomes(found) == [("stored", "")]
    row = Connection.objects.for_organization(organization).get()
    grant = factories.grant_of(row)
    assert (row.name, row.region, row.selling_partner_id) == ("Northstar", "NA", NORTHSTAR)
    assert row.seller_proved_at is not None
    assert row.account_confirmed_at is not None
    assert row.participations_read_at is not None
    assert grant.status == Grant.Status.ACTIVE
    assert grant.imported_at is not None
    assert grant.is_consent_dated
    assert grant.authorized_at.date() == given
    assert grant.authorized_by == factories.owner_of(organization)
    accounts = MarketplaceAccount.objects.for_organization(organization)
    assert accounts.filter(is_participating=True, marketplace_id=US).count() == 1
    # The consent works from now on as every other one does.
    marketplace_services.begin_reading(connection=row)
    ledger.drain("interactive")
    assert factories.grant_of(row).last_failure_at is None


def test_the_token_is_nowhere_but_sealed_and_then_nowhere_at_all(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    token = authorize(amazon)

    found = bring(browser, organization, table(("Northstar", "US", NORTHSTAR, token, "")))
    (row,) = rows_of(found)
    sealed = row.refresh_token
    page = browser.get(page_url(found)).content.decode()
    confirm(browser, found)
    ledger.drain("interactive")

    assert sealed.startswith("v1.")
    assert token not in sealed
    assert token.removeprefix("Atzr|")[:12] not in page
    assert row.fingerprint in page
    assert rows_of(found)[0].refresh_token == ""
    events = [str(event.details) for event in AuditEvent._base_manager.all()]
    assert not any(token in text for text in events)


def test_every_row_has_a_fate_of_its_own(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    good, revoked = authorize(amazon), authorize(amazon, BLUE_HARBOR)
    amazon.world.revoke(BLUE_HARBOR)
    elsewhere = authorize(amazon, SAKURA, "FE")
    text = table(
        ("Good", "US", NORTHSTAR, good, ""),
        ("Revoked", "US", BLUE_HARBOR, revoked, ""),
        ("Elsewhere", "US", SAKURA, elsewhere, ""),
        ("No token", "US", "A9", "Atza|not-a-refresh-token", ""),
    )

    found = bring(browser, organization, text)
    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [
        ("stored", ""),
        ("refused", "import_token_refused"),
        ("refused", "import_wrong_region"),
        ("refused", "token_malformed"),
    ]
    words = words_of(browser.get(page_url(found)))
    assert "1 row was imported. Not imported: 3. Left out: 0." in words
    assert "Amazon refuses this token." in words
    assert "SL-601" in words
    assert "those begin with Atzr|" in words
    names = Connection.objects.for_organization(organization).values_list("name", flat=True)
    assert list(names) == ["Good"]
    assert {row.refresh_token for row in rows_of(found)} == {""}


def test_a_seller_that_amazon_does_not_confirm_stays_a_question(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    """The Seller ID of the file is a claim: the row asks, and undoing is one click."""
    token = authorize(amazon, BLUE_HARBOR)
    found = bring(browser, organization, table(("Claimed", "US", NORTHSTAR, token, "")))

    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", "")]
    row = Connection.objects.for_organization(organization).get()
    assert row.seller_proved_at is None
    assert row.account_confirmed_at is None
    assert "did not confirm the Seller ID" in words_of(browser.get(page_url(found)))


def test_an_outage_waits_and_loses_nothing(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    amazon.faults.add(surface="lwa", status=503, times=1)
    confirm(browser, found)

    ledger.drain("interactive")
    assert outcomes(found) == [("waiting", "")]
    assert "Amazon does not answer at the moment" in words_of(browser.get(page_url(found)))
    assert 'hx-trigger="every 3s"' in browser.get(page_url(found)).content.decode()
    Job._base_manager.update(next_attempt_at=timezone.now())
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", "")]
    assert 'hx-trigger="every 3s"' not in browser.get(page_url(found)).content.decode()


def test_another_token_from_amazon_outlasts_an_outage_after_it(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    rotated = authorize(amazon)
    body = {"access_token": "Atza|one", "refresh_token": rotated, "token_type": "bearer"}
    answer = json.dumps(body | {"expires_in": 3600}).encode()
    amazon.faults.add(surface="lwa", status=200, body=answer, times=1)
    amazon.faults.add(surface="sellers", status=503, times=1)
    confirm(browser, found)

    ledger.drain("interactive")
    [waiting] = rows_of(found)
    Job._base_manager.update(next_attempt_at=timezone.now())
    ledger.drain("interactive")

    assert (waiting.status, waiting.fingerprint) == ("waiting", fingerprint(Secret(rotated)))
    assert outcomes(found) == [("stored", "")]
    row = Connection.objects.for_organization(organization).get()
    assert factories.grant_of(row).fingerprint == fingerprint(Secret(rotated))


def test_refusals_of_everybody_at_once_are_not_believed(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    token = authorize(amazon)
    amazon.world.revoke(NORTHSTAR)
    found = bring(browser, organization, table(("Northstar", "US", NORTHSTAR, token, "")))
    Incident.objects.create(surface="lwa", cause=Incident.Cause.REFUSING)
    confirm(browser, found)

    ledger.drain("interactive")

    assert outcomes(found) == [("waiting", "")]
    assert Job._base_manager.get().waiting_reason == "grant_doubted"


def test_a_crash_in_the_last_transaction_leaves_the_row_to_do(
    organization: Organization,
    browser: Client,
    amazon: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    with monkeypatch.context() as broken:
        broken.setattr(marketplace_services, "record_participations", lambda **_kwargs: 1 / 0)
        job = Job._base_manager.get()
        with pytest.raises(ZeroDivisionError):
            ledger.run(job.pk)

    assert outcomes(found) == [("waiting", "")]
    assert not Connection.objects.for_organization(organization).exists()
    Job._base_manager.update(status="queued", lease_expires_at=None)
    ledger.drain("interactive")
    assert outcomes(found) == [("stored", "")]


def test_who_left_meanwhile_imports_nothing(
    organization: Organization, amazon: RunningEmulator
) -> None:
    admin = factories.make_member(organization, Role.ADMIN)
    browser = signed_in_freshly(admin)
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    Membership.objects.for_organization(organization).filter(user=admin).delete()

    ledger.drain("interactive")

    assert outcomes(found) == [("refused", "import_without_a_person")]
    assert not Connection.objects.for_organization(organization).exists()


# Rows that are there already ----------------------------------------------------------------


def connected(
    organization: Organization, amazon: RunningEmulator, **facts: Any
) -> tuple[Connection, SpApiGrant]:
    row = factories.make_connection(
        organization, name="Northstar", seller=NORTHSTAR, refresh_token=authorize(amazon)
    )
    if facts:
        SpApiGrant.objects.for_organization(organization).update(**facts)
    return row, factories.grant_of(row)


def test_a_consent_that_works_is_not_replaced_by_one_of_an_unknown_day(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon)

    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )

    assert outcomes(found) == [("refused", "kept_better")]
    assert factories.grant_of(row).fingerprint == before.fingerprint


def test_an_older_consent_is_told_as_that(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon)
    day = (before.authorized_at - timedelta(days=30)).date().isoformat()

    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), day))
    )

    assert outcomes(found) == [("refused", "kept_newer")]
    page = browser.get(reverse("token_import", args=[organization.slug, found.pk])).text
    assert "is as new or newer: the one of the file is not needed." in page
    assert "Give the day" not in page
    assert factories.grant_of(row).fingerprint == before.fingerprint


def test_all_that_is_wrong_with_a_row_is_told(organization: Organization, browser: Client) -> None:
    found = bring(browser, organization, table(("Northstar", "US", "", "Atza|IwEB", "")))

    page = browser.get(reverse("token_import", args=[organization.slug, found.pk])).text
    assert "The Seller ID is missing" in page
    assert "This is not a refresh token" in page


def test_a_newer_proved_consent_renews_the_row_that_was_ticked(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon, authorized_at=timezone.now() - 300 * DAY)
    given = timezone.now().date() - 10 * DAY
    text = table(("Another name", "US", NORTHSTAR, authorize(amazon), given.isoformat()))

    found = bring(browser, organization, text)
    (ready,) = rows_of(found)
    assert "Takes the place of the consent of Northstar." in words_of(browser.get(page_url(found)))
    confirm(browser, found, ready)
    ledger.drain("interactive")

    after = factories.grant_of(row)
    assert outcomes(found) == [("stored", "")]
    assert after.fingerprint == ready.fingerprint != before.fingerprint
    assert after.authorized_at.date() == given
    assert Connection.objects.for_organization(organization).get().name == "Northstar"


def test_an_unticked_renewal_is_left_out(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon, authorized_at=timezone.now() - 300 * DAY)
    given = timezone.now().date() - 10 * DAY
    text = table(
        ("Northstar", "US", NORTHSTAR, authorize(amazon), given.isoformat()),
        ("Harbor", "US", BLUE_HARBOR, authorize(amazon, BLUE_HARBOR), ""),
    )

    found = bring(browser, organization, text)
    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [("left", "not_chosen"), ("stored", "")]
    assert factories.grant_of(row).fingerprint == before.fingerprint


def test_a_living_consent_does_not_give_way_to_an_unproved_seller(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon, authorized_at=timezone.now() - 300 * DAY)
    given = timezone.now().date() - 10 * DAY
    # Somebody else's token under this Seller ID.
    token = authorize(amazon, BLUE_HARBOR)
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, token, given.isoformat()))
    )

    confirm(browser, found, *rows_of(found))
    ledger.drain("interactive")

    assert outcomes(found) == [("refused", "import_seller_unproved")]
    assert factories.grant_of(row).fingerprint == before.fingerprint


def test_an_outage_of_the_proof_waits_where_a_living_consent_depends_on_it(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    connected(organization, amazon, authorized_at=timezone.now() - 300 * DAY)
    given = timezone.now().date() - 10 * DAY
    found = bring(
        browser,
        organization,
        table(("Northstar", "US", NORTHSTAR, authorize(amazon), given.isoformat())),
    )
    amazon.faults.add(surface="sellers", operation="searchListingsItems", status=503)

    confirm(browser, found, *rows_of(found))
    ledger.drain("interactive")

    assert outcomes(found) == [("waiting", "")]


@pytest.mark.parametrize("end", ["invalid", "disconnected", "expired", "removed"])
def test_a_consent_that_is_over_is_renewed_when_ticked(
    end: str, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, _before = connected(organization, amazon)
    owner = Actor.person(factories.owner_of(organization))
    if end == "invalid":
        SpApiGrant.objects.for_organization(organization).update(status="invalid")
    elif end == "expired":
        SpApiGrant.objects.for_organization(organization).update(
            authorized_at=timezone.now() - 400 * DAY
        )
    else:
        disconnecting.disconnect(
            connection=row, sides=frozenset({disconnecting.Side.SPAPI}), actor=owner
        )
    if end == "removed":
        Connection.objects.for_organization(organization).update(removed_at=timezone.now())

    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found, *rows_of(found))
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", "")]
    after = Connection.objects.for_organization(organization).get()
    assert after.pk == row.pk
    grant = factories.grant_of(row)
    assert (grant.status, grant.is_consent_dated) == (Grant.Status.ACTIVE, False)


def test_who_connected_or_disconnected_meanwhile_is_not_overruled(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    row, before = connected(organization, amazon)
    ledger.drain("interactive")

    assert outcomes(found) == [("refused", "import_connected_meanwhile")]
    assert factories.grant_of(row).fingerprint == before.fingerprint

    SpApiGrant.objects.for_organization(organization).update(status="invalid")
    again = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, again, *rows_of(again))
    disconnecting.disconnect(
        connection=row,
        sides=frozenset({disconnecting.Side.SPAPI}),
        actor=Actor.person(factories.owner_of(organization)),
    )
    ledger.drain("interactive")

    assert outcomes(again) == [("refused", "import_disconnected_meanwhile")]
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED


def test_who_removed_the_row_after_the_confirmation_is_not_overruled(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    row, before = connected(organization, amazon)
    SpApiGrant.objects.for_organization(organization).update(status="invalid")
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found, *rows_of(found))
    Connection.objects.for_organization(organization).update(removed_at=timezone.now())
    ledger.drain("interactive")

    assert outcomes(found) == [("refused", "import_row_removed")]
    assert not Connection.objects.for_organization(organization).exists()
    assert factories.grant_of(row).fingerprint == before.fingerprint
    assert [each.refresh_token for each in rows_of(found)] == [""]


def test_a_waiting_row_of_this_name_takes_the_token(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    waiting = factories.make_waiting_connection(organization, name="Northstar")

    found = bring(
        browser, organization, table(("northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", "")]
    row = Connection.objects.for_organization(organization).get()
    assert (row.pk, row.selling_partner_id) == (waiting.pk, NORTHSTAR)


def test_another_organizations_rows_are_nobodys(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    """The same seller elsewhere is neither told nor touched."""
    other = factories.make_organization("Other")
    theirs, before = connected(other, amazon)

    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", "")]
    assert factories.grant_of(theirs).fingerprint == before.fingerprint
    assert Connection.objects.for_organization(organization).count() == 1


# What the day of the consent is worth --------------------------------------------------------


@pytest.fixture
def undated(organization: Organization, browser: Client, amazon: RunningEmulator) -> Connection:
    found = bring(
        browser, organization, table(("Northstar", "US", NORTHSTAR, authorize(amazon), ""))
    )
    confirm(browser, found)
    ledger.drain("interactive")
    row: Connection = Connection.objects.for_organization(organization).get()
    return row


def test_without_a_day_no_end_is_promised(
    undated: Connection, organization: Organization, browser: Client
) -> None:
    page = words_of(browser.get(reverse("account_connections", args=[organization.slug])))
    details = words_of(
        browser.get(reverse("connection_details", args=[organization.slug, undated.pk]))
    )
    calendar = words_of(browser.get(reverse("renewal_calendar", args=[organization.slug])))

    assert "Imported by" in page
    assert f"Authorised by {factories.owner_of(organization).email}" not in page
    assert "End of the consent unknown: reconnect to know" in page
    assert "Consent ends in" not in page
    assert "Renew by unknown: reconnect to know" in details
    assert "Consent given not known, in another tool" in details
    assert "1 imported consent is not in this calendar" in calendar
    assert renewals.renewals_of(organization) == []


@pytest.mark.parametrize("days", [320, 364, 400])
def test_without_a_day_no_state_and_no_notice_comes_from_the_day_of_the_import(
    days: int, undated: Connection, organization: Organization, browser: Client
) -> None:
    from connections import notices
    from connections.notice_models import Notice

    SpApiGrant.objects.for_organization(organization).update(
        authorized_at=timezone.now() - days * DAY
    )
    notices.derive(timezone.now())

    table_of = browser.get(
        reverse("account_connections", args=[organization.slug]), {"health": Health.CONNECTED}
    )
    assert "Northstar" in words_of(table_of)
    assert not Notice._base_manager.exists()


def test_with_a_day_the_year_counts_from_it(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    given = timezone.now().date() - 340 * DAY
    found = bring(
        browser,
        organization,
        table(("Northstar", "US", NORTHSTAR, authorize(amazon), given.isoformat())),
    )
    confirm(browser, found)
    ledger.drain("interactive")

    page = words_of(browser.get(reverse("account_connections", args=[organization.slug])))
    assert "Imported by" in page
    assert "Consent ends in 25 days" in page
    assert len(renewals.renewals_of(organization)) == 1


def test_a_reconnect_makes_it_a_consent_of_ours(undated: Connection) -> None:
    factories.consent(undated, refresh_token="Atzr|a-new-one")

    grant = factories.grant_of(undated)
    assert grant.is_consent_dated
    assert grant.imported_at is None
    assert grant.reauthorize_by is not None


# What can be wrong with a row ----------------------------------------------------------------


def problem_of(organization: Organization, *cells: str) -> str:
    (row,) = checked_table(table(cells).encode(), organization.pk)
    return row.problem


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (("", "US", NORTHSTAR, TOKEN, ""), "name_missing"),
        (("\u200b", "US", NORTHSTAR, TOKEN, ""), "name_missing"),
        ((TOKEN, "US", NORTHSTAR, TOKEN, ""), "name_is_a_token"),
        (("Store Atza|IwEB", "US", NORTHSTAR, TOKEN, ""), "name_is_a_token"),
        (("x" * 81, "US", NORTHSTAR, TOKEN, ""), "name_too_long"),
        (("A", "", NORTHSTAR, TOKEN, ""), "place_missing"),
        (("A", "Atlantis", NORTHSTAR, TOKEN, ""), "place_unknown"),
        (("A", "US", "", TOKEN, ""), "seller_missing"),
        (("A", "US", "A1-NORTH", TOKEN, ""), "seller_malformed"),
        (("A", "US", "A" * 41, TOKEN, ""), "seller_malformed"),
        (("A", "US", NORTHSTAR, "", ""), "token_missing"),
        (("A", "US", NORTHSTAR, "Atza|IwEB", ""), "token_malformed"),
        (("A", "US", NORTHSTAR, "Atzr|with space", ""), "token_malformed"),
        (("A", "US", NORTHSTAR, "Atzr|" + "x" * 2041, ""), "token_malformed"),
        (("A", "US", NORTHSTAR, "=Atzr|formula", ""), "token_malformed"),
        (("A", "US", NORTHSTAR, TOKEN, "31.03.2026"), "day_malformed"),
        (("A", "US", NORTHSTAR, TOKEN, "2026-02-30"), "day_malformed"),
        (("A", "US", NORTHSTAR, TOKEN, "2199-01-01"), "day_in_the_future"),
        (("A", "US", NORTHSTAR, TOKEN, "2019-01-01"), "consent_over"),
        (("A", "US", "", "", "31.03.2026"), "seller_missing day_malformed token_missing"),
        (("", "", "A1-NORTH", TOKEN, ""), "name_missing place_missing seller_malformed"),
        (("A", "US", NORTHSTAR, TOKEN, ""), ""),
        (("A", "de", NORTHSTAR, TOKEN, ""), ""),
        (("A", "www.amazon.co.uk", NORTHSTAR, TOKEN, ""), ""),
        (("A", "ATVPDKIKX0DER", NORTHSTAR, TOKEN, ""), ""),
        (("=1+1", "US", NORTHSTAR, TOKEN, ""), ""),
    ],
)
def test_the_problem_of_a_row(
    cells: tuple[str, ...], problem: str, organization: Organization
) -> None:
    assert problem_of(organization, *cells) == problem


@pytest.mark.parametrize(
    ("region", "marketplace", "expected"),
    [
        ("EU", "", ("EU", "")),
        ("europe", "DE", ("EU", "")),
        ("NA", "DE", ("", "places_differ")),
        ("DE", "", ("EU", "")),
        ("XX", "DE", ("", "place_unknown")),
        ("EU", "XX", ("", "place_unknown")),
    ],
)
def test_region_and_marketplace_have_to_agree(
    region: str, marketplace: str, expected: tuple[str, str], organization: Organization
) -> None:
    text = table(
        ("A", region, marketplace, NORTHSTAR, TOKEN),
        header=("Account name", "Region", "Country", "Merchant token", "refresh_token"),
    )

    (row,) = checked_table(text.encode(), organization.pk)

    assert (row.region, row.problem) == expected


def test_beside_a_refused_place_the_seller_of_a_known_row_is_not_missed(
    organization: Organization,
) -> None:
    factories.make_connection(organization, name="Known", seller=NORTHSTAR)

    assert problem_of(organization, "known", "Atlantis", "", TOKEN, "") == "place_unknown"
    assert (
        problem_of(organization, "Unknown", "Atlantis", "", TOKEN, "")
        == "place_unknown seller_missing"
    )


def test_rows_that_mean_the_same_are_not_taken(organization: Organization) -> None:
    text = table(
        ("A", "US", NORTHSTAR, TOKEN + "1", ""),
        ("B", "CA", NORTHSTAR, TOKEN + "2", ""),
        ("C", "US", BLUE_HARBOR, TOKEN + "3", ""),
        ("c", "JP", SAKURA, TOKEN + "4", ""),
        ("D", "JP", "A4", TOKEN + "5", ""),
        ("E", "JP", "A5", TOKEN + "5", ""),
        ("F", "DE", NORTHSTAR, TOKEN + "6", ""),
    )

    found = checked_table(text.encode(), organization.pk)

    assert [row.problem for row in found] == [
        "twice_in_the_file",
        "twice_in_the_file",
        "name_twice",
        "name_twice",
        "token_twice",
        "token_twice",
        "",
    ]
    assert all(row.token is None for row in found if row.problem)


def test_names_and_consents_that_are_here(organization: Organization) -> None:
    factories.make_connection(organization, name="Taken", seller="A1", refresh_token=TOKEN)
    text = table(
        ("taken", "US", "A2", TOKEN + "2", ""),
        ("Known", "US", "A3", TOKEN, ""),
        # Without a Seller ID the name says which row is meant; its consent is as good.
        ("TAKEN", "US", "", TOKEN + "4", ""),
    )

    found = checked_table(text.encode(), organization.pk)

    assert [row.problem for row in found] == ["name_twice", "token_known", "name_twice"]
    assert problem_of(organization, "taken", "US", "A2", TOKEN + "2", "") == "name_taken"
    assert problem_of(organization, "TAKEN", "US", "", TOKEN + "4", "") == "kept_better"


# Who may, and how often ----------------------------------------------------------------------


def test_who_signed_in_long_ago_brings_nothing(
    organization: Organization, amazon: RunningEmulator
) -> None:
    browser = signed_in_long_ago(factories.owner_of(organization))

    with nothing_changes(amazon, events=()):
        looked = browser.get(new_url(organization))
        sent = browser.post(new_url(organization), {"text": "x"})

    assert looked.status_code == sent.status_code == 302
    assert "reauthenticate" in looked.headers["Location"]


def test_who_has_a_second_step_proves_that_one(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    owner = factories.owner_of(organization)
    found = bring(browser, organization, table(("A", "US", NORTHSTAR, TOKEN, "")))
    Authenticator.objects.create(user=owner, type=Authenticator.Type.TOTP, data={"secret": "x"})

    with nothing_changes(amazon, events=()):
        looked = browser.get(new_url(organization))
        sent = browser.post(page_url(found), {"action": "confirm"})

    assert looked.headers["Location"].startswith(reverse("mfa_reauthenticate"))
    assert sent.headers["Location"].startswith(reverse("mfa_reauthenticate"))
    assert browser.get(page_url(found)).status_code == 200
    proved_seconds_ago(browser, 0, "mfa")
    assert browser.get(new_url(organization)).status_code == 200
    confirm(browser, found)


def test_a_limited_member_brings_nothing(organization: Organization) -> None:
    """Whoever is limited is no administrator, which the import asks for."""
    limited = factories.make_member(organization, Role.MEMBER)
    Membership.objects.for_organization(organization).filter(user=limited).update(is_limited=True)

    assert signed_in_freshly(limited).get(new_url(organization)).status_code == 403


def test_files_are_limited(organization: Organization, browser: Client) -> None:
    for _ in range(FILE.burst):
        limits.take((FILE, organization.pk.hex))

    assert browser.post(new_url(organization), {"text": "x"}).status_code == 429


def test_confirming_twice_and_after_discarding_changes_nothing(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(browser, organization, table(("A", "US", NORTHSTAR, authorize(amazon), "")))
    answer = browser.post(page_url(found), {"action": "discard"})
    assert answer.status_code == 303
    assert outcomes(found) == [("left", "discarded")]
    assert rows_of(found)[0].refresh_token == ""

    confirm(browser, found)
    confirm(browser, found)

    assert outcomes(found) == [("left", "discarded")]
    assert not Job._base_manager.exists()


# The end of a token --------------------------------------------------------------------------


def test_after_a_day_every_token_is_gone(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    looked_at = bring(browser, organization, table(("A", "US", "A1", TOKEN + "1", "")))
    confirmed = bring(browser, organization, table(("B", "US", "A2", TOKEN + "2", "")))
    confirm(browser, confirmed)
    young = bring(browser, organization, table(("C", "US", "A3", TOKEN + "3", "")))
    TokenImport.objects.for_organization(organization).exclude(pk=young.pk).update(
        created_at=timezone.now() - TOKENS_KEPT - timedelta(seconds=1)
    )

    assert imported_tokens.sweep_overdue() == 2
    assert imported_tokens.sweep_overdue() == 0
    ledger.drain("interactive")

    assert outcomes(looked_at) == outcomes(confirmed) == [("left", "import_over")]
    assert outcomes(young) == [("checked", "")]
    assert [row.refresh_token for row in rows_of(confirmed)] == [""]
    assert Job._base_manager.get().status == "dead"
    assert "Not finished within a day" in words_of(browser.get(page_url(confirmed)))


def test_results_go_after_two_weeks(organization: Organization, browser: Client) -> None:
    found = bring(browser, organization, table(("A", "US", "A1", TOKEN, "")))
    rule = next(rule for rule in retention.rules() if rule.name == "token_imports")
    assert rule.count() == 0
    TokenImport.objects.for_organization(organization).update(
        created_at=timezone.now() - RESULTS_KEPT - timedelta(seconds=1)
    )

    assert sum(rule.steps()) == 1
    assert rows_of(found) == []


def test_a_deleted_organization_keeps_no_token(organization: Organization, browser: Client) -> None:
    found = bring(browser, organization, table(("A", "US", "A1", TOKEN, "")))

    erasure.delete_organization(organization=organization, actor=WORKER)

    assert outcomes(found) == [("left", "discarded")]
    erasure.erase_organization(organization, actor=WORKER)
    assert not TokenImport.objects.for_organization(organization).exists()


def test_tokens_of_a_file_get_the_new_data_key(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(browser, organization, table(("A", "US", NORTHSTAR, authorize(amazon), "")))
    (before,) = rows_of(found)

    _step, unreadable = rotation.rotate(organization.pk, renew_since=timezone.now())
    (after,) = rows_of(found)
    confirm(browser, found)
    ledger.drain("interactive")

    assert unreadable == 0
    assert after.refresh_token != before.refresh_token
    assert outcomes(found) == [("stored", "")]


def test_a_token_that_was_moved_to_another_row_does_not_open(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    found = bring(
        browser,
        organization,
        table(
            ("A", "US", NORTHSTAR, authorize(amazon), ""),
            ("B", "US", BLUE_HARBOR, authorize(amazon, BLUE_HARBOR), ""),
        ),
    )
    first, second = rows_of(found)
    token_imports.rows_of(found).filter(pk=second.pk).update(refresh_token=first.refresh_token)

    confirm(browser, found)
    ledger.drain("interactive")

    assert outcomes(found) == [("stored", ""), ("refused", "import_vault_locked")]


# Files ---------------------------------------------------------------------------------------


def test_a_refused_file_is_told_and_not_given_back(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    text = table(("A", "US", NORTHSTAR, TOKEN, ""), header=("a", "b", "c", "d", "e"))

    with nothing_changes(amazon, events=()):
        answer = browser.post(new_url(organization), {"text": text})
        both = browser.post(
            new_url(organization), {"text": text, "file": SimpleUploadedFile("a.csv", b"x")}
        )

    assert answer.status_code == both.status_code == 422
    assert (
        "Not found: Name, Refresh token. Columns that we know: Name, Region, Marketplace, "
        "Seller ID, Refresh token, Consented on."
    ) in words_of(answer)
    assert TOKEN not in answer.content.decode()
    assert "Choose a file or paste a table, not both." in words_of(both)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_of_many_countries(
    encoding: str, separator: str, organization: Organization, browser: Client
) -> None:
    text = table(("Müller\n& Söhne", "DE", "A1", TOKEN, ""), separator=separator)
    file = SimpleUploadedFile("tokens.csv", text.encode(encoding))

    answer = browser.post(new_url(organization), {"file": file})

    assert answer.status_code == 303
    (row,) = ImportedToken.objects.for_organization(organization)
    assert (row.name, row.status) == ("Müller & Söhne", "checked")


def test_an_odd_seller_id_is_doubted_and_ready(organization: Organization, browser: Client) -> None:
    rows = [("A", "US", "badid", TOKEN, ""), ("B", "US", NORTHSTAR, TOKEN + "2", "")]

    found = bring(browser, organization, table(*rows))

    looked = words_of(browser.get(page_url(found)))
    assert looked.count("does not look like a Seller ID") == 1
    assert (
        "badid does not look like a Seller ID: A followed by 12 or 13 capital letters and digits."
    ) in looked
    assert outcomes(found) == [("checked", ""), ("checked", "")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_columns_that_the_page_names_are_read(
    language: str, organization: Organization, browser: Client
) -> None:
    """In any language, also when the reader's is another."""
    with translation.override(language):
        page = words_of(browser.get(new_url(organization), headers={"accept-language": language}))
        named = titles_of(token_table.COLUMNS)
    assert f": {named}" in page
    today = timezone.now().date().isoformat()
    cells = ("Müller", "EU", "DE", NORTHSTAR, TOKEN, today)

    found = bring(browser, organization, table(cells, header=tuple(named.split(", "))))

    (row,) = rows_of(found)
    assert (row.name, row.region, row.selling_partner_id) == ("Müller", "EU", NORTHSTAR)
    assert (row.status, row.consented_on) == ("checked", date.fromisoformat(today))


def test_a_day_is_the_same_day_in_every_part_of_the_product() -> None:
    from connections.token_table import moment_of

    day = date(2026, 3, 31)
    assert moment_of(day).isoformat() == "2026-03-31T12:00:00+00:00"
    today = timezone.now().date()
    assert moment_of(today) <= timezone.now()
    assert isinstance(moment_of(today), datetime)


def test_the_proof_of_a_disconnection_tells_no_day_that_nobody_knows(
    undated: Connection, organization: Organization
) -> None:
    owner = Actor.person(factories.owner_of(organization))
    disconnecting.disconnect(
        connection=undated, sides=frozenset({disconnecting.Side.SPAPI}), actor=owner
    )
    event = AuditEvent.objects.for_organization(organization).get(code="connection_disconnected")
    (destroyed,) = event.details["destroyed"]
    assert destroyed["given_at"] == ""
    assert factories.grant_of(undated).refresh_token == ""
