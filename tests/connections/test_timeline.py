"""A connection's story for the organization's own people, and the facts of its consents."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from connections import rotation, services, timeline, timeline_words
from connections.health_models import DataSetReport
from connections.models import ADS_YEAR_RULE_SINCE, AdsGrant, Connection, Grant, SpApiGrant
from connections.reasons import OUTCOMES, SUCCESSES, TOLD_TO_OTHERS
from ppc.models import PpcLink
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from sellerlegend.transitions import advance
from tests import factories, trips
from tests.factories import US

pytestmark = pytest.mark.django_db

CHECKOUT = Path(__file__).resolve().parents[2]
APPS = ("sellerlegend", "connections", "marketplaces", "ppc")
NOW = timezone.now()


@pytest.fixture(autouse=True)
def clock_of_the_module() -> Iterator[None]:
    """The words are computed from NOW, which a long run leaves behind."""
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.owner_of(organization))


def words_of(page: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


def story_url(connection: Connection) -> str:
    return reverse("connection_timeline", args=[connection.organization.slug, connection.pk])


def story(client: Client, connection: Connection, **parameters: Any) -> str:
    page = client.get(story_url(connection), parameters)
    assert page.status_code == 200
    return words_of(page)


# The story ---------------------------------------------------------------------------------


def test_a_marketplace_is_named_in_its_events(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    account = factories.make_account(connection, US, onboarding="working")
    advance(
        account,
        to="needs_attention",
        actor=WORKER,
        reason="not_listed",
        attention_reason="not_listed",
    )

    text = story(browser, connection)

    assert "United States · Amazon no longer lists this marketplace for the seller" in text


def test_it_tells_what_happened_newest_first_and_by_day(
    organization: Organization, browser: Client
) -> None:
    owner = factories.owner_of(organization)
    User.objects.filter(pk=owner.pk).update(name="Ada Benson")
    connection = factories.make_connection(organization, name="Old name")
    services.rename_connection(connection=connection, name="New name", actor=Actor.person(owner))
    grant = factories.grant_of(connection)
    advance(grant, to="doubted", actor=WORKER, reason="grant_doubted")
    with time_machine.travel(NOW - timedelta(days=3)):
        record_event("participations_failed", actor=WORKER, subject=connection)

    text = story(browser, connection)

    today, earlier = (date_format(NOW - timedelta(days=days), "DATE_FORMAT") for days in (0, 3))
    told = [
        today,
        "Amazon refused the consent of Selling Partner; we ask again",
        "Amazon refused your consent",
        "Automatically",
        "Renamed from “Old name” to “New name”",
        "Ada Benson",
        "Confirmed that it is the right store",
        "First consent of Selling Partner",
        "Connection added",
        earlier,
        "The marketplaces could not be read",
    ]
    places = [text.index(words) for words in told]
    assert places == sorted(places)


def test_it_tells_of_the_ads_consents_that_feed_the_row_and_of_no_others(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    feeding, other = (factories.make_ads_grant(organization) for _ in range(2))
    profile = factories.make_profile(feeding, seller=connection.selling_partner_id or "")
    factories.make_link(factories.make_account(connection, US), profile)
    advance(feeding, to="doubted", actor=WORKER)
    advance(other, to="doubted", actor=WORKER)

    text = story(browser, connection)

    assert text.count("Amazon refused the consent of Amazon Ads; we ask again") == 1
    assert text.count("Consent of Amazon Ads given") == 1


def test_another_row_and_another_organization_stay_out(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization, name="Mine")
    neighbour = factories.make_connection(organization, name="Neighbour")
    foreign = factories.make_connection(factories.make_organization())
    for row in (neighbour, foreign):
        record_event("resync_requested", actor=WORKER, subject=row)
    AuditEvent(
        organization=foreign.organization,
        code="resync_requested",
        actor_kind="worker",
        connection_id=connection.pk,
    ).save()

    assert "Asked Amazon for everything again" not in story(browser, connection)


def test_support_has_no_name_and_its_reasons_stay_with_it(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    staff = factories.make_user("secret.agent@example.com", is_staff=True)
    record_event(
        "resync_requested",
        actor=Actor.staff(staff),
        subject=connection,
        reason="Their neighbour Contoso complained",
        cause="internal cause",
        fingerprint="abcd1234",
    )

    text = story(browser, connection)

    assert "Asked Amazon for everything again Support" in text
    for hidden in ("secret.agent", "Contoso", "internal cause", "abcd1234"):
        assert hidden not in text


def test_an_event_of_tomorrow_gets_a_neutral_line(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    record_event("never_heard_of", actor=WORKER, subject=connection, secret="hidden detail")

    text = story(browser, connection)

    assert "Something was recorded Automatically" in text
    assert "never_heard_of" not in text
    assert "hidden detail" not in text


def test_what_is_not_for_tenants_is_not_told(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    record_event("person_changed", actor=WORKER, subject=connection)

    assert "Something was recorded" not in story(browser, connection)


def test_a_name_is_text_and_never_markup_or_a_format(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    record_event(
        "connection_renamed", actor=WORKER, subject=connection, old="<b>100%</b>", new="%(old)s"
    )

    page = browser.get(story_url(connection)).content.decode()

    assert "Renamed from “&lt;b&gt;100%&lt;/b&gt;” to “%(old)s”" in page


def test_a_person_who_left_is_named_so(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    person = factories.make_member(organization, Role.ADMIN)
    record_event("connection_confirmed", actor=Actor.person(person), subject=connection)
    person.delete()

    assert "Confirmed that it is the right store A deleted login" in story(browser, connection)


def test_a_return_that_was_somebody_elses_names_nobody(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    record_event(
        "authorization_refused",
        actor=Actor.person(None),  # type: ignore[arg-type]  # as flows._refuse hides who it was
        subject=connection,
        cause="other_person",
    )

    told = story(browser, connection)

    assert "A return from Amazon was not accepted Another browser or login" in told
    assert "A deleted login" not in told


def test_a_viewer_may_read_it(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    assert "Connection added" in story(viewer, connection)


def test_it_is_paged_and_costs_the_same_however_long_it_is(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)

    def queries() -> int:
        story(browser, connection)
        with CaptureQueriesContext(database) as sent:
            story(browser, connection)
        return sum("embedded_cache" not in query["sql"] for query in sent.captured_queries)

    few = queries()
    for _ in range(timeline.EVENTS_PER_PAGE * 2):
        person = Actor.person(factories.owner_of(organization))
        record_event("resync_requested", actor=person, subject=connection)

    assert queries() == few
    assert story(browser, connection).count("Asked Amazon for everything again") == 50
    assert "Connection added" in story(browser, connection, page=3)
    for odd in ("0", "-1", "x", "9" * 30, "²"):
        assert browser.get(story_url(connection), {"page": odd}).status_code == 200


# Every code --------------------------------------------------------------------------------


def calls_of(*names: str) -> Iterator[tuple[str, ast.expr]]:
    """The first argument of each call of these functions anywhere in the product."""
    for app in APPS:
        for path in sorted((CHECKOUT / app).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and node.args:
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    if name in names:
                        yield f"{path.relative_to(CHECKOUT)}:{node.lineno}", node.args[0]


def literal_codes(argument: ast.expr) -> set[str]:
    if isinstance(argument, ast.IfExp):
        return literal_codes(argument.body) | literal_codes(argument.orelse)
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return {argument.value}
    return set()


MACHINES: list[Any] = [model for model in apps.get_models() if hasattr(model, "EVENT_PREFIX")]
# Codes that are put together: where, and what they can be.
PUT_TOGETHER = {
    "{machine.EVENT_PREFIX}_{to}": {
        f"{machine.EVENT_PREFIX}_{state}"
        for machine in MACHINES
        for states in machine.TRANSITIONS.values()
        for state in states
    },
    "{grant.EVENT_PREFIX}_token_erased": {"spapi_grant_token_erased", "ads_grant_token_erased"},
    "data_key_{step}": {f"data_key_{step}" for step in rotation.Step if step != "current"},
    "incident_{kind}": {"incident_opened", "incident_closed"},
    "news": {"amazon_failing", "amazon_answers"},
    "capability_{state}": {"capability_missing", "capability_granted"},
    # Passed on by functions whose own callers are looked at.
    "code": set(),
}


def test_every_event_of_the_product_has_words_or_is_not_for_tenants() -> None:
    recorded: set[str] = set()
    unknown = []
    for place, argument in calls_of("record_event", "record_events", "event_of", "audited"):
        codes = literal_codes(argument)
        written = ast.unparse(argument).removeprefix("f").strip("'\"")
        if not codes and written not in PUT_TOGETHER:
            unknown.append(f"{place}: {written}")
        recorded |= codes or PUT_TOGETHER.get(written, set())

    assert unknown == []
    assert recorded - timeline_words.CODES.keys() - timeline_words.NOT_FOR_TENANTS == set()
    assert not timeline_words.CODES.keys() & timeline_words.NOT_FOR_TENANTS


def test_every_line_can_be_written() -> None:
    for code in timeline_words.CODES:
        sign = timeline.sign_of(AuditEvent(code=code, details={}))
        assert sign.word
        assert "%" not in sign.word


# The facts of the consents -----------------------------------------------------------------


def details(client: Client, connection: Connection) -> str:
    url = reverse("connection_details", args=[connection.organization.slug, connection.pk])
    page = client.get(url)
    assert page.status_code == 200
    return words_of(page)


def moment(value: Any) -> str:
    return date_format(timezone.localtime(value), "DATETIME_FORMAT")


def day(value: Any) -> str:
    return date_format(timezone.localtime(value), "DATE_FORMAT")


def test_details_tell_each_fact_of_the_consent(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    User.objects.filter(pk=factories.owner_of(organization).pk).update(name="Ada Benson")
    given, hour = NOW - timedelta(days=100), timedelta(hours=1)
    SpApiGrant.objects.for_organization(organization).update(
        authorized_at=given,
        verified_at=NOW - 3 * hour,
        last_success_at=NOW - 2 * hour,
        last_failure_at=NOW - hour,
        last_failure_code="amazon_unavailable",
        gap_started_at=NOW - 120 * hour,
        gap_ended_at=NOW - 100 * hour,
    )

    text = details(browser, connection)

    for told in (
        "Authorised by Ada Benson",
        f"Consent given {moment(given)}",
        f"Renew by {day(given + timedelta(days=365))}",
        f"Last verified {moment(NOW - 3 * hour)}",
        f"Last success {moment(NOW - 2 * hour)}",
        f"Last failure {moment(NOW - hour)}: Amazon does not answer at the moment",
        f"No access from {moment(NOW - 120 * hour)} to {moment(NOW - 100 * hour)}",
        "no other call has confirmed it yet",
    ):
        assert told in text


@pytest.mark.parametrize("status", ["active", "invalid"])
def test_details_lead_to_the_renewal_of_each_consent(
    organization: Organization, browser: Client, status: str
) -> None:
    """Where calendars and mails lead to, people find what they were promised, once."""
    connection = factories.make_connection(organization)
    profile = factories.make_profile(
        factories.make_ads_grant(organization), seller=connection.selling_partner_id or ""
    )
    factories.make_link(factories.make_account(connection, US), profile)
    SpApiGrant.objects.for_organization(organization).update(status=status)
    AdsGrant.objects.for_organization(organization).update(status=status)
    keys = [organization.slug, connection.pk]
    url = reverse("connection_details", args=keys)

    page = browser.get(url).content.decode()
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))
    read_only = viewer.get(url).content.decode()

    for name in ("connection_authorize", "ppc_connect"):
        way = f'href="{reverse(name, args=keys)}"'
        assert page.count(way) == 1
        assert way not in read_only
    told = "Amazon no longer accepts your consent."
    assert (told in page, told in read_only) == (status == "invalid",) * 2


@pytest.mark.parametrize(
    ("facts", "told", "untold"),
    [
        ({"status": "disconnected", "refresh_token": ""}, "Consent given", "Renew"),
        ({"status": "invalid"}, "Consent given", "Renew"),
        (
            {"authorized_at": NOW - timedelta(days=400)},
            f"Renewal was due on {day(NOW - timedelta(days=35))}",
            "Renew by",
        ),
    ],
)
def test_details_of_what_is_over_name_no_day_to_renew_by(
    organization: Organization,
    browser: Client,
    facts: dict[str, Any],
    told: str,
    untold: str,
) -> None:
    connection = factories.make_connection(organization)
    SpApiGrant.objects.for_organization(organization).update(**facts)

    text = details(browser, connection)

    assert told in text
    assert untold not in text


def test_details_of_a_disconnected_ads_side_name_no_day_to_renew_by(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    link = factories.put_to_use(factories.make_ads_grant(organization), connection)
    assert details(browser, connection).count("Renew by") == 2

    PpcLink.objects.for_organization(organization).filter(pk=link.pk).update(status="unlinked")

    assert details(browser, connection).count("Renew by") == 1


@pytest.mark.parametrize(("hours", "words"), [(20, ""), (24, ": 1 day"), (80, ": 3 days")], ids=str)
def test_details_count_the_days_of_a_gap(
    organization: Organization, browser: Client, hours: int, words: str
) -> None:
    connection = factories.make_connection(organization)
    began, ended = NOW - timedelta(hours=hours), NOW
    SpApiGrant.objects.for_organization(organization).update(
        gap_started_at=began, gap_ended_at=ended
    )

    told = f"No access from {moment(began)} to {moment(ended)}{words} Amazon"

    assert told in details(browser, connection)


def test_how_far_the_data_is_ends_with_one_period(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization)
    through = datetime(2026, 11, 20, 8, tzinfo=UTC)
    DataSetReport.objects.for_organization(organization).create(
        connection=connection,
        data_set="orders",
        percent=50,
        data_through=through,
        reported_at=through,
    )

    text = details(browser, connection)

    assert "50% imported, complete up to Nov. 20, 2026, 8:00 AM. " in text


@pytest.mark.parametrize("outcome", sorted(SUCCESSES))
def test_every_trip_that_brought_a_consent_reads_as_completed(
    organization: Organization, browser: Client, outcome: str
) -> None:
    connection = factories.make_connection(organization)
    record_event("authorization_ended", actor=WORKER, subject=connection, outcome=outcome)

    text = story(browser, connection)

    assert "A trip to Amazon was completed" in text
    assert "ended without a consent" not in text


@pytest.mark.parametrize("outcome", sorted(TOLD_TO_OTHERS))
def test_what_somebody_else_did_at_amazon_is_not_told_as_the_readers(
    organization: Organization, browser: Client, outcome: str
) -> None:
    connection = factories.make_connection(organization)
    record_event("authorization_ended", actor=WORKER, subject=connection, outcome=outcome)

    text = story(browser, connection)

    assert str(TOLD_TO_OTHERS[outcome]) in text
    assert str(OUTCOMES[outcome].title) not in text


def test_a_fresh_consent_says_what_there_is_not_yet(
    organization: Organization, browser: Client
) -> None:
    text = details(browser, factories.make_connection(organization))

    assert "Last verified not yet" in text
    assert "Last failure none since the consent was given" in text
    assert "No access" not in text


def test_a_failure_that_is_over_says_so(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    SpApiGrant.objects.for_organization(organization).update(last_failure_at=NOW)

    assert f"Last failure {moment(NOW)}, over since then" in details(browser, connection)


@pytest.mark.parametrize("status", [Grant.Status.INVALID, Grant.Status.DOUBTED])
def test_a_failure_of_a_consent_that_is_refused_is_not_over(
    organization: Organization, browser: Client, status: str
) -> None:
    connection = factories.make_connection(organization)
    SpApiGrant.objects.for_organization(organization).update(
        status=status, last_error_code="invalid_grant", last_failure_at=NOW
    )

    text = details(browser, connection)

    assert f"Last failure {moment(NOW)}" in text
    assert "over since then" not in text


def test_a_refusal_of_months_ago_is_not_one_of_a_moment_ago(
    organization: Organization, browser: Client
) -> None:
    connection, then = factories.make_connection(organization), NOW - timedelta(days=67)
    SpApiGrant.objects.for_organization(organization).update(
        status=Grant.Status.INVALID,
        authorized_at=NOW - timedelta(days=367),
        status_changed_at=then,
        last_failure_at=then,
        last_failure_code="grant_doubted",
    )

    text = details(browser, connection)

    assert f"Last failure {moment(then)}: Amazon refused your consent" in text
    assert "a moment ago" not in text
    assert "Renewal" not in text
    assert "Revoked" in text


def test_a_proved_seller_is_said_to_be_proved(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    Connection.objects.for_organization(organization).update(seller_proved_at=NOW)

    text = details(browser, connection)

    assert f"Amazon confirmed the Seller ID on {date_format(NOW)}." in text
    assert "no other call" not in text


@pytest.mark.parametrize(
    ("given", "renew_by"),
    [
        (ADS_YEAR_RULE_SINCE - timedelta(days=1), "no fixed end"),
        (ADS_YEAR_RULE_SINCE, day(ADS_YEAR_RULE_SINCE + timedelta(days=365))),
    ],
)
def test_an_ads_consent_tells_its_own_facts(
    organization: Organization, browser: Client, given: Any, renew_by: str
) -> None:
    connection = factories.make_connection(organization)
    grant = factories.make_ads_grant(
        organization, user=factories.make_member(organization, Role.ADMIN)
    )
    profile = factories.make_profile(grant, seller=connection.selling_partner_id or "")
    factories.make_link(factories.make_account(connection, US), profile)
    AdsGrant.objects.for_organization(organization).update(authorized_at=given)

    text = details(browser, connection)

    ads = text[text.index("PPC ") :]
    assert grant.authorized_by is not None
    assert f"Authorised by {grant.authorized_by.email}" in ads
    assert f"Renew by {renew_by}" in ads


@pytest.mark.parametrize(
    ("code", "details_of_it", "words"),
    [
        ("authorization_ended", {"outcome": "reconnected"}, "A trip to Amazon was completed"),
        ("authorization_ended", {"outcome": "denied"}, "A trip to Amazon ended without a consent"),
        ("spapi_grant_active", {"reason": "new_consent"}, "A new consent was given"),
        ("spapi_grant_active", {}, "The consent of Selling Partner is in order"),
        ("access_gap", {}, "Access came back after a gap"),
    ],
)
def test_a_story_says_how_it_ended(code: str, details_of_it: dict[str, Any], words: str) -> None:
    event = AuditEvent(code=code, details=details_of_it)

    assert timeline.sign_of(event).word == words


def test_what_passed_says_from_when_to_when() -> None:
    times = {"began_at": "2026-11-28T15:54:00+00:00", "ended_at": "2026-11-28T16:09:00+00:00"}
    event = AuditEvent(code="incident_passed", details=times)

    words = " ".join(timeline.note_of(event).split())

    assert words == "From Nov. 28, 2026, 3:54 PM to Nov. 28, 2026, 4:09 PM."
