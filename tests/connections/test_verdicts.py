"""What each kind of failure means for a job: who must act, and whether waiting helps."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import ANY

import pytest
from django.utils import timezone

from connections import verdicts
from connections.models import Connection, SpApiGrant
from connections.reasons import REASONS
from connections.verdicts import GrantDoubted, GrantMissing, GrantUnreadable, Verdict, verdict
from marketplaces import services as marketplace_services
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    CodeRejected,
    Denial,
    GrantInvalid,
    HeldBack,
    UnexpectedReply,
)
from sellerlegend.jobs import incidents, ledger
from sellerlegend.jobs.models import Incident, Job
from sellerlegend.organizations.audit import WORKER
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR

VERDICTS: list[tuple[AmazonError, Verdict]] = [
    (AmazonUnavailable(retry_after=7), Verdict("amazon_unavailable", waits=True, retry_after=7)),
    (
        AmazonUnavailable(retry_after=62.5, throttled=True),
        Verdict("amazon_throttled", waits=True, retry_after=62.5),
    ),
    (GrantDoubted(120), Verdict("grant_doubted", waits=True, retry_after=120)),
    (ClientMisconfigured(), Verdict("client_misconfigured", waits=True, retry_after=ANY)),
    (GrantMissing(), Verdict("grant_missing", waits=False)),
    (GrantInvalid(), Verdict("grant_invalid", waits=False)),
    (GrantUnreadable(), Verdict("vault_locked", waits=False)),
    (AccessDenied(), Verdict("permission_missing", waits=False)),
    (AccessDenied(detail=Denial.WRONG_REGION), Verdict("wrong_region", waits=False)),
    (UnexpectedReply(), Verdict("unexpected_reply", waits=False)),
    (AccessTokenRejected(), Verdict("unexpected_reply", waits=False)),
    (CodeRejected(), Verdict("unexpected_reply", waits=False)),
]


@pytest.mark.parametrize(
    ("error", "expected"),
    VERDICTS,
    ids=[f"{type(error).__name__} {found.reason}" for error, found in VERDICTS],
)
def test_each_failure_has_one_verdict_with_words(error: AmazonError, expected: Verdict) -> None:
    assert verdict(error, Job()) == expected
    assert expected.reason in REASONS


def test_only_our_own_fault_is_told_to_staff(caplog: pytest.LogCaptureFixture) -> None:
    for error, _ in VERDICTS:
        verdict(error, Job())

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["client_misconfigured", "consent_of_another_region"]


@pytest.mark.parametrize(("age", "longest"), [(0, 5), (60, 65), (86_400, 900)])
def test_patience_grows_with_the_age_of_the_job(age: int, longest: int) -> None:
    job = Job(created_at=timezone.now() - timedelta(seconds=age))

    waits = [verdicts.patience(job) for _ in range(300)]

    assert min(waits) >= 2
    assert longest / 2 < max(waits) <= longest + 1


@pytest.mark.parametrize(
    "error", [ClientMisconfigured(), verdicts.VaultKeyMissing(), verdicts.Quarantined()]
)
def test_what_staff_must_mend_is_not_tried_every_minute_for_ever(error: AmazonError) -> None:
    def waits(age: timedelta) -> list[float]:
        job = Job(created_at=timezone.now() - age)
        return [verdict(error, job).retry_after or 0.0 for _ in range(300)]

    first, late = waits(timedelta(0)), waits(timedelta(hours=1))

    assert 45 <= min(first) < 55 < 65 < max(first) <= 75
    assert 45 <= min(late) < 120 < 800 < max(late) <= 900


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "waits_longer"),
    [
        (HeldBack(retry_after=31.0), True),
        (AmazonUnavailable(retry_after=31.0), True),
        (HeldBack(retry_after=31.0, throttled=True), False),
    ],
)
def test_what_lasts_is_asked_ever_less_often(error: AmazonError, waits_longer: bool) -> None:
    """A breaker says half a minute each time; a plan that is spent says when there is room."""
    row = factories.make_connection(factories.make_organization())
    waits = []
    for _ in range(30):
        Job.objects.for_organization(row.organization_id).delete()
        job = ledger.enqueue(
            marketplace_services.READ, organization=row.organization_id, subject_id=row.pk
        )
        Job.objects.for_organization(row.organization_id).update(
            created_at=timezone.now() - timedelta(hours=1)
        )
        claim = ledger.claim(job.pk)
        assert claim is not None
        claim.job.refresh_from_db()
        verdicts.wait_or_reason(claim, error)
        claim.job.refresh_from_db()
        waits.append((claim.job.next_attempt_at - timezone.now()).total_seconds())

    assert min(waits) > 29
    assert (max(waits) > 60) == waits_longer


@pytest.mark.django_db
def test_a_locked_vault_needs_a_person_and_no_call(amazon: RunningEmulator) -> None:
    """The whole way of a job: nothing is retried, and the row says what to do."""
    connection = factories.make_connection(factories.make_organization())
    SpApiGrant._base_manager.filter(connection=connection).update(refresh_token="v1.x.y.z")
    marketplace_services.begin_reading(connection=connection)

    assert ledger.drain("interactive") == 1

    connection.refresh_from_db()
    job = Job.objects.for_organization(connection.organization).get()
    assert (connection.reading_error, job.status) == ("vault_locked", "done")
    assert len(amazon.ledger) == 0


@pytest.fixture
def unexplained(amazon: RunningEmulator) -> Connection:
    """A row in North America, whose calls Amazon refuses with what no page of its explains."""
    amazon.faults.add(
        surface="sellers",
        region="NA",
        status=400,
        body=b'{"errors": [{"code": "InvalidInput", "message": "Invalid Input"}]}',
    )
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def incident_at(surface: str, region: str) -> Incident:
    opened = incidents.open_one(
        surface=surface, region=region, cause=Incident.Cause.FAILING, actor=WORKER
    )
    assert opened is not None
    return opened


def read_of(row: Connection) -> Job:
    """After a try, whichever it was."""
    marketplace_services.begin_reading(connection=row)
    job: Job = Job.objects.for_organization(row.organization_id).get()
    ledger.run_here(job)
    row.refresh_from_db()
    job.refresh_from_db()
    return job


@pytest.mark.django_db
def test_what_nobody_explains_waits_for_the_end_of_the_incident(unexplained: Connection) -> None:
    """Its banner says that we try again by ourselves."""
    incident = incident_at("sellers", "NA")

    first = read_of(unexplained)

    assert (first.status, first.waiting_reason, first.attempts) == (
        "waiting",
        "amazon_unavailable",
        0,
    )
    assert unexplained.reading_error == ""
    waits = (first.next_attempt_at - timezone.now()).total_seconds()
    assert 0 < waits <= 5

    incidents.close(incident, actor=WORKER)
    ledger.hurry(first)
    last = read_of(unexplained)

    assert (last.pk, last.status) == (first.pk, "done")
    assert unexplained.reading_error == "unexpected_reply"


@pytest.mark.django_db
@pytest.mark.parametrize("part", [("sellers", "EU"), ("ads", "NA"), ("lwa", ""), None])
def test_an_incident_elsewhere_explains_nothing(
    unexplained: Connection, part: tuple[str, str] | None
) -> None:
    if part is not None:
        incident_at(*part)

    job = read_of(unexplained)

    assert (job.status, unexplained.reading_error) == ("done", "unexpected_reply")


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "longest"), [(0, 5), (3600, 900)])
def test_it_waits_as_patiently_as_for_an_outage(age: int, longest: int) -> None:
    error = UnexpectedReply()
    error.part = ("ads", "EU")
    incident_at("ads", "EU")
    job = Job(created_at=timezone.now() - timedelta(seconds=age))

    found = [verdict(error, job) for _ in range(300)]

    assert {(one.reason, one.waits) for one in found} == {("amazon_unavailable", True)}
    waits = [one.retry_after or 0.0 for one in found]
    assert min(waits) >= 2
    assert longest / 2 < max(waits) <= longest + 1
