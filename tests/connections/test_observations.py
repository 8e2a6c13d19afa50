"""What calls with a consent leave on its grant, and what they must not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections import credentials, observations, timeline
from connections.models import Connection, SpApiGrant
from connections.verdicts import GrantDoubted
from marketplaces import services as marketplace_services
from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    Denial,
    GrantInvalid,
    HeldBack,
    UnexpectedReply,
)
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import consent, grant_of

pytestmark = pytest.mark.django_db

SELLER = "A1NORTHSTAR001"
LONG_AGO = timedelta(hours=30)


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    token = amazon.world.authorize(SELLER, "NA")
    return factories.make_connection(
        factories.make_organization(), seller=SELLER, refresh_token=token
    )


def set_facts(row: Connection, **facts: object) -> None:
    SpApiGrant.objects.for_organization(row.organization_id).update(**facts)


def revision_of(row: Connection) -> int:
    return Organization.objects.get(pk=row.organization_id).revision


def test_a_new_consent_begins_with_a_success(row: Connection) -> None:
    grant = grant_of(row)

    assert grant.last_success_at is not None
    assert (grant.last_failure_at, grant.verified_at, grant.verify_due_at) == (None, None, None)


def test_a_call_that_succeeds_ends_what_was_noted_and_shows_it(row: Connection) -> None:
    set_facts(
        row,
        last_success_at=timezone.now() - LONG_AGO,
        last_failure_code="amazon_throttled",
        throttled_since=timezone.now() - LONG_AGO,
    )
    before = revision_of(row)

    marketplace_services.fetch_participations(row)

    grant = grant_of(row)
    assert grant.last_success_at is not None
    assert timezone.now() - grant.last_success_at < timedelta(minutes=1)
    assert (grant.last_failure_code, grant.throttled_since) == ("", None)
    assert revision_of(row) == before + 1


def test_a_success_soon_after_another_writes_nothing(row: Connection) -> None:
    first = grant_of(row).last_success_at
    before = revision_of(row)

    marketplace_services.fetch_participations(row)

    assert grant_of(row).last_success_at == first
    assert revision_of(row) == before


def test_a_live_token_alone_is_no_success(row: Connection) -> None:
    set_facts(row, last_success_at=timezone.now() - LONG_AGO)

    credentials.prove(row)

    noted = grant_of(row).last_success_at
    assert noted is not None
    assert timezone.now() - noted > timedelta(hours=29)


@pytest.mark.parametrize(
    ("error", "code", "marked"),
    [
        (AmazonUnavailable(throttled=True), "amazon_throttled", "throttled_since"),
        (AmazonUnavailable(), "amazon_unavailable", ""),
        (
            AccessDenied(detail=Denial.MISSING_ROLE),
            "permission_missing",
            "permission_missing_since",
        ),
        (AccessDenied(detail=Denial.WRONG_REGION), "wrong_region", ""),
        (UnexpectedReply(), "unexpected_reply", ""),
    ],
)
def test_a_failure_of_amazons_is_noted(
    row: Connection, error: AmazonError, code: str, marked: str
) -> None:
    observations.note_failure(grant_of(row), error)

    grant = grant_of(row)
    assert grant.last_failure_code == code
    assert grant.last_failure_at is not None
    marks = {
        name for name in ("throttled_since", "permission_missing_since") if getattr(grant, name)
    }
    assert marks == ({marked} if marked else set())
    assert grant.status == "active"


def told_of(row: Connection) -> list[tuple[str, str]]:
    events = AuditEvent.objects.for_organization(row.organization_id).order_by("pk")
    found = events.filter(connection_id=row.pk, code__startswith="amazon_")
    return [(event.code, event.details["reason"]) for event in found]


def test_the_timeline_says_when_amazon_stops_answering_and_when_it_answers_again(
    row: Connection,
) -> None:
    early, late = grant_of(row), grant_of(row)

    observations.note_failure(early, AmazonUnavailable())
    observations.note_failure(late, AmazonUnavailable())
    observations.note_failure(grant_of(row), AmazonUnavailable(throttled=True))
    assert told_of(row) == [("amazon_failing", "amazon_unavailable")]

    early, late = grant_of(row), grant_of(row)
    observations.note_success(early)
    observations.note_success(late)

    assert told_of(row) == [("amazon_failing", "amazon_unavailable"), ("amazon_answers", "")]
    page = timeline.timeline_context(row, "1", {})
    newest, *_, first = [
        line for day in page["days"] for line in day.lines if "Amazon" in line.sign.word
    ]
    assert (newest.sign.word, newest.note) == ("Amazon answers again", "")
    assert (first.sign.word, first.note) == (
        "Amazon did not answer as it should",
        "Amazon does not answer at the moment",
    )


@pytest.mark.parametrize(
    "error", [AccessDenied(detail=Denial.MISSING_ROLE), AccessDenied(detail=Denial.WRONG_REGION)]
)
def test_a_denial_is_an_answer(row: Connection, error: AmazonError) -> None:
    observations.note_failure(grant_of(row), error)
    observations.note_success(grant_of(row))

    assert told_of(row) == []


@pytest.mark.parametrize("error", [HeldBack(throttled=True), ClientMisconfigured(), GrantInvalid()])
def test_our_own_pace_and_faults_and_refusals_are_no_such_failure(
    row: Connection, error: AmazonError
) -> None:
    before = grant_of(row)

    observations.note_failure(grant_of(row), error)

    assert vars(grant_of(row))["last_failure_at"] is None
    assert grant_of(row).last_failure_code == before.last_failure_code


def test_what_an_older_consent_met_says_nothing_of_a_newer_one(row: Connection) -> None:
    old = grant_of(row)
    consent(row, refresh_token="Atzr|newer")

    observations.note_failure(old, AmazonUnavailable(throttled=True))

    assert grant_of(row).throttled_since is None
    assert grant_of(row).last_failure_at is None


def test_a_refusal_is_the_last_failure(row: Connection, amazon: RunningEmulator) -> None:
    amazon.world.revoke(SELLER)

    with pytest.raises(GrantDoubted):
        marketplace_services.fetch_participations(row, force_refresh=True)

    grant = grant_of(row)
    assert grant.status == "doubted"
    assert (grant.last_failure_code, grant.last_failure_at) == (
        "grant_doubted",
        grant.last_refused_at,
    )


def test_throttling_is_over_when_something_else_fails(row: Connection) -> None:
    set_facts(row, throttled_since=timezone.now() - LONG_AGO)

    observations.note_failure(grant_of(row), AmazonUnavailable())

    assert grant_of(row).throttled_since is None
