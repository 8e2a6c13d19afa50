"""Amazon has a bad hour, over three hundred connections of five organizations: no consent changes,
everybody is told once that it began and once that it is over, and whoever revoked meanwhile is
found.

The clock is moved minute by minute; jobs and sweeps run in this process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core.cache import cache
from django.utils import timezone

from connections import health, token_cache
from connections.models import Connection, SpApiGrant
from marketplaces import services as marketplace_services
from sellerlegend.amazon import lwa
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import breakers, budgets, incident_watch, incidents, ledger
from sellerlegend.jobs.models import Incident, Job
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import grant_of

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(580)]

ORGANIZATIONS, ROWS_EACH = 5, 60


@dataclass
class World:
    """Five agencies, and what their people were told of incidents."""

    amazon: RunningEmulator
    clock: time_machine.Traveller
    organizations: list[Organization] = field(default_factory=list)
    rows: list[Connection] = field(default_factory=list)
    told: Counter[tuple[str, UUID]] = field(default_factory=Counter)

    def listen(self, _incident: Incident, ids: list[UUID], kind: str) -> None:
        self.told.update((kind, key) for key in ids)

    def connect(self, rows_each: int) -> None:
        for number in range(ORGANIZATIONS):
            organization = factories.make_organization(f"Agency {number}")
            self.organizations.append(organization)
            for place in range(rows_each):
                seller = f"A{number}OUTAGE{place:05d}"
                self.amazon.world.add_seller(seller, marketplaces=["US"])
                token = self.amazon.world.authorize(seller, "NA")
                row = factories.make_connection(organization, seller=seller, refresh_token=token)
                self.rows.append(row)

    def pass_minutes(self, count: int, *, step: int = 1) -> None:
        """What processes remember is as old as the minute before; breakers and rates are rows."""
        for _ in range(0, count, step):
            self.clock.shift(60 * step)
            for known in (breakers, budgets, incidents):
                known.forget()
            lwa._set_aside.clear()
            for queue in ("interactive", "background"):
                while ledger.drain(queue, seconds=60):
                    pass
            incident_watch.look()

    def lose_access_tokens(self) -> None:
        """Their hour is over: the next call of each consent needs the token endpoint."""
        cache.clear()
        token_cache._own.clear()

    def statuses(self) -> Counter[str]:
        return Counter(SpApiGrant._base_manager.values_list("status", flat=True))

    def states(self) -> Counter[str]:
        state = health.health_of(
            LwaApplication.SPAPI, health.moments(), prefix="spapi_grant__", region="region"
        )
        rows = Connection._base_manager.annotate(state=state)
        return Counter(rows.values_list("state", flat=True))


@pytest.fixture
def world(amazon: RunningEmulator) -> Iterator[World]:
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=True) as clock:
        found = World(amazon, clock)
        incidents.register_listener(found.listen)
        yield found
        incidents.LISTENERS.remove(found.listen)


def read_all(world: World) -> None:
    for row in world.rows:
        marketplace_services.begin_reading(connection=row)


def events(code: str, **lookups: Any) -> list[AuditEvent]:
    return list(AuditEvent._base_manager.filter(code=code, **lookups).order_by("pk"))


def told_of(row: Connection) -> list[str]:
    """The timeline of a row, without what reads and looks leave there."""
    found = AuditEvent._base_manager.filter(connection_id=row.pk).order_by("pk")
    wanted = ("incident", "spapi_grant", "amazon")
    return [event.code for event in found if event.code.startswith(wanted)]


def test_an_hour_of_outage_throttling_html_and_a_wrong_secret(world: World) -> None:
    world.connect(ROWS_EACH)
    assert len(world.rows) == 300
    revoked, *others = world.rows
    before = {grant.pk: grant.version for grant in SpApiGrant._base_manager.all()}
    amazon = world.amazon

    amazon.scenario("outage", surface="sellers")
    read_all(world)
    world.pass_minutes(5)
    assert world.states()["incident"] > 0
    amazon.world.revoke(str(revoked.selling_partner_id))
    marketplace_services.begin_resync(connection=revoked)
    world.pass_minutes(10, step=2)
    amazon.faults.clear()
    amazon.scenario("throttled", surface="sellers")
    world.pass_minutes(15, step=3)
    amazon.faults.clear()
    amazon.scenario("html_error_page", surface="sellers", status=200)
    world.pass_minutes(15, step=3)
    amazon.faults.clear()
    amazon.scenario("wrong_secret")
    world.lose_access_tokens()
    world.pass_minutes(15, step=3)

    # The hour is over: nobody was disconnected, but for the one who revoked.
    assert world.statuses() == {"active": 299, "invalid": 1}
    assert grant_of(revoked).status == "invalid"
    (incident,) = Incident.objects.all()
    assert (str(incident), incident.closed_at) == ("sellers NA", None)
    assert world.told == {("opened", row.pk): 1 for row in world.organizations}

    amazon.scenario("normal")
    world.pass_minutes(40, step=4)

    assert {grant.pk: grant.version for grant in SpApiGrant._base_manager.all()} == before
    assert set(SpApiGrant._base_manager.values_list("status", "refusals", "last_error_code")) == {
        ("active", 0, ""),
        ("invalid", grant_of(revoked).refusals, "invalid_grant"),
    }
    assert world.states() == {"connected": 299, "revoked": 1}
    assert not Job._base_manager.filter(status__in=Job.LIVE).exists()
    (incident,) = Incident.objects.all()
    assert incident.closed_at is not None
    assert world.told == {
        (kind, row.pk): 1 for row in world.organizations for kind in ("opened", "closed")
    }
    tells_the_story(world, revoked, others)


def tells_the_story(world: World, revoked: Connection, others: list[Connection]) -> None:
    ends = [code for code in told_of(revoked) if code.startswith("spapi_grant")][-2:]
    assert ends == ["spapi_grant_doubted", "spapi_grant_invalid"]
    touched = [row for row in others if "incident_passed" in told_of(row)]
    assert len(touched) > 100
    for row in others:
        expected = ["amazon_failing", "amazon_answers", "incident_passed"] if row in touched else []
        assert [code for code in told_of(row) if not code.startswith("spapi_grant")] == expected
        states = {code for code in told_of(row) if code.startswith("spapi_grant")}
        assert states <= {"spapi_grant_active", "spapi_grant_stored"}
    for organization in world.organizations:
        (closed,) = events("incident_closed", organization=organization)
        passed = events("incident_passed", organization=organization)
        assert closed.details["rows"] == len(passed)
        assert closed.details["ended"] == (1 if organization.pk == revoked.organization_id else 0)
        assert closed.details["began_at"] < closed.details["ended_at"]


def test_consents_that_are_refused_all_at_once_disconnect_nobody(world: World) -> None:
    """Decision 16: Amazon refuses every refresh for an hour; one of them it means."""
    world.connect(6)
    revoked, *_ = world.rows
    world.amazon.scenario("false_invalid_grant", times=0)
    world.lose_access_tokens()
    read_all(world)

    world.pass_minutes(60)

    (incident,) = Incident.objects.all()
    assert (incident.surface, incident.cause, incident.closed_at) == ("lwa", "refusing", None)
    assert world.statuses() == {"doubted": 30}
    assert min(SpApiGrant._base_manager.values_list("refusals", flat=True)) >= 3

    world.amazon.faults.clear()
    world.amazon.world.revoke(str(revoked.selling_partner_id))
    world.pass_minutes(60)

    assert world.statuses() == {"active": 29, "invalid": 1}
    assert grant_of(revoked).status == "invalid"
    (incident,) = Incident.objects.all()
    assert incident.closed_at is not None
    (ended,) = events("spapi_grant_invalid")
    assert ended.connection_id == revoked.pk
    assert ended.at > incident.closed_at
    assert world.told == {
        (kind, row.pk): 1 for row in world.organizations for kind in ("opened", "closed")
    }


def test_a_wrong_client_secret_is_no_incident(world: World) -> None:
    """C4: ours; staff are told, and nobody's row changes."""
    world.connect(3)
    world.amazon.scenario("wrong_secret")
    read_all(world)

    world.pass_minutes(15)

    assert not Incident.objects.exists()
    assert world.statuses() == {"active": 15}
    assert world.states() == {"connected": 15}
    world.amazon.scenario("normal")
    world.pass_minutes(32)
    assert not Job._base_manager.filter(status__in=Job.LIVE).exists()
