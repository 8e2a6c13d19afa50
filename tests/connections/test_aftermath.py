"""What people are told an incident of Amazon's met: their consents that it met, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from connections import aftermath
from connections.models import AdsGrant, SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import CallWindow, Incident
from sellerlegend.organizations.audit import WORKER, record_event
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE, GERMANY = timedelta(minutes=1), "A1PA6795UKMFR9"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def incident(request: pytest.FixtureRequest, clock: time_machine.Traveller) -> Incident:
    """Of the Selling Partner API in North America without an answer, or as the test says."""
    facts: dict[str, Any] = {"surface": "sellers", "region": "NA", "cause": "failing"}
    facts |= getattr(request, "param", {})
    opened = incidents.open_one(**facts, actor=WORKER)
    assert opened is not None
    return opened


def sellers_of(organization: Organization, number: int) -> list[SpApiGrant]:
    rows = (factories.make_connection(organization) for _ in range(number))
    return [factories.grant_of(row) for row in rows]


def note(grant: AnyGrant, code: str, *, at: datetime = START) -> None:
    """Its last failure, or with no code one that a success came after."""
    type(grant)._base_manager.filter(pk=grant.pk).update(last_failure_at=at, last_failure_code=code)


def count(incident: Incident, organization: Organization, *, at: datetime = START) -> None:
    """A call of this part that failed for them."""
    CallWindow.objects.create(
        surface=incident.surface,
        region=incident.region,
        organization_id=organization.pk,
        minute=at,
        calls=1,
        failures=1,
    )


def doubt(grant: AnyGrant, reason: str) -> None:
    """Doubted as an event says, and asked in vain since."""
    model = type(grant)
    model._base_manager.filter(pk=grant.pk).update(status="doubted")
    record_event(f"{model.EVENT_PREFIX}_doubted", actor=WORKER, subject=grant, reason=reason)
    note(grant, "grant_doubted", at=timezone.now())


def end(incident: Incident, organization: Organization) -> tuple[dict[str, Any], set[Any]]:
    """What its end tells: the numbers, and whose timeline has a line of it."""
    incidents.close(incident, actor=WORKER)
    told = aftermath.show(incident, [organization.pk], incidents.CLOSED)
    passed = AuditEvent.objects.for_organization(organization).filter(code="incident_passed")
    return told, set(passed.values_list("subject_id", flat=True))


@pytest.mark.parametrize(
    ("code", "is_met"),
    [
        ("amazon_unavailable", True),
        ("amazon_throttled", True),
        ("unexpected_reply", True),
        ("", True),
        ("permission_missing", False),
        ("wrong_region", False),
        ("grant_doubted", False),
    ],
)
def test_only_failures_of_amazons_count(
    incident: Incident, organization: Organization, code: str, is_met: bool
) -> None:
    (grant,) = sellers_of(organization, 1)
    note(grant, code)
    count(incident, organization)

    told, passed = end(incident, organization)

    assert (told["rows"], passed) == ((1, {grant.pk}) if is_met else (0, set()))


def test_one_call_that_failed_is_one_connection(
    clock: time_machine.Traveller, incident: Incident, organization: Organization
) -> None:
    """The others failed in minutes in which nothing of this part failed, or of another region."""
    met, earlier, later = sellers_of(organization, 3)
    elsewhere = factories.grant_of(factories.make_connection(organization, marketplace_id=GERMANY))
    count(incident, organization, at=START + MINUTE)
    note(met, "amazon_unavailable", at=START + 2 * MINUTE)
    note(earlier, "", at=START - 8 * MINUTE)
    note(later, "unexpected_reply", at=START + 5 * MINUTE)
    note(elsewhere, "amazon_unavailable", at=START + MINUTE)
    clock.shift(timedelta(minutes=10))

    told, passed = end(incident, organization)

    assert (told["rows"], passed) == (1, {met.pk})


@pytest.mark.usefixtures("clock")
def test_the_failures_that_opened_it_count(incident: Incident, organization: Organization) -> None:
    (grant,) = sellers_of(organization, 1)
    count(incident, organization, at=START - 4 * MINUTE)
    note(grant, "amazon_unavailable", at=START - 4 * MINUTE)

    _told, passed = end(incident, organization)

    assert passed == {grant.pk}


def test_minutes_that_are_no_longer_known_count_as_before(
    clock: time_machine.Traveller, incident: Incident, organization: Organization
) -> None:
    (grant,) = sellers_of(organization, 1)
    note(grant, "amazon_unavailable")
    clock.shift(incidents.WINDOWS_KEPT + MINUTE)

    _told, passed = end(incident, organization)

    assert passed == {grant.pk}


@pytest.mark.parametrize(
    ("incident", "reason", "is_met"),
    [
        ({"surface": "lwa", "region": "", "cause": "refusing"}, "invalid_grant", True),
        ({"surface": "lwa", "region": "", "cause": "refusing"}, "access_token_rejected", False),
        ({"surface": "lwa", "region": "", "cause": "failing"}, "invalid_grant", False),
        ({"cause": "refusing"}, "access_token_rejected", True),
        ({"cause": "refusing"}, "invalid_grant", False),
        ({"cause": "throttled"}, "access_token_rejected", False),
    ],
    indirect=["incident"],
)
def test_a_consent_that_was_refused_was_met_by_refusals_of_that_part_alone(
    incident: Incident, organization: Organization, reason: str, is_met: bool
) -> None:
    (grant,) = sellers_of(organization, 1)
    doubt(grant, reason)
    count(incident, organization)

    told, passed = end(incident, organization)

    assert (told["rows"], passed) == ((1, {grant.pk}) if is_met else (0, set()))


@pytest.mark.parametrize(
    "incident", [{"surface": "lwa", "region": "", "cause": "refusing"}], indirect=True
)
def test_of_refusals_those_that_were_meant_are_not_told_that_they_passed(
    incident: Incident, organization: Organization
) -> None:
    revoked, other = sellers_of(organization, 2)
    ads = factories.make_ads_grant(organization)
    for grant in (revoked, other, ads):
        doubt(grant, "invalid_grant")
    SpApiGrant._base_manager.filter(pk=revoked.pk).update(status="invalid")
    count(incident, organization)

    told, passed = end(incident, organization)

    assert (told["rows"], told["ads_consents"], told["doubted"]) == (1, 1, 2)
    assert passed == {other.pk, ads.pk}


@pytest.mark.parametrize("incident", [{"surface": "ads"}], indirect=True)
def test_an_ads_consent_is_met_where_its_own_region_failed(
    incident: Incident, organization: Organization
) -> None:
    """A consent names no region: the minutes of its organization's calls do."""
    here, elsewhere = organization, factories.make_organization()
    for owner in (here, elsewhere):
        note(factories.make_ads_grant(owner), "amazon_unavailable")
    sellers_of(here, 1)
    count(incident, here)

    told, passed = end(incident, here)
    aftermath.show(incident, [elsewhere.pk], incidents.CLOSED)

    assert told["ads_consents"] == 1
    assert passed == set(AdsGrant.objects.for_organization(here).values_list("pk", flat=True))
    events = AuditEvent.objects.for_organization(elsewhere)
    assert not events.filter(code="incident_passed").exists()
