"""The daily proof of an Ads consent, and *Check now* for both sides of rows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections import ads_consents, superseding, verification
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from marketplaces import verification as marketplace_verification
from ppc import checking
from ppc.disconnecting import Side, disconnect
from ppc.models import AdsProfile
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR, NORTHSTAR_LOGIN
from tests.factories import US
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.make_member(organization))


@pytest.fixture
def row(amazon: RunningEmulator, organization: Organization) -> Connection:
    return factories.make_connection(
        organization,
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def ads(amazon: RunningEmulator, organization: Organization) -> AdsGrant:
    return factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )


def jobs_of(organization: Organization) -> list[Job]:
    return list(Job.objects.for_organization(organization).order_by("kind"))


def fresh(grant: AdsGrant) -> AdsGrant:
    found: AdsGrant = AdsGrant.objects.for_organization(grant.organization_id).get(pk=grant.pk)
    return found


def set_ads(grant: AdsGrant, **columns: Any) -> None:
    AdsGrant.objects.for_organization(grant.organization_id).update(**columns)


def run(kind: str, grant: AdsGrant) -> Job:
    return ledger.run_here(
        ledger.enqueue(kind, organization=grant.organization_id, subject_id=grant.pk)
    )


def calls(amazon: RunningEmulator, surface: str) -> int:
    return sum(call.surface == surface for call in amazon.ledger.calls())


# The proof ---------------------------------------------------------------------------------


def test_a_proof_lists_the_profiles_and_sets_the_next_one(
    ads: AdsGrant, amazon: RunningEmulator
) -> None:
    job = run(checking.VERIFY, ads)

    grant = fresh(ads)
    assert (job.status, job.last_error_code, job.queue) == ("done", "", "background")
    assert grant.verified_at is not None
    assert grant.verify_due_at is not None
    assert timedelta(hours=20) <= grant.verify_due_at - grant.verified_at <= DAY
    assert AdsProfile.objects.for_organization(ads.organization_id).exists()
    amazon.ledger.clear()

    run(checking.VERIFY, ads)

    assert amazon.ledger.calls() == []


def test_a_routine_listing_that_shows_nothing_new_is_no_event(ads: AdsGrant) -> None:
    run(checking.VERIFY, ads)
    set_ads(ads, profiles_read_at=timezone.now() - DAY)
    events = AuditEvent.objects.for_organization(ads.organization_id)
    before = events.count()

    run(checking.VERIFY, ads)

    assert events.count() == before


def test_an_ended_ads_consent_is_asked_again_within_a_day(
    ads: AdsGrant, amazon: RunningEmulator
) -> None:
    amazon.world.revoke(NORTHSTAR_LOGIN)
    ended = timezone.now() - DAY
    set_ads(
        ads,
        status=Grant.Status.INVALID,
        last_error_code="invalid_grant",
        status_changed_at=ended,
        verify_due_at=timezone.now(),
    )

    assert verification.queue_due(AdsGrant, checking.queue_proofs) == 1
    (job,) = jobs_of(ads.organization)
    ledger.run_here(job)

    assert fresh(ads).status == "invalid"
    due = fresh(ads).verify_due_at
    assert due is not None
    assert ended + 1.6 * DAY <= due <= ended + 2 * DAY
    assert calls(amazon, "lwa") == 1


def test_a_sweep_run_twice_queues_one_job(ads: AdsGrant) -> None:
    for _ in range(2):
        set_ads(ads, verify_due_at=timezone.now() - DAY)
        verification.queue_due(AdsGrant, checking.queue_proofs)

    assert [job.kind for job in jobs_of(ads.organization)] == [checking.VERIFY]


def test_a_page_in_place_of_an_answer_takes_no_permission(
    ads: AdsGrant, amazon: RunningEmulator
) -> None:
    amazon.scenario("html_error_page", surface="ads", status=403, times=1)

    job = run(checking.VERIFY, ads)

    job.refresh_from_db()
    assert (job.status, job.waiting_reason) == ("waiting", "amazon_unavailable")
    assert fresh(ads).permission_missing_since is None
    assert fresh(ads).status == "active"


# Check now ---------------------------------------------------------------------------------


def test_one_row_is_checked_on_both_sides(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    run(checking.VERIFY, ads)
    other = factories.make_ads_grant(organization)  # sees nothing of this seller
    Job.objects.for_organization(organization).delete()
    url = reverse("connection_check", args=[organization.slug, row.pk])

    first = browser.post(url)
    second = browser.post(url)

    assert first.status_code == second.status_code == 303
    assert first.headers["Location"].endswith(f"#connection-{row.pk}")
    queued = [(job.kind, job.subject_id, job.queue) for job in jobs_of(organization)]
    assert queued == [
        (marketplace_verification.CHECK, row.pk, "interactive"),
        (checking.CHECK, ads.pk, "interactive"),
    ]
    assert other.pk not in {job.subject_id for job in jobs_of(organization)}
    events = AuditEvent.objects.for_organization(organization).filter(code="check_requested")
    assert events.count() == 1


def test_the_result_of_a_check_is_in_the_row(
    row: Connection, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    SpApiGrant.objects.for_organization(organization).update(
        status=Grant.Status.INVALID, last_error_code="invalid_grant"
    )
    browser.post(reverse("connection_check", args=[organization.slug, row.pk]))
    for job in jobs_of(organization):
        ledger.run_here(job)

    page = browser.get(reverse("account_connections", args=[organization.slug])).content.decode()

    assert factories.grant_of(row).status == "active"
    assert "Amazon no longer accepts your consent" not in page
    assert "United States" in page


def test_a_row_without_a_consent_cannot_be_checked(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    waiting = factories.make_waiting_connection(organization)

    with nothing_changes(amazon, events=()):
        response = browser.post(reverse("connection_check", args=[organization.slug, waiting.pk]))

    assert response.status_code == 404


def test_a_disconnected_row_is_not_checked_and_says_so(
    row: Connection, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    SpApiGrant.objects.for_organization(organization).update(
        status=Grant.Status.DISCONNECTED, refresh_token=""
    )
    url = reverse("connection_check", args=[organization.slug, row.pk])

    with nothing_changes(amazon, events=()):
        fresh_rows = browser.post(url, headers={"HX-Request": "true"})
        response = browser.post(url)

    assert (fresh_rows.status_code, response.status_code) == (200, 303)
    assert jobs_of(organization) == []
    told = f"{row.name} has no consent to check. Reconnect it first."
    assert told in fresh_rows.text
    assert json.loads(fresh_rows.headers["HX-Trigger"])["announce"] == {"message": told}
    page = browser.get(reverse("account_connections", args=[organization.slug])).text
    assert told in page
    assert url not in page


@pytest.fixture
def ppc_alone(row: Connection, ads: AdsGrant) -> Connection:
    """Selling Partner is disconnected; the Ads consent lives on and feeds the row."""
    run(checking.VERIFY, ads)
    account = factories.make_account(row, US, onboarding="onboarded")
    profile = ads.profiles.get(account_id=NORTHSTAR, marketplace_id=US)
    factories.make_link(account, profile)
    actor = Actor.person(factories.owner_of(row.organization))
    disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=actor)
    Job.objects.for_organization(row.organization).delete()
    return row


def test_where_only_ppc_lives_its_consent_is_checked(
    ppc_alone: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    url = reverse("connection_check", args=[organization.slug, ppc_alone.pk])
    page = reverse("account_connections", args=[organization.slug])
    assert url in browser.get(page).text

    told = browser.post(url, follow=True).text

    assert [(job.kind, job.subject_id) for job in jobs_of(organization)] == [
        (checking.CHECK, ads.pk)
    ]
    assert f"The Amazon Ads consent of {ppc_alone.name} is being checked." in told
    assert "no consent to check" not in told
    events = AuditEvent.objects.for_organization(organization).filter(code="check_requested")
    assert [event.details["jobs"] for event in events] == [1]
    before = fresh(ads).verified_at
    ledger.drain("interactive")
    after = fresh(ads).verified_at
    assert before is not None
    assert after is not None
    assert after > before


@pytest.mark.parametrize(
    ("spapi", "ads_consent", "is_offered"),
    [
        ("living", "none", True),
        ("erased", "none", False),
        ("stopped", "none", False),
        ("stopped", "living", True),
        ("stopped", "stopped", False),
        ("erased", "stopped", False),
        ("erased", "living", True),
        ("erased", "erased", False),
        ("erased", "given for it, fed by none", True),
    ],
)
def test_the_menu_offers_a_check_where_amazon_can_be_asked(
    row: Connection,
    ads: AdsGrant,
    organization: Organization,
    browser: Client,
    spapi: str,
    ads_consent: str,
    is_offered: bool,
) -> None:
    """A status says only that a consent ended, not whether its token is still here, and whether
    staff stopped its use."""
    if ads_consent != "given for it, fed by none":
        run(checking.VERIFY, ads)
    if spapi == "erased":
        erase_token(row)
    if spapi == "stopped":
        superseding.require_reconnect(factories.grant_of(row), actor=COMMAND, reason="staff")
    if ads_consent == "stopped":
        superseding.require_reconnect(fresh(ads), actor=COMMAND, reason="staff")
    if ads_consent == "erased":
        AdsGrant.objects.for_organization(organization).update(
            status=Grant.Status.INVALID, refresh_token=""
        )
    if ads_consent == "none":
        AdsProfile.objects.for_organization(organization).delete()
    if ads_consent == "given for it, fed by none":
        AdsGrant.objects.for_organization(organization).update(asked_for=row)
    url = reverse("connection_check", args=[organization.slug, row.pk])

    page = browser.get(reverse("account_connections", args=[organization.slug])).text
    told = browser.post(url, follow=True).text

    assert (url in page) == is_offered
    assert ("has no consent to check" not in told) == is_offered


def test_a_selection_with_a_row_where_only_ppc_lives(
    ppc_alone: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    url = reverse("connections_check", args=[organization.slug])
    page = browser.get(url, {"row": [str(ppc_alone.pk)]}).text
    assert "For 1 connection" in page
    assert "reconnect it first" not in page

    told = browser.post(url, {"row": [str(ppc_alone.pk)]}, follow=True).text
    again = browser.post(url, {"row": [str(ppc_alone.pk)]}).text

    assert (told.count("Being checked"), told.count("Not asked")) == (1, 1)
    assert "Was being checked already" in again
    assert [(job.kind, job.subject_id) for job in jobs_of(organization)] == [
        (checking.CHECK, ads.pk)
    ]


def erase_token(row: Connection) -> None:
    """Four weeks after Amazon ended the consent: it stays invalid, without its token."""
    SpApiGrant.objects.for_organization(row.organization_id).filter(connection=row).update(
        status=Grant.Status.INVALID, last_error_code="invalid_grant", refresh_token=""
    )


def test_a_consent_without_its_token_is_not_asked(
    row: Connection, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    erase_token(row)
    single = reverse("connection_check", args=[organization.slug, row.pk])
    several = reverse("connections_check", args=[organization.slug])

    with nothing_changes(amazon, events=()):
        browser.post(single)
    told = browser.post(several, {"row": [str(row.pk)]}).text

    assert "No consent to check: reconnect it first" in told
    assert jobs_of(organization) == []
    events = AuditEvent.objects.for_organization(organization)
    assert not events.filter(code="check_requested").exists()
    assert f"{row.name} has no consent to check. Reconnect it first." in told


def test_beside_a_consent_without_its_token_the_other_side_is_asked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    run(checking.VERIFY, ads)
    Job.objects.for_organization(organization).delete()
    erase_token(row)

    told = browser.post(
        reverse("connection_check", args=[organization.slug, row.pk]), follow=True
    ).text
    also = browser.post(
        reverse("connections_check", args=[organization.slug]), {"row": [str(row.pk)]}
    ).text

    assert f"The Amazon Ads consent of {row.name} is being checked." in told
    assert "Selling Partner has none" in told
    assert "Was being checked already" in also
    assert [(job.kind, job.subject_id) for job in jobs_of(organization)] == [
        (checking.CHECK, ads.pk)
    ]


@pytest.mark.parametrize("route", ["connection_check", "connections_check"])
def test_a_consent_that_was_given_for_the_row_is_asked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client, route: str
) -> None:
    """Its profiles were never read, so that only its trip says whose it is."""
    other = factories.make_connection(organization, seller="A9SOMEBODYELSE")
    theirs = factories.make_ads_grant(organization, asked_for=other)
    set_ads(ads, asked_for=row)
    AdsGrant.objects.for_organization(organization).filter(pk=theirs.pk).update(asked_for=other)

    if route == "connection_check":
        browser.post(reverse(route, args=[organization.slug, row.pk]))
    else:
        browser.post(reverse(route, args=[organization.slug]), {"row": [str(row.pk)]})

    asked = [job.subject_id for job in jobs_of(organization) if job.kind == checking.CHECK]
    assert asked == [ads.pk]


@pytest.mark.parametrize("route", ["connection_check", "connections_check"])
def test_a_consent_that_no_longer_sees_the_seller_is_not_asked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client, route: str
) -> None:
    """As it would not be ended with the row either."""
    factories.make_profile(ads, seller=NORTHSTAR, is_listed=False)
    assert ads_consents.of_row(row) == []

    if route == "connection_check":
        browser.post(reverse(route, args=[organization.slug, row.pk]))
    else:
        browser.post(reverse(route, args=[organization.slug]), {"row": [str(row.pk)]})

    assert [job.kind for job in jobs_of(organization)] == [marketplace_verification.CHECK]


def test_one_row_and_many_have_the_same_consents(organization: Organization) -> None:
    """By each of the ways in which a consent is a row's."""
    fed, seen, asked = (
        factories.make_connection(organization, seller=f"A{number}SELLER")
        for number in ("FED", "SEEN", "ASKED")
    )
    feeding, seeing, unread = (factories.make_ads_grant(organization) for _ in range(3))
    factories.put_to_use(feeding, fed)
    factories.make_profile(seeing, seller="ASEENSELLER")
    for grant in (feeding, seeing, unread):
        AdsGrant.objects.for_organization(organization).filter(pk=grant.pk).update(asked_for=asked)
    rows, every = [fed, seen, asked], AdsGrant.objects.for_organization(organization)

    expected = {fed.pk: {feeding.pk}, seen.pk: {seeing.pk}, asked.pk: {unread.pk}}

    assert ads_consents.by_row(every, rows) == expected
    assert {row.pk: {one.pk for one in ads_consents.of_row(row)} for row in rows} == expected
    for row in rows:
        (mine,) = ads_consents.of_row(row)
        assert ads_consents.rows_of([mine]) == [row.pk]
    assert set(
        ads_consents.of_rows(organization.pk, Connection.objects.for_organization(organization))
    ) == {feeding, seeing, unread}


def test_the_message_says_what_is_checked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    url = reverse("connection_check", args=[organization.slug, row.pk])
    alone = browser.post(url, follow=True).text
    assert f"The Selling Partner consent of {row.name} is being checked." in alone
    run(checking.VERIFY, ads)
    both = browser.post(url, follow=True).text
    assert f"Selling Partner and Amazon Ads of {row.name} are being checked." in both


def test_a_selection_is_shown_and_then_checked(
    row: Connection, organization: Organization, browser: Client
) -> None:
    second = factories.make_connection(organization, name="Second")
    third = factories.make_connection(organization, name="Third")
    url = reverse("connections_check", args=[organization.slug])

    page = browser.get(f"{url}?row={row.pk}&row={second.pk}").content.decode()
    assert jobs_of(organization) == []
    response = browser.post(url, {"row": [str(row.pk), str(second.pk)]})

    assert f'name="row" value="{row.pk}"' in page
    assert f'name="row" value="{second.pk}"' in page
    assert str(third.pk) not in page
    assert response.status_code == 303
    checked = {job.subject_id for job in jobs_of(organization)}
    assert checked == {row.pk, second.pk}
    events = AuditEvent.objects.for_organization(organization).filter(code="check_requested")
    assert {event.connection_id for event in events} == {row.pk, second.pk}


def test_a_second_click_checks_nothing_twice(
    row: Connection, organization: Organization, browser: Client
) -> None:
    url = reverse("connections_check", args=[organization.slug])
    browser.post(url, {"row": [str(row.pk)]})

    again = browser.post(url, {"row": [str(row.pk)]})

    assert "Was being checked already" in again.content.decode()
    assert len(jobs_of(organization)) == 1
    events = AuditEvent.objects.for_organization(organization).filter(code="check_requested")
    assert events.count() == 1


def test_what_cannot_be_checked_says_why(
    row: Connection, organization: Organization, browser: Client
) -> None:
    waiting = factories.make_waiting_connection(organization, name="Waits")
    gone = factories.make_connection(organization, name="Gone")
    SpApiGrant.objects.for_organization(organization).filter(connection=gone).update(
        status=Grant.Status.DISCONNECTED, refresh_token=""
    )
    url = reverse("connections_check", args=[organization.slug])
    rows = [str(one.pk) for one in (row, waiting, gone)]

    page = browser.get(url, {"row": rows}).content.decode()
    result = browser.post(url, {"row": rows}, follow=True).text
    again = browser.post(url, {"row": rows}).text

    for answer in (page, result, again):
        assert "Waits for its first consent" in answer
        assert "No consent to check: reconnect it first" in answer
    assert "2 connections were not asked about" in result
    assert "For 1 connection" in page
    assert "Not for 2 connections" in page
    assert {job.subject_id for job in jobs_of(organization)} == {row.pk}


def test_the_question_says_where_else_the_answers_show(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    run(checking.VERIFY, ads)
    profile = ads.profiles.get(account_id=NORTHSTAR, marketplace_id=US)
    chosen = [row, *(factories.make_connection(organization) for _ in range(3))]
    for each in chosen[1:]:
        factories.make_link(factories.make_account(each, US), profile)
    url = reverse("connections_check", args=[organization.slug])

    def asked(rows: list[Connection]) -> str:
        return " ".join(browser.get(url, {"row": [str(one.pk) for one in rows]}).text.split())

    assert "Their Amazon Ads consents feed 3 other connections too" in asked(chosen[:1])
    assert "Their Amazon Ads consents feed 1 other connection too" in asked(chosen[:3])
    assert "Their Amazon Ads consents" not in asked(chosen)
    told = browser.post(url, {"row": [str(one.pk) for one in chosen]}, follow=True).text
    assert "0 of 4 checked" in told


def test_a_selection_is_checked_by_few_statements(
    row: Connection, organization: Organization, browser: Client
) -> None:
    url = reverse("connections_check", args=[organization.slug])

    def queries(rows: list[Connection]) -> int:
        with CaptureQueriesContext(database) as sent:
            browser.post(url, {"row": [str(one.pk) for one in rows]})
        return len(sent)

    queries([row])
    few = queries([factories.make_connection(organization)])
    many = queries([factories.make_connection(organization) for _ in range(12)])

    assert many <= few


@pytest.mark.parametrize("ticked", ["none", "foreign"])
def test_a_selection_of_nothing_is_a_mistake(
    row: Connection,
    organization: Organization,
    browser: Client,
    amazon: RunningEmulator,
    ticked: str,
) -> None:
    foreign = factories.make_connection(factories.make_organization())
    chosen = [str(foreign.pk)] if ticked == "foreign" else []
    url = reverse("connections_check", args=[organization.slug])

    with nothing_changes(amazon, events=()):
        response = browser.post(url, {"row": chosen})

    assert response.status_code == 422
    assert "Tick at least one connection in the list first." in response.content.decode()


@pytest.fixture
def half_checked(row: Connection, ads: AdsGrant) -> Connection:
    """Selling Partner is doubted, and its check waits until later; nobody asks about PPC."""
    factories.put_to_use(ads, row)
    SpApiGrant.objects.for_organization(row.organization_id).update(status=Grant.Status.DOUBTED)
    job = ledger.enqueue(
        marketplace_verification.CHECK, organization=row.organization_id, subject_id=row.pk
    )
    Job.objects.for_organization(row.organization_id).filter(pk=job.pk).update(
        status=Job.Status.WAITING,
        waiting_reason="grant_doubted",
        next_attempt_at=timezone.now() + timedelta(minutes=9),
    )
    return row


def test_the_other_side_is_asked_while_one_waits(
    half_checked: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    url = reverse("connections_check", args=[organization.slug])
    before = browser.get(url, {"row": [str(half_checked.pk)]}).text

    told = browser.post(url, {"row": [str(half_checked.pk)]}, follow=True).text

    assert "Amazon Ads is asked; Selling Partner is being checked already" in before
    assert [(job.kind, job.subject_id, job.status) for job in jobs_of(organization)] == [
        (marketplace_verification.CHECK, half_checked.pk, "waiting"),
        (checking.CHECK, ads.pk, "queued"),
    ]
    assert "Nothing new to check" not in told
    event = AuditEvent.objects.for_organization(organization).get(code="check_requested")
    assert (event.details["sides"], event.details["already"]) == (["ppc"], ["spapi"])

    after = browser.get(url, {"row": [str(half_checked.pk)]}).text
    again = browser.post(url, {"row": [str(half_checked.pk)]}).text

    assert "Not for 1 connection" in after
    assert "Is being checked already" in after
    assert "Nothing new to check" in again
    assert len(jobs_of(organization)) == 2


def test_selling_partner_is_asked_while_ppc_waits(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    factories.put_to_use(ads, row)
    ledger.enqueue(checking.CHECK, organization=organization, subject_id=ads.pk)
    url = reverse("connections_check", args=[organization.slug])
    before = browser.get(url, {"row": [str(row.pk)]}).text

    browser.post(url, {"row": [str(row.pk)]})

    assert "Selling Partner is asked; Amazon Ads is being checked already" in before
    assert [(job.kind, job.subject_id) for job in jobs_of(organization)] == [
        (marketplace_verification.CHECK, row.pk),
        (checking.CHECK, ads.pk),
    ]


def test_of_two_ads_consents_the_idle_one_is_asked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    idle = factories.make_ads_grant(organization, asked_for=row)
    set_ads(ads, asked_for=row)
    for kind, subject in ((marketplace_verification.CHECK, row.pk), (checking.CHECK, ads.pk)):
        ledger.enqueue(kind, organization=organization, subject_id=subject)

    browser.post(reverse("connections_check", args=[organization.slug]), {"row": [str(row.pk)]})

    asked = [job.subject_id for job in jobs_of(organization) if job.kind == checking.CHECK]
    assert set(asked) == {ads.pk, idle.pk}
    assert len(asked) == 2


def test_the_question_says_which_sides_are_asked(
    row: Connection, ads: AdsGrant, organization: Organization, browser: Client
) -> None:
    factories.put_to_use(ads, row)
    factories.make_connection(organization, seller="A9SOMEBODYELSE")
    url = reverse("connections_check", args=[organization.slug])

    page = browser.get(url, {"all": "1"}).text

    assert page.count(">Selling Partner and Amazon Ads are asked<") == 1
    assert page.count(">Selling Partner is asked<") == 1
