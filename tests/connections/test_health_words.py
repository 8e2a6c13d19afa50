"""Each state of health on the screen: a word, since when, and one next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from django.utils.formats import date_format

from connections import list_queries, screen, words
from connections.health import Health
from connections.health_reasons import HEALTH
from connections.health_words import SIGNS
from connections.models import ADS_YEAR_RULE_SINCE, AdsGrant, Connection, SpApiGrant
from connections.reader import Reader
from connections.reasons import REASONS
from connections.rows import ConnectionRow
from ppc import disconnecting
from ppc.disconnecting import Side
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations import audit
from sellerlegend.organizations.models import Organization
from tests import factories
from tests.factories import CANADA, US

pytestmark = pytest.mark.django_db

ADMIN = Reader("acme", "en", "UTC", "administer", "2026-11-23")
VIEWER = Reader("acme", "en", "UTC", "read", "2026-11-23")
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def clock_of_the_module() -> Iterator[None]:
    """The words are computed from NOW, which a long run leaves behind."""
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


def shown(connection: Connection, reader: Reader = ADMIN) -> ConnectionRow:
    facts = list_queries.some_facts(connection.organization_id, [connection.pk])
    return screen.compose_rows(facts, reader=reader)[0]


def with_facts(organization: Organization, **facts: Any) -> Connection:
    connection = factories.make_connection(organization)
    grants = SpApiGrant.objects.for_organization(organization)
    grants.filter(connection=connection).update(**facts)
    return connection


def with_ads(organization: Organization, *all_facts: dict[str, Any]) -> Connection:
    """A row that is fed by one Ads consent for each of the given facts."""
    connection = factories.make_connection(organization)
    for place, facts in zip((US, CANADA), all_facts, strict=False):
        grant = factories.make_ads_grant(organization)
        profile = factories.make_profile(
            grant, seller=connection.selling_partner_id or "", marketplace_id=place
        )
        factories.make_link(factories.make_account(connection, place), profile)
        grants = AdsGrant.objects.for_organization(organization)
        grants.filter(pk=grant.pk).update(**facts)
    return connection


def day_of(moment: Any) -> str:
    return date_format(timezone.localtime(moment), "DATE_FORMAT")


def time_of(moment: Any) -> str:
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")


NOW = timezone.now()
TROUBLES: list[tuple[dict[str, Any], str, str, str, str]] = [
    (
        {"authorized_at": NOW - 326 * DAY},
        "Expiring",
        f"ends in 39 days, on {day_of(NOW + 39 * DAY)}",
        "The consent ends soon",
        "Reconnect",
    ),
    (
        {"authorized_at": NOW - 367 * DAY, "last_success_at": NOW - 3 * DAY},
        "Renewal overdue",
        f"since {day_of(NOW - 2 * DAY)}",
        "The year of the consent is over",
        "Reconnect",
    ),
    (
        {"authorized_at": NOW - 367 * DAY, "last_success_at": NOW - timedelta(hours=2)},
        "Renewal overdue",
        f"since {day_of(NOW - 2 * DAY)}",
        "The year of the consent is over, but Amazon still answers",
        "Reconnect",
    ),
    (
        {"status": "doubted", "first_refused_at": NOW},
        "Refused, checking again",
        f"since {time_of(NOW)}",
        "Amazon refused your consent, and we ask again",
        "",
    ),
    (
        {"status": "invalid", "status_changed_at": NOW - 3 * DAY},
        "Revoked",
        f"since {day_of(NOW - 3 * DAY)}",
        "Amazon no longer accepts your consent",
        "Reconnect",
    ),
    (
        {"permission_missing_since": NOW - DAY},
        "Permission missing",
        f"since {day_of(NOW - DAY)}",
        "A permission is missing",
        "Reconnect",
    ),
    (
        {"throttled_since": NOW},
        "Throttled",
        f"since {time_of(NOW)}",
        "Amazon asks us to slow down",
        "",
    ),
    (
        {"last_success_at": NOW - 2 * DAY},
        "Stale",
        f"last answer from Amazon on {time_of(NOW - 2 * DAY)}",
        "No answer from Amazon for more than a day",
        "Check now",
    ),
    (
        {"last_success_at": None},
        "Stale",
        "no answer from Amazon yet",
        "No answer from Amazon yet",
        "Check now",
    ),
    (
        {"status": "disconnected", "refresh_token": "", "status_changed_at": NOW - DAY},
        "Disconnected",
        f"since {day_of(NOW - DAY)}",
        "Disconnected",
        "Reconnect",
    ),
]


@pytest.mark.parametrize(
    "facts",
    [
        {"last_success_at": NOW - 2 * DAY},
        {"status": "doubted", "first_refused_at": NOW},
        {"throttled_since": NOW, "last_failure_at": NOW, "last_failure_code": "amazon_throttled"},
    ],
)
def test_of_a_consent_that_ends_tomorrow_only_what_is_so_is_said(
    organization: Organization, facts: dict[str, Any]
) -> None:
    """Whatever else is wrong: the one next step is a person's, and nothing is called green."""
    connection = with_facts(organization, authorized_at=NOW - 364 * DAY, **facts)
    factories.make_account(connection, US, onboarding="onboarded")

    row = shown(connection)

    assert row.spapi_health.needs_a_person
    assert row.spapi_health.since == f"ends in 1 day, on {day_of(NOW + DAY)}"
    assert "Data flows" not in row.trouble_text
    assert "Reconnect now" in row.trouble_text
    assert [found.label for found in row.trouble_buttons] == ["Reconnect"]
    assert row.spapi.sign is not None
    tones = [row.spapi.sign.tone, *(line.sign.tone for line in row.spapi.lines)]
    assert tones == ["neutral", "neutral"]


def test_what_was_lost_within_its_year_is_told_so_after_it(organization: Organization) -> None:
    row = shown(
        with_facts(
            organization,
            status="invalid",
            authorized_at=NOW - 400 * DAY,
            status_changed_at=NOW - 40 * DAY,
        )
    )

    assert row.spapi_health.sign.word == "Revoked"
    assert row.spapi_health.since == f"since {day_of(NOW - 40 * DAY)}"
    assert (row.consent_ends, row.consent_sign) == ("", None)


@pytest.mark.parametrize(
    ("facts", "tone"),
    [
        ({}, "success"),
        ({"authorized_at": NOW - 330 * DAY}, "success"),
        ({"status": "invalid"}, "neutral"),
        ({"authorized_at": NOW - 366 * DAY}, "neutral"),
        ({"status": "disconnected", "refresh_token": ""}, "neutral"),
        ({"status": "doubted"}, "neutral"),
        ({"last_success_at": NOW - 2 * DAY}, "neutral"),
    ],
)
def test_what_was_started_is_green_only_while_the_consent_works(
    organization: Organization, facts: dict[str, Any], tone: str
) -> None:
    connection = with_facts(organization, **facts)
    factories.make_account(connection, US, onboarding="onboarded")

    row = shown(connection)

    assert row.spapi.sign is not None
    assert row.spapi.sign.word == ("Started" if "refresh_token" not in facts else "Disconnected")
    assert row.spapi.sign.tone == tone
    assert [(line.sign.word, line.sign.tone) for line in row.spapi.lines] == [("Onboarded", tone)]


@pytest.mark.parametrize(("facts", "word", "since", "title", "button"), TROUBLES)
def test_selling_partner_says_what_is_wrong_since_when_and_the_one_next_step(
    organization: Organization,
    facts: dict[str, Any],
    word: str,
    since: str,
    title: str,
    button: str,
) -> None:
    row = shown(with_facts(organization, **facts))

    assert (row.spapi_health.sign.word, row.spapi_health.since) == (word, since)
    assert row.trouble is not None
    assert str(row.trouble.title) == title
    assert [found.label for found in row.trouble_buttons] == ([button] if button else [])


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"status": "doubted"}, id="refused since"),
        pytest.param({"status": "invalid"}, id="refused for good"),
        pytest.param({"last_success_at": None}, id="never answered"),
        pytest.param({"last_success_at": NOW - 37 * timedelta(hours=1)}, id="silent since"),
    ],
)
def test_a_consent_without_an_answer_after_its_year_is_overdue_too(
    organization: Organization, facts: dict[str, Any]
) -> None:
    over = {"authorized_at": NOW - 400 * DAY, "last_success_at": NOW}

    row = shown(with_facts(organization, **(over | facts)))

    assert row.spapi_health.sign.word == "Renewal overdue"
    assert row.spapi_health.reason is not None
    assert row.spapi_health.reason.title == HEALTH["health_expired"].title
    assert row.consent_ends == f"Renewal was due on {day_of(NOW - 35 * DAY)}"
    assert row.consent_sign == row.spapi_health.sign


def test_nobody_says_that_data_stopped_before_amazon_was_asked_again(
    organization: Organization,
) -> None:
    just_over = {"authorized_at": NOW - 365 * DAY - timedelta(minutes=1)}
    silent = with_facts(organization, **just_over, last_success_at=NOW - timedelta(hours=9))
    failing = with_facts(
        organization,
        **just_over,
        last_success_at=NOW - timedelta(hours=9),
        last_failure_code="amazon_unavailable",
    )

    row = shown(silent)
    assert row.spapi_health.sign.word == "Renewal overdue"
    assert row.trouble_text == (
        "Data arrived until then. We have not asked Amazon since, and it may refuse the consent at "
        "any moment. Reconnect now: it takes a minute."
    )
    assert [found.label for found in row.trouble_buttons] == ["Reconnect"]
    assert shown(failing).spapi_health.reason == HEALTH["health_expired"]


def test_an_overdue_consent_says_so_beside_its_date_too(organization: Organization) -> None:
    row = shown(with_facts(organization, authorized_at=NOW - 367 * DAY, last_success_at=NOW))

    assert row.consent_ends == f"Renewal was due on {day_of(NOW - 2 * DAY)}"
    assert row.consent_sign == row.spapi_health.sign
    assert row.trouble_text == (
        "Data arrives for now, and Amazon may refuse the consent at any moment. "
        "Reconnect now: it takes a minute, and nothing is interrupted."
    )


@pytest.mark.parametrize(
    ("answered", "reason"),
    [(None, "health_ads_unanswered"), (NOW - 2 * DAY, "health_ads_stale")],
)
def test_an_ads_consent_that_never_answered_is_not_told_to_be_silent_for_a_day(
    organization: Organization, answered: datetime | None, reason: str
) -> None:
    row = shown(
        with_ads(organization, {"last_success_at": answered, "authorized_at": NOW - 3 * DAY})
    )
    assert row.ppc_health is not None
    assert row.ppc_health.reason == HEALTH[reason]
    assert row.ppc_health.button is not None
    assert str(row.ppc_health.button.label) == "Check now"


@pytest.mark.parametrize(
    ("answered_ago", "reason"),
    [
        (timedelta(0), "health_ads_overdue"),
        (timedelta(hours=30), "health_ads_just_over"),
        (timedelta(hours=37), "health_ads_expired"),
    ],
)
def test_an_overdue_ads_consent_is_told_as_such(
    organization: Organization, answered_ago: timedelta, reason: str
) -> None:
    given_at = ADS_YEAR_RULE_SINCE + DAY
    with time_machine.travel(given_at + 366 * DAY):
        answered = {"authorized_at": given_at, "last_success_at": timezone.now() - answered_ago}
        row = shown(with_ads(organization, answered))

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Renewal overdue"
    assert row.ppc_health.reason == HEALTH[reason]
    assert [button.label for button in row.ppc_health.buttons] == ["Connect Amazon Ads again"]


def test_a_healthy_side_says_since_when_and_nothing_else(organization: Organization) -> None:
    row = shown(with_facts(organization, status_changed_at=NOW - 9 * DAY))

    assert row.spapi_health.sign.word == "Connected"
    assert row.spapi_health.since == f"since {day_of(NOW - 9 * DAY)}"
    assert row.trouble is None
    assert not row.asks_for_you


def test_the_last_day_of_a_consent_is_told_without_a_number(organization: Organization) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    connection = with_facts(organization, authorized_at=noon - 365 * DAY + timedelta(hours=3))

    with time_machine.travel(noon):
        row = shown(connection)

    assert row.spapi_health.sign.word == "Expiring"
    assert row.spapi_health.since == "ends today, Nov. 20, 2026"
    assert row.consent_ends == "Consent ends today, Nov. 20, 2026"


def test_one_day_is_one_day(organization: Organization) -> None:
    row = shown(with_facts(organization, authorized_at=timezone.now() - 364 * DAY))

    assert row.spapi_health.since == f"ends in 1 day, on {day_of(timezone.now() + DAY)}"


@pytest.mark.parametrize("days", [10, 306, 364, 366])
def test_the_sign_beside_the_date_agrees_with_health(organization: Organization, days: int) -> None:
    row = shown(with_facts(organization, authorized_at=timezone.now() - days * DAY))

    beside = row.consent_sign.word if row.consent_sign else "Connected"
    assert beside == row.spapi_health.sign.word


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({}, "in Seller Central."),
        (
            {"imported_at": NOW, "is_consent_dated": False},
            "in Seller Central, or a year has passed since it was given.",
        ),
    ],
)
def test_the_year_is_a_cause_only_where_nobody_knows_it(
    organization: Organization, facts: dict[str, Any], cause: str
) -> None:
    row = shown(with_facts(organization, status="invalid", status_changed_at=NOW, **facts))

    assert row.spapi_health.reason is not None
    assert row.spapi_health.reason.meaning == (
        f"Amazon refuses it: it was revoked {cause} No new data arrives; what is here is kept."
    )


def test_a_revoked_consent_names_no_end(organization: Organization) -> None:
    row = shown(with_facts(organization, status="invalid"))

    assert (row.consent_ends, row.consent_sign) == ("", None)


def test_a_new_role_is_told_by_the_consent_that_lacks_it(organization: Organization) -> None:
    connection = with_facts(organization, authorized_at=NOW - 30 * DAY)
    ApplicationRole.objects.create(
        application=LwaApplication.SPAPI, name="Brand Analytics", added_at=NOW - DAY
    )

    row = shown(connection)

    assert row.spapi_health.sign.word == "Permission missing"
    assert row.spapi_health.since == f"not part of the consent of {day_of(NOW - 30 * DAY)}"


def test_an_incident_is_amazons_and_asks_nobody_for_anything(organization: Organization) -> None:
    connection = with_facts(
        organization,
        last_success_at=NOW - timedelta(hours=1),
        last_failure_at=NOW,
        last_failure_code="amazon_unavailable",
    )
    Incident.objects.create(surface="lwa")

    row = shown(connection)

    assert row.spapi_health.sign.word == "Amazon incident"
    assert row.trouble_tone == "info"
    assert row.trouble_buttons == ()
    assert not row.asks_for_you


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("reconnect_required", "Our support asks for a new consent"),
        ("vault_locked", "The stored consent cannot be read"),
    ],
)
def test_what_we_stopped_ourselves_is_not_called_revoked(
    organization: Organization, code: str, title: str
) -> None:
    row = shown(with_facts(organization, status="invalid", last_error_code=code))

    assert row.spapi_health.sign.word == "New consent needed"
    assert row.trouble is not None
    assert str(row.trouble.title) == title


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({"status": "invalid"}, "Amazon no longer accepts your consent"),
        ({"permission_missing_since": NOW}, "A permission is missing"),
        ({"throttled_since": NOW}, "Amazon answered in a way we do not understand"),
        ({}, "Amazon answered in a way we do not understand"),
    ],
)
def test_a_row_has_one_notice_and_the_consent_leads(
    organization: Organization, facts: dict[str, Any], title: str
) -> None:
    connection = (
        with_facts(organization, **facts) if facts else with_facts(organization, refusals=0)
    )
    rows = Connection.objects.for_organization(organization)
    rows.update(reading_error="unexpected_reply")

    row = shown(connection)

    assert row.trouble is not None
    assert str(row.trouble.title) == title
    assert len(row.trouble_buttons) == 1


def test_a_viewer_reads_the_next_step_and_gets_no_button(organization: Organization) -> None:
    connection = with_facts(organization, status="invalid")
    row, others = shown(connection, VIEWER), shown(connection)

    assert row.trouble is not None
    assert row.trouble_buttons == ()
    whose = " Ask a member of your organization to do it."
    assert row.trouble_text == others.trouble_text + whose


def test_a_viewer_is_asked_for_nothing_where_nothing_is_to_do(organization: Organization) -> None:
    connection = with_facts(organization, throttled_since=NOW)

    row, others = shown(connection, VIEWER), shown(connection)

    assert row.trouble_text == others.trouble_text != ""


# PPC ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "word", "button"),
    [
        ({}, "Connected", ""),
        ({"authorized_at": NOW - 350 * DAY}, "Connected", ""),
        ({"status": "invalid"}, "Revoked", "Connect Amazon Ads again"),
        ({"status": "doubted"}, "Refused, checking again", ""),
        ({"permission_missing_since": NOW}, "Permission missing", "Connect Amazon Ads again"),
        ({"throttled_since": NOW}, "Throttled", ""),
        ({"last_success_at": None}, "Stale", "Check now"),
    ],
)
def test_ppc_says_how_its_consent_is(
    organization: Organization, facts: dict[str, Any], word: str, button: str
) -> None:
    connection = with_ads(organization, {"authorized_at": ADS_YEAR_RULE_SINCE - DAY} | facts)

    row = shown(connection)

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == word
    assert [found.label for found in row.ppc_health.buttons] == ([button] if button else [])
    assert (row.ppc_health.reason is None) == (word == "Connected")
    # No green word stands under another one.
    below = "Connected" if word == "Connected" else "Linked"
    assert row.ppc.sign is not None
    assert [row.ppc.sign.word, *(line.sign.word for line in row.ppc.lines)] == [below, below]


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("reconnect_required", "Our support asks for a new Amazon Ads consent"),
        ("vault_locked", "The stored Amazon Ads consent cannot be read"),
    ],
)
def test_an_ads_consent_that_we_stopped_ourselves_is_not_called_revoked(
    organization: Organization, code: str, title: str
) -> None:
    row = shown(with_ads(organization, {"status": "invalid", "last_error_code": code}))

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "New consent needed"
    assert row.ppc_health.reason is not None
    assert str(row.ppc_health.reason.title) == title
    assert [found.label for found in row.ppc_health.buttons] == ["Connect Amazon Ads again"]


def test_the_worst_consent_speaks_for_ppc_and_leaves_one_button(
    organization: Organization,
) -> None:
    connection = with_ads(
        organization, {}, {"status": "invalid", "status_changed_at": NOW - 4 * DAY}
    )

    row = shown(connection)

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Revoked"
    assert row.ppc_health.since == f"since {day_of(NOW - 4 * DAY)}"
    assert row.ppc.button is None
    assert row.spapi_health.sign.word == "Connected"
    assert row.asks_for_you


def test_ppc_waits_for_a_consent_where_there_is_something_to_link(
    organization: Organization,
) -> None:
    connection = factories.make_connection(organization)
    assert shown(connection).ppc_health is None
    factories.make_account(connection, US)

    row = shown(connection)

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Waiting for consent"
    assert row.ppc_health.reason is None
    assert row.ppc.button is not None


def test_a_link_that_a_person_ended_is_disconnected_however_its_consent_is(
    organization: Organization,
) -> None:
    connection = factories.make_connection(organization)
    grant = factories.make_ads_grant(organization)
    profile = factories.make_profile(grant, seller=connection.selling_partner_id or "")
    factories.make_link(factories.make_account(connection, US), profile, status="unlinked")
    AdsGrant.objects.for_organization(organization).update(status="invalid")

    row = shown(connection)

    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Disconnected"
    assert not row.asks_for_you


# Disconnected ------------------------------------------------------------------------------


def test_a_row_without_selling_partner_offers_reconnect_and_no_continue(
    organization: Organization,
) -> None:
    """PPC lives on; what is not linked waits until the row is had back."""
    connection = with_ads(organization, {})
    factories.make_account(connection, CANADA)
    assert button_labels(shown(connection)) == ["Continue", "Continue"]
    disconnecting.disconnect(
        connection=connection, sides=frozenset({Side.SPAPI}), actor=audit.COMMAND
    )

    row = shown(connection)

    assert button_labels(row) == ["Reconnect"]
    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Connected"
    assert row.ppc.sign is None
    assert [button.label for button in row.menu if button.is_dangerous] == ["Disconnect", "Remove"]


def test_a_row_with_both_sides_disconnected_has_one_next_step(organization: Organization) -> None:
    connection = with_ads(organization, {})
    disconnecting.disconnect(connection=connection, sides=frozenset(Side), actor=audit.COMMAND)

    row = shown(connection)

    assert button_labels(row) == ["Reconnect"]
    assert row.ppc_health is not None
    assert row.ppc_health.sign.word == "Disconnected"
    assert row.ppc.sign is None
    assert [button.label for button in row.menu if button.is_dangerous] == ["Remove"]


def test_a_living_ads_consent_keeps_its_own_next_step(organization: Organization) -> None:
    connection = with_ads(organization, {"status": "invalid"})
    disconnecting.disconnect(
        connection=connection, sides=frozenset({Side.SPAPI}), actor=audit.COMMAND
    )

    assert button_labels(shown(connection)) == ["Reconnect", "Connect Amazon Ads again"]


def button_labels(row: ConnectionRow) -> list[str]:
    """The next steps that a row offers, in the order of its cells."""
    cells = [cell.button.label for cell in (row.spapi, row.ppc) if cell.button]
    ppc = row.ppc_health.buttons if row.ppc_health else ()
    return [*(button.label for button in (*row.trouble_buttons, *ppc)), *cells]


# Moments in sentences ------------------------------------------------------------------------


@pytest.mark.parametrize("hour", [0, 8, 12, 20])
@pytest.mark.parametrize("minute", [0, 42])
def test_no_moment_ends_with_a_period(hour: int, minute: int) -> None:
    """ "a.m." before the period of a sentence would be two."""
    moment = datetime(2026, 11, 20, hour, minute, tzinfo=UTC)

    assert re.fullmatch(r"Nov\. 20, 2026, \d+:\d\d [AP]M", words.exact_time(moment))
    assert re.fullmatch(r"\d+:\d\d [AP]M", words.clock_time(moment))


# Catalogue ---------------------------------------------------------------------------------


def test_every_state_has_a_word_and_an_icon_of_its_own() -> None:
    signs = {state: sign() for state, sign in SIGNS.items()}

    assert signs.keys() == set(Health)
    assert len({sign.word for sign in signs.values()}) == len(Health)
    assert all(sign.icon for sign in signs.values())


def test_a_doubt_has_one_next_step_wherever_it_is_told() -> None:
    told = (REASONS["grant_doubted"], HEALTH["health_doubted"], HEALTH["health_ads_doubted"])

    assert {str(reason.next_step) for reason in told} == {
        "Nothing to do: we ask again within a quarter of an hour."
    }
    assert {reason.action for reason in told} == {"none"}


def test_every_state_says_what_it_means_and_what_is_next() -> None:
    assert {f"health_{state}" for state in Health} <= HEALTH.keys()
    told_on_ppc = set(Health) - {Health.CONNECTED, Health.WAITING, Health.DISCONNECTED}
    assert {f"health_ads_{state}" for state in told_on_ppc} <= HEALTH.keys()
    for reason in HEALTH.values():
        assert str(reason.meaning).endswith(".")
        assert str(reason.next_step).endswith(".")
