"""Amazon's bad hours: counted, opened once, closed after ten good minutes, merged when it flaps."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.conf import settings
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections import refusals
from connections.models import SpApiGrant
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import Region
from sellerlegend.jobs import breakers, incident_watch, incidents, outcomes
from sellerlegend.jobs.models import Breaker, CallWindow, Incident
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization, StaffNotice
from tests import factories
from tests.threads import run_many

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PART, OPERATION = "sellers.EU", "sellers.read"
OUTAGE, THROTTLED, REFUSED = (
    AmazonUnavailable(operation=OPERATION),
    AmazonUnavailable(operation=OPERATION, throttled=True),
    GrantInvalid(operation=OPERATION),
)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def organizations(db: None) -> list[UUID]:
    return [factories.make_organization().pk for _ in range(4)]


@pytest.fixture
def news() -> Iterator[list[tuple[str, UUID]]]:
    """What a listener was told, in order."""
    told: list[tuple[str, UUID]] = []

    def listen(incident: Incident, ids: list[UUID], kind: str) -> None:
        told.extend((kind, key) for key in ids)

    incidents.register_listener(listen)
    yield told
    incidents.LISTENERS.remove(listen)


def call(organization: UUID, error: AmazonError | None = None, *, part: str = PART) -> None:
    """As every call is made; the breaker is not what is tested here."""
    Breaker.objects.all().delete()
    breakers.forget()
    with outcomes.on_behalf_of(organization):
        try:
            with breakers.guarded(part, operation=OPERATION):
                if error is not None:
                    raise error
        except AmazonError:
            pass


def fail(organizations: list[UUID], times: int, error: AmazonError = OUTAGE, **where: Any) -> None:
    for number in range(times):
        call(organizations[number % len(organizations)], error, **where)


def refuse(organizations: list[UUID], times: int) -> None:
    """Consents that the token endpoint refuses for the first time."""
    fail(organizations, times, REFUSED, part="lwa")
    for number in range(times):
        owner = Organization.objects.get(pk=organizations[number % len(organizations)])
        record_event(
            "spapi_grant_doubted", actor=WORKER, organization=owner, reason="invalid_grant"
        )


def the_incident() -> Incident:
    return Incident.objects.get()


def codes(organization: UUID) -> list[str]:
    events = AuditEvent._base_manager.filter(organization_id=organization, code__contains="incid")
    return list(events.order_by("pk").values_list("code", flat=True))


def live(minutes: int, clock: time_machine.Traveller, do: Any = None) -> None:
    """Minutes in which sweeps look, and something happens at each beginning."""
    for _ in range(minutes):
        clock.shift(60)
        if do is not None:
            do()
        incident_watch.look()


# Counting ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
def test_calls_are_counted_by_part_organization_and_minute(organizations: list[UUID]) -> None:
    first, second, *_ = organizations
    refusals = (REFUSED, AccessTokenRejected(), AccessDenied())
    for error in (None, OUTAGE, THROTTLED, *refusals, UnexpectedReply()):
        call(first, error)
    call(second, OUTAGE)
    call(second, part="lwa")
    outcomes.flush()
    call(first)
    outcomes.flush()

    rows = CallWindow.objects.order_by("surface", "-calls").values_list(
        "surface",
        "region",
        "organization_id",
        "minute",
        "calls",
        "failures",
        "throttled",
        "refused",
    )
    assert list(rows) == [
        ("lwa", "", second, START, 1, 0, 0, 0),
        ("sellers", "EU", first, START, 8, 5, 1, 2),
        ("sellers", "EU", second, START, 1, 1, 0, 0),
    ]


@pytest.mark.usefixtures("clock")
def test_what_was_held_back_and_a_refusal_of_our_own_client_are_no_calls(
    organizations: list[UUID],
) -> None:
    call(organizations[0], ClientMisconfigured())
    Breaker.objects.create(
        name=PART, window_started_at=START, open_until=START + timedelta(minutes=1)
    )
    breakers.forget()
    with (
        outcomes.on_behalf_of(organizations[0]),
        pytest.raises(AmazonUnavailable),
        breakers.guarded(PART, operation=OPERATION),
    ):
        raise AssertionError("the breaker is open")
    outcomes.flush()

    assert not CallWindow.objects.exists()


def test_counting_costs_no_query(organizations: list[UUID]) -> None:
    call(organizations[0])

    with CaptureQueriesContext(database) as sent, outcomes.on_behalf_of(organizations[0]):
        for _ in range(50):
            with breakers.guarded(PART, operation=OPERATION):
                pass

    assert len(sent) == 0


def test_every_breaker_of_the_product_belongs_to_a_part_that_has_incidents() -> None:
    used = ["lwa"]
    for word in ("sellers", "ads", *ProbeKind):
        used += [f"{word}.{region}" for region in Region]

    assert {outcomes.part_of(name) for name in used} == set(incidents.PARTS)
    assert outcomes.part_of("orders.EU") == ("sellers", "EU")
    assert outcomes.part_of("client.abc.123") is None


def test_no_other_kind_of_breaker_is_used_by_the_product() -> None:
    """A new one must be given its part in `outcomes.SURFACES`, and stand in the test above."""
    root = Path(settings.BASE_DIR)
    files = [
        path
        for folder in ("connections", "marketplaces", "ppc", "sellerlegend")
        for path in (root / folder).rglob("*.py")
    ]
    words = {
        word
        for path in files
        for word in re.findall(r"breakers\.guarded\(f?\"([^\"]+)\"", path.read_text())
    }

    assert words == {
        "lwa",
        "sellers.{connection.region}",
        "ads.{region}",
        "{kind}.{connection.region}",
        "sellers.{newcomer.region}",
        "{ProbeKind.LISTINGS}.{newcomer.region}",
    }


@pytest.mark.usefixtures("clock")
def test_what_no_part_is_known_for_is_not_counted(organizations: list[UUID]) -> None:
    fail(organizations, 12, part="weather.EU")
    outcomes.flush()

    assert not CallWindow.objects.exists()


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_processes_add_up(clock: time_machine.Traveller) -> None:
    organization = factories.make_organization().pk

    def count() -> None:
        with outcomes.on_behalf_of(organization), outcomes.counted(PART):
            pass
        outcomes.flush()

    run_many(8, count)

    assert CallWindow.objects.get().calls == 8


# Opening -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("failing", "failures", "successes", "opens"),
    [(3, 10, 0, True), (3, 9, 0, False), (2, 20, 0, False), (3, 10, 10, True), (3, 10, 11, False)],
)
def test_half_of_ten_calls_over_three_organizations_open_it(
    organizations: list[UUID], failing: int, failures: int, successes: int, opens: bool
) -> None:
    fail(organizations[:failing], failures)
    for _ in range(successes):
        call(organizations[3])

    incident_watch.look()

    assert Incident.objects.count() == int(opens)


def test_the_good_minutes_before_an_outage_hide_it_not(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """While breakers are open few calls go out, and never half of those of ten minutes."""
    for number in range(56):
        call(organizations[number % 4])
    clock.shift(180)
    fail(organizations, 10)

    incident_watch.look()

    incident = the_incident()
    assert (incident.calls, incident.failures, incident.organizations) == (10, 10, 4)


def test_nothing_opens_once_amazon_answers_again(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """Nor later, when the good minutes before it have left the window."""
    for number in range(20):
        call(organizations[number % 4])
    clock.shift(60)
    fail(organizations, 12)
    clock.shift(120)

    live(12, clock, lambda: call(organizations[0]))

    assert not Incident.objects.exists()


def test_what_is_older_than_ten_minutes_does_not_count(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 9)
    clock.shift(601)
    fail(organizations, 9)

    incident_watch.look()

    assert not Incident.objects.exists()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("error", "cause"),
    [(OUTAGE, "failing"), (THROTTLED, "throttled"), (REFUSED, "refusing")],
)
def test_its_cause_is_what_most_failures_were(
    organizations: list[UUID], error: AmazonError, cause: str
) -> None:
    others = [other for other in (OUTAGE, THROTTLED, REFUSED) if other is not error]
    fail(organizations, 8, error)
    for other in others:
        fail(organizations, 2, other)

    incident_watch.look()

    incident = the_incident()
    assert (incident.surface, incident.region, incident.cause) == ("sellers", "EU", cause)
    assert (incident.calls, incident.failures, incident.organizations) == (12, 12, 4)
    assert (incident.opened_at, incident.opened_by, incident.closed_at) == (START, None, None)


@pytest.mark.usefixtures("clock")
def test_the_organizations_it_met_are_told_once_and_so_are_those_it_meets_later(
    organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    fail(organizations[:3], 12)
    for _ in range(3):
        incident_watch.look()
    assert sorted(news) == sorted(("opened", key) for key in organizations[:3])

    fail(organizations, 4)
    for _ in range(2):
        incident_watch.look()

    assert news[3:] == [("opened", organizations[3])]
    assert codes(organizations[3]) == ["incident_opened"]
    assert [*StaffNotice.objects.values_list("cause", flat=True)] == []  # not committed yet
    (opened,) = AuditEvent._base_manager.filter(code="incident_opened", organization=None)
    assert opened.details == {
        "surface": "sellers",
        "region": "EU",
        "cause": "failing",
        "calls": 12,
        "failures": 12,
        "organizations": 3,
    }


@pytest.mark.usefixtures("clock")
def test_an_organization_that_cannot_be_told_keeps_nobody_else_from_it(
    organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    def break_once(incident: Incident, ids: list[UUID], kind: str) -> None:
        if ids == [organizations[0]]:
            raise RuntimeError

    incidents.register_listener(break_once)
    try:
        fail(organizations, 12)
        incident_watch.look()
    finally:
        incidents.LISTENERS.remove(break_once)
    assert codes(organizations[0]) == []
    assert codes(organizations[1]) == ["incident_opened"]

    incident_watch.look()

    assert codes(organizations[0]) == ["incident_opened"]


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_sweeps_at_one_moment_open_one_and_tell_each_organization_once(
    clock: time_machine.Traveller,
) -> None:
    organizations = [factories.make_organization().pk for _ in range(3)]
    fail(organizations, 12)
    outcomes.flush()

    run_many(6, incident_watch.look)

    assert Incident.objects.count() == 1
    assert [codes(key) for key in organizations] == [["incident_opened"]] * 3
    assert [*StaffNotice.objects.values_list("cause", flat=True)] == ["amazon_incident"]


@pytest.mark.usefixtures("clock")
def test_other_parts_and_regions_have_none(organizations: list[UUID]) -> None:
    """D18."""
    fail(organizations, 12)
    for part in ("sellers.NA", "lwa", "ads.EU"):
        fail(organizations, 3, part=part)

    incident_watch.look()

    assert str(the_incident()) == "sellers EU"


@pytest.mark.usefixtures("clock")
def test_questions_for_roles_count_for_the_selling_partner_api_of_their_region(
    organizations: list[UUID],
) -> None:
    for kind in ProbeKind:
        fail(organizations, 3, part=f"{kind}.EU")

    incident_watch.look()

    assert str(the_incident()) == "sellers EU"
    assert codes(organizations[0]) == ["incident_opened"]


def test_a_part_that_fails_keeps_no_other_from_opening_closing_and_being_told(
    clock: time_machine.Traveller, organizations: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(organizations, 12, part="ads.NA")
    incident_watch.look()
    judge = incident_watch._judge

    def fails_for_lwa(part: tuple[str, str], *rest: Any) -> int:
        if part == ("lwa", ""):
            raise RuntimeError
        return judge(part, *rest)

    monkeypatch.setattr(incident_watch, "_judge", fails_for_lwa)
    live(22, clock, lambda: call(organizations[0], part="ads.NA"))
    fail(organizations, 12, part="lwa")
    fail(organizations, 12)
    # As a row that an older release counted: no part of ours.
    CallWindow.objects.update_or_create(
        surface="orders",
        region="EU",
        organization_id=organizations[0],
        minute=timezone.now(),
        defaults={"calls": 50, "failures": 50},
    )
    incident_watch.look()

    found = Incident.objects.order_by("opened_at")
    assert [(row.surface, row.closed_at is None) for row in found] == [
        ("ads", False),
        ("sellers", True),
    ]
    expected = ["incident_opened", "incident_closed", "incident_opened"]
    assert codes(organizations[0]) == expected


# Closing -----------------------------------------------------------------------------------


def test_it_closes_after_ten_good_minutes(
    clock: time_machine.Traveller, organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    fail(organizations, 12)
    incident_watch.look()
    news.clear()

    live(10, clock, lambda: call(organizations[0]))
    assert the_incident().closed_at is None
    assert the_incident().good_since == START + timedelta(minutes=1)
    live(1, clock, lambda: call(organizations[0]))

    assert the_incident().closed_at == START + timedelta(minutes=11)
    live(9, clock, lambda: call(organizations[0]))
    assert news == []  # it may still begin again
    live(1, clock, lambda: call(organizations[0]))
    assert sorted(news) == sorted(("closed", key) for key in organizations)
    assert codes(organizations[0]) == ["incident_opened", "incident_closed"]
    live(3, clock, lambda: call(organizations[0]))
    assert len(news) == 4


def test_silence_is_no_good_minute(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 12)
    incident_watch.look()

    live(30, clock)

    assert the_incident().closed_at is None
    assert the_incident().good_since is None


def test_after_an_hour_in_which_nobody_asked_it_is_over(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 12)
    incident_watch.look()

    live(62, clock)

    assert the_incident().closed_at is not None


def test_probes_that_fail_keep_it_open_and_a_flapping_amazon_is_one_incident(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """D21: three bad minutes, five good ones, for an hour and a half."""
    fail(organizations, 12)
    for minute in range(90):
        error = OUTAGE if minute % 8 < 3 else None
        for organization in organizations:
            call(organization, error)
        live(1, clock)

    assert the_incident().closed_at is None


def test_what_begins_again_soon_after_the_end_is_the_same_incident(
    clock: time_machine.Traveller, organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    fail(organizations, 12)
    incident_watch.look()
    live(11, clock, lambda: call(organizations[0]))
    assert the_incident().closed_at is not None

    live(1, clock, lambda: fail(organizations, 24))

    assert the_incident().closed_at is None
    assert codes(organizations[0]) == ["incident_opened"]
    assert AuditEvent._base_manager.filter(code="incident_reopened").count() == 1
    live(35, clock, lambda: call(organizations[0]))
    assert the_incident().closed_at is not None
    assert len(news) == 2 * len(organizations)


def test_one_long_after_is_a_new_one(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 12)
    incident_watch.look()
    live(25, clock, lambda: call(organizations[0]))

    live(1, clock, lambda: fail(organizations, 36))

    assert Incident.objects.count() == 2
    assert Incident.objects.filter(closed_at=None).count() == 1


def test_the_few_who_still_fail_keep_none_open(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """Theirs is a reason of their own: a revoked consent, asked again and again."""
    fail(organizations, 12)
    incident_watch.look()

    def others_work() -> None:
        call(organizations[0])
        fail(organizations[1:2], 5, REFUSED)

    live(22, clock, others_work)

    assert the_incident().closed_at is not None


def test_one_of_refusals_outlasts_the_last_look_at_doubted_consents(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 12, REFUSED)
    incident_watch.look()

    live(20, clock, lambda: call(organizations[0]))
    assert the_incident().closed_at is None
    live(1, clock, lambda: call(organizations[0]))

    assert the_incident().closed_at is not None


def test_an_outage_on_top_does_not_let_refusals_be_believed(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    refuse(organizations, 12)
    incident_watch.look()

    live(2, clock, lambda: fail(organizations, 30, part="lwa"))

    assert the_incident().cause == "refusing"
    assert incidents.are_refusals_amazons(Incident.Surface.ADS)


def test_refusals_that_never_end_are_believed_after_two_hours(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    refuse(organizations, 12)
    incident_watch.look()
    clock.shift(timedelta(minutes=119))
    assert incidents.are_refusals_amazons(Incident.Surface.ADS)

    clock.shift(timedelta(minutes=1))

    assert not incidents.are_refusals_amazons(Incident.Surface.ADS)


def refuse_consents(grants: list[SpApiGrant]) -> None:
    """As the token endpoint refuses each of them: counted as a call, and against the consent."""
    for grant in grants:
        call(grant.owner_id(), REFUSED, part="lwa")
        refusals.refused(grant, "invalid_grant")
    incident_watch.look()


def statuses(grants: list[SpApiGrant]) -> list[str]:
    for grant in grants:
        grant.refresh_from_db()
    return sorted({str(grant.status) for grant in grants})


def some_consents(organizations: list[UUID], count: int) -> list[SpApiGrant]:
    """Of these organizations in turn."""
    owners = [Organization.objects.get(pk=key) for key in organizations]
    return [
        factories.grant_of(factories.make_connection(owners[number % len(owners)]))
        for number in range(count)
    ]


@pytest.fixture
def grants(organizations: list[UUID]) -> list[SpApiGrant]:
    """Twelve consents of four organizations."""
    return some_consents(organizations, 12)


def test_refusals_of_all_are_held_from_when_they_began_late_in_an_outage(
    clock: time_machine.Traveller, organizations: list[UUID], grants: list[SpApiGrant]
) -> None:
    fail(organizations, 12, part="lwa")
    incident_watch.look()
    clock.shift(timedelta(minutes=128))
    live(2, clock, lambda: fail(organizations, 8, part="lwa"))
    assert (the_incident().cause, the_incident().opened_at) == ("failing", START)

    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants)

    assert statuses(grants) == ["doubted"]
    assert the_incident().cause == "refusing"
    assert the_incident().refusing_since == START + timedelta(minutes=130)
    clock.shift(timedelta(minutes=104))
    assert incidents.are_refusals_amazons(Incident.Surface.SELLERS, "NA")
    clock.shift(MINUTE)
    assert not incidents.are_refusals_amazons(Incident.Surface.SELLERS, "NA")


@pytest.mark.parametrize("beside", [OUTAGE, THROTTLED, None])
def test_refusals_of_many_are_held_though_other_calls_are_more(
    clock: time_machine.Traveller,
    organizations: list[UUID],
    grants: list[SpApiGrant],
    beside: AmazonError | None,
) -> None:
    fail(organizations, 12, part="lwa")
    incident_watch.look()
    assert the_incident().cause == "failing"

    for minutes in (1, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        for number in range(40):
            call(organizations[number % 4], beside, part="lwa")
        refuse_consents(grants)

    assert statuses(grants) == ["doubted"]
    assert (the_incident().cause, the_incident().closed_at) == ("refusing", None)
    assert the_incident().refusing_since == START + MINUTE


@pytest.mark.usefixtures("clock")
def test_one_that_opens_holds_the_refusals_of_many_at_once(
    organizations: list[UUID], grants: list[SpApiGrant]
) -> None:
    fail(organizations, 40, part="lwa")

    refuse_consents(grants)

    assert (the_incident().cause, the_incident().refusing_since) == ("refusing", START)


def test_refusals_of_all_that_come_one_by_one_open_one_and_none_ends(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """An installation at rest asks little: of each ten minutes the first refusals are too few."""
    mine = some_consents(organizations, 24)
    first_asked = {grant.pk: 2 * number for number, grant in enumerate(mine)}

    for minute in range(60):
        clock.shift(60)
        due = {first_asked[g.pk] + later: g for g in mine for later in (0, 2, 15)}
        if minute in due:
            refuse_consents([g for g in mine if minute - first_asked[g.pk] in (0, 2, 15)])
        incident_watch.look()

    assert (the_incident().cause, statuses(mine)) == ("refusing", ["doubted"])


def test_what_staff_ended_too_early_ends_no_consent(
    clock: time_machine.Traveller, grants: list[SpApiGrant]
) -> None:
    refuse_consents(grants)
    clock.shift(timedelta(minutes=2))
    refuse_consents(grants)
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))

    for minutes in (13, 2, 13, 15):
        live(minutes, clock)
        refuse_consents(grants)

    assert statuses(grants) == ["doubted"]
    again = Incident.objects.get(closed_at=None)
    assert again.cause == "refusing"


@pytest.mark.parametrize("cause", ["failing", "refusing"])
def test_what_one_of_staffs_own_held_is_asked_anew_as_well(
    clock: time_machine.Traveller, grants: list[SpApiGrant], cause: str
) -> None:
    open_by_hand(surface="lwa", region="", cause=cause)
    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants)
    assert statuses(grants) == ["doubted"]
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))

    clock.shift(MINUTE)
    refuse_consents(grants)

    assert statuses(grants) == ["doubted"]


def test_what_ended_long_ago_keeps_its_first_refusal(
    clock: time_machine.Traveller, grants: list[SpApiGrant]
) -> None:
    """The gap without access is counted from there."""
    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants[:1])
    assert statuses(grants[:1]) == ["invalid"]
    open_by_hand(surface="lwa", region="", cause="refusing")
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))
    clock.shift(timedelta(days=1))

    refuse_consents(grants[:1])

    assert factories.grant_of(grants[0].connection).first_refused_at == START


def test_an_incident_of_staffs_that_held_nothing_delays_no_revocation(
    clock: time_machine.Traveller, organizations: list[UUID], grants: list[SpApiGrant]
) -> None:
    gone = grants[:1]
    refuse_consents(gone)
    open_by_hand(surface="sellers", region="NA", cause="failing")
    clock.shift(timedelta(minutes=2))
    refuse_consents(gone)
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))
    clock.shift(timedelta(minutes=13))

    refuse_consents(gone)

    assert statuses(gone) == ["invalid"]


def test_what_is_asked_anew_after_staff_ended_it_keeps_its_first_refusal(
    clock: time_machine.Traveller, grants: list[SpApiGrant]
) -> None:
    """Since then there was no access, whoever was to blame for the first ones."""
    open_by_hand(surface="lwa", region="", cause="refusing")
    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants[:1])
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))

    clock.shift(MINUTE)
    refuse_consents(grants[:1])
    asked_anew = factories.grant_of(grants[0].connection)
    for minutes in (2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants[:1])

    grant = factories.grant_of(grants[0].connection)
    assert (asked_anew.status, asked_anew.refusals) == ("doubted", 1)
    assert asked_anew.verify_due_at == START + timedelta(minutes=18)
    assert (grant.status, grant.refusals) == ("invalid", 3)
    assert asked_anew.first_refused_at == grant.first_refused_at == START


def test_what_is_refused_after_staff_ended_it_is_believed_a_quarter_of_an_hour_later(
    clock: time_machine.Traveller, organizations: list[UUID], grants: list[SpApiGrant]
) -> None:
    refuse_consents(grants)
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user(is_staff=True)))
    gone, *others = grants

    for minutes in (2, 13, 2, 13):
        live(minutes, clock)
        for grant in others:
            call(grant.owner_id(), part="lwa")
        refuse_consents([gone])

    assert statuses([gone]) == ["invalid"]
    assert not Incident.objects.filter(closed_at=None).exists()


@pytest.mark.parametrize(("of", "consents"), [(2, 16), (4, 4)])
def test_refusals_of_few_in_an_outage_are_their_own(
    clock: time_machine.Traveller, organizations: list[UUID], of: int, consents: int
) -> None:
    """Of two organizations, or four consents at the most: real revocations in the same hour."""
    mine = some_consents(organizations[:of], consents)

    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        fail(organizations, 40, part="lwa")
        refuse_consents(mine)

    assert (the_incident().cause, statuses(mine)) == ("failing", ["invalid"])


def test_while_amazon_refuses_the_same_consents_again_it_stays_open_and_none_ends(
    clock: time_machine.Traveller, grants: list[SpApiGrant], news: list[tuple[str, UUID]]
) -> None:
    """What was refused before is no news, and nobody asks anything else: that is no end."""
    for minutes in (0, 2, 13, *[15] * 6):
        live(minutes, clock)
        refuse_consents(grants)
    live(14, clock)
    assert timezone.now() == START + timedelta(minutes=119)
    assert (statuses(grants), the_incident().closed_at) == (["doubted"], None)

    live(1, clock)
    refuse_consents(grants)
    live(20, clock)

    assert the_incident().closed_at == START + timedelta(minutes=120)
    assert statuses(grants) == ["invalid"]
    assert {kind for kind, _key in news} == {"opened"}
    assert not AuditEvent._base_manager.filter(
        code="incident_closed", organization__isnull=False
    ).exists()


def test_that_refusals_are_over_is_told_once_amazon_answers_somebody(
    clock: time_machine.Traveller, grants: list[SpApiGrant], news: list[tuple[str, UUID]]
) -> None:
    refuse_consents(grants)
    clock.shift(timedelta(minutes=120))
    live(20, clock)
    assert the_incident().closed_at is not None
    assert {kind for kind, _key in news} == {"opened"}

    call(grants[0].owner_id(), part="lwa")
    live(1, clock)

    owners = {grant.owner_id() for grant in grants}
    assert sorted(news[len(owners) :]) == sorted(("closed", key) for key in owners)


def test_that_refusals_are_over_is_told_when_staff_say_so(
    clock: time_machine.Traveller, grants: list[SpApiGrant], news: list[tuple[str, UUID]]
) -> None:
    refuse_consents(grants)
    assert incidents.close(the_incident(), actor=Actor.staff(factories.make_user()))

    live(1, clock)

    assert {kind for kind, _key in news} == {"opened", "closed"}


def test_refusals_of_many_others_begin_the_two_hours_anew(
    clock: time_machine.Traveller, organizations: list[UUID], grants: list[SpApiGrant]
) -> None:
    """An outage kept it open meanwhile, and no other incident opens beside it."""
    refuse(organizations, 12)
    incident_watch.look()
    clock.shift(timedelta(minutes=125))
    live(1, clock, lambda: fail(organizations, 12, part="lwa"))
    assert not incidents.are_refusals_amazons(Incident.Surface.SELLERS, "NA")
    clock.shift(timedelta(minutes=9))

    for minutes in (0, 2, 13):
        clock.shift(timedelta(minutes=minutes))
        refuse_consents(grants)

    assert statuses(grants) == ["doubted"]
    assert the_incident().refusing_since == START + timedelta(minutes=135)


def test_one_of_refusals_that_begins_again_holds_them_for_two_hours_from_then(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    refuse(organizations, 12)
    incident_watch.look()
    clock.shift(timedelta(minutes=110))
    assert incidents.close(the_incident(), actor=WORKER)
    clock.shift(MINUTE)
    assert incidents.reopen(the_incident())

    clock.shift(timedelta(minutes=119))
    assert incidents.are_refusals_amazons(Incident.Surface.ADS)
    clock.shift(MINUTE)
    assert not incidents.are_refusals_amazons(Incident.Surface.ADS)


def test_one_that_an_older_release_opened_holds_refusals_from_its_beginning(
    clock: time_machine.Traveller,
) -> None:
    Incident.objects.create(surface="lwa", cause="refusing")
    clock.shift(timedelta(minutes=119))
    assert incidents.are_refusals_amazons(Incident.Surface.ADS)
    clock.shift(MINUTE)
    assert not incidents.are_refusals_amazons(Incident.Surface.ADS)


@pytest.mark.usefixtures("clock")
def test_consents_that_were_refused_before_open_none(organizations: list[UUID]) -> None:
    """Really revoked ones, asked again by looks, probes and people."""
    fail(organizations, 40, REFUSED, part="lwa")

    incident_watch.look()

    assert not Incident.objects.exists()


def test_consents_that_were_refused_before_keep_none_open(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    refuse(organizations, 12)
    incident_watch.look()
    assert the_incident().cause == "refusing"

    def one_works_and_all_revoked_ones_are_asked_again() -> None:
        call(organizations[0], part="lwa")
        fail(organizations, 8, REFUSED, part="lwa")

    live(23, clock, one_works_and_all_revoked_ones_are_asked_again)

    assert the_incident().closed_at is not None


def test_when_nothing_but_refused_consents_is_asked_it_is_over_after_two_hours(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    refuse(organizations, 12)
    incident_watch.look()

    for _ in range(8):
        clock.shift(timedelta(minutes=15))
        fail(organizations, 12, REFUSED, part="lwa")
        incident_watch.look()

    assert the_incident().closed_at is not None


def test_other_failures_count_beside_repeated_refusals(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 40, REFUSED, part="lwa")
    fail(organizations, 10, OUTAGE, part="lwa")

    incident_watch.look()

    incident = the_incident()
    assert (incident.cause, incident.calls, incident.failures) == ("failing", 10, 10)


# Many organizations ------------------------------------------------------------------------


def test_a_sweep_tells_so_many_and_the_next_one_goes_on(
    clock: time_machine.Traveller,
    organizations: list[UUID],
    news: list[tuple[str, UUID]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incident_watch, "TOLD_AT_ONCE", 3)
    fail(organizations, 12)
    fail(organizations[:1], 10, part="ads.NA")

    incident_watch.look()
    assert len(news) == 3
    incident_watch.look()

    assert sorted(news) == sorted(("opened", key) for key in organizations)
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user()))
    counts = []
    for _ in range(3):
        news.clear()
        incident_watch.look()
        counts.append(len(news))
    assert counts == [3, 1, 0]


# Windows -----------------------------------------------------------------------------------


def test_windows_go_by_age_whatever_staff_left_open(
    clock: time_machine.Traveller, organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    open_by_hand()
    fail(organizations[:1], 2)
    incident_watch.look()
    clock.shift(timedelta(days=2, minutes=1))
    fail(organizations[1:2], 2)
    incident_watch.look()

    gone = set(incidents.old_windows().values_list("organization_id", flat=True))
    incidents.old_windows().delete()
    clock.shift(60)
    incident_watch.look()

    assert gone == {organizations[0]}
    assert news == [("opened", organizations[0]), ("opened", organizations[1])]


# Beginning again ---------------------------------------------------------------------------


def test_nothing_begins_again_once_its_end_may_have_been_told(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    """A sweep that is slow at judging comes when another one has told the end."""
    fail(organizations, 12)
    incident_watch.look()
    assert incidents.close(the_incident(), actor=WORKER)
    stale = the_incident()
    clock.shift(601)

    assert not incidents.reopen(stale)
    assert the_incident().closed_at is not None


def test_an_end_is_not_told_of_what_has_begun_again(
    clock: time_machine.Traveller, organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    """A sweep that read the incident while it was closed, and waited for its row."""
    fail(organizations, 12)
    incident_watch.look()
    incidents.close(the_incident(), actor=WORKER)
    stale = the_incident()
    assert incidents.reopen(the_incident())
    clock.shift(601)
    news.clear()

    assert incidents.tell_organizations(stale, 10) == 0
    assert news == []


def test_the_worst_window_and_the_cause_are_kept_up_to_date(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations[:3], 10, THROTTLED)
    incident_watch.look()
    assert the_incident().cause == "throttled"

    live(1, clock, lambda: fail(organizations, 20))

    incident = the_incident()
    assert (incident.cause, incident.failures, incident.organizations) == ("failing", 30, 4)


# By hand -----------------------------------------------------------------------------------


def open_by_hand(**columns: Any) -> Incident:
    staff = Actor.staff(factories.make_user(is_staff=True))
    facts = {"surface": "sellers", "region": "EU", "cause": "failing"} | columns
    incident = incidents.open_one(**facts, actor=staff, reason="Amazon says so")
    assert incident is not None
    return incident


def test_what_staff_opened_they_close(
    clock: time_machine.Traveller, organizations: list[UUID], news: list[tuple[str, UUID]]
) -> None:
    incident = open_by_hand()
    call(organizations[0], OUTAGE)
    live(90, clock, lambda: call(organizations[1]))
    assert the_incident().closed_at is None
    assert news == [("opened", organizations[0])]

    boss = factories.make_user(is_staff=True)
    assert incidents.close(incident, actor=Actor.staff(boss), reason="over")
    assert not incidents.close(incident, actor=Actor.staff(boss))
    incident_watch.look()

    assert the_incident().closed_by == boss
    assert news[1:] == [("closed", organizations[0])]
    events = AuditEvent._base_manager.filter(organization=None, code__startswith="incident_")
    said = [
        (event.code, event.actor_kind, event.details["reason"]) for event in events.order_by("pk")
    ]
    assert said == [
        ("incident_opened", "staff", "Amazon says so"),
        ("incident_closed", "staff", "over"),
    ]


def are_held() -> bool:
    outcomes.flush()
    return incidents.are_refusals_amazons(Incident.Surface.SELLERS, "EU")


@pytest.mark.parametrize(("surface", "region"), [("lwa", ""), ("sellers", "EU")])
def test_the_word_of_staff_holds_refusals_for_two_hours(
    clock: time_machine.Traveller, surface: str, region: str
) -> None:
    open_by_hand(surface=surface, region=region, cause="refusing")
    clock.shift(timedelta(minutes=119))
    assert are_held()
    assert not incidents.are_refusals_amazons(Incident.Surface.ADS) or surface == "lwa"

    clock.shift(timedelta(minutes=1))

    assert not are_held()
    assert the_incident().closed_at is None


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("answered", "refused", "holds"), [(3, 1, False), (2, 1, True), (3, 2, False), (3, 3, True)]
)
def test_the_word_of_staff_holds_no_sellers_own_revocation(
    answered: int, refused: int, holds: bool
) -> None:
    """Others are answered in the same minutes."""
    open_by_hand(surface="lwa", region="", cause="refusing")
    for _ in range(answered):
        call(factories.make_organization().pk, part="lwa")
    refuse([factories.make_organization().pk for _ in range(refused)], refused)

    assert are_held() == holds


def test_what_others_were_answered_before_amazon_refused_all_is_forgotten(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    for organization in organizations:
        call(organization, part="lwa")
    open_by_hand(surface="lwa", region="", cause="refusing")
    assert not are_held()

    clock.shift(timedelta(minutes=21))

    assert are_held()


@pytest.mark.parametrize("cause", ["failing", "refusing"])
def test_under_one_that_staff_forgot_refusals_of_many_are_held_all_the_same(
    clock: time_machine.Traveller, organizations: list[UUID], cause: str
) -> None:
    """No other incident opens beside it."""
    open_by_hand(surface="lwa", region="", cause=cause)
    clock.shift(timedelta(days=3))
    refuse_consents(some_consents(organizations, 4))
    assert not are_held()
    refuse_consents(some_consents(organizations, 1))
    assert are_held()
    clock.shift(timedelta(minutes=119))
    assert are_held()

    clock.shift(timedelta(minutes=2))

    assert not are_held()


def test_refusals_of_many_are_believed_once_others_are_answered(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    open_by_hand(surface="lwa", region="", cause="failing")
    refuse_consents(some_consents(organizations, 5))
    assert are_held()
    clock.shift(timedelta(minutes=21))
    for organization in organizations[:3]:
        call(organization, part="lwa")

    assert not are_held()


def test_staff_are_told_once_a_day_of_what_they_left_open(
    clock: time_machine.Traveller,
    organizations: list[UUID],
    django_capture_on_commit_callbacks: Any,
) -> None:
    def sweep() -> list[tuple[str, str]]:
        incidents.forget()
        with django_capture_on_commit_callbacks(execute=True):
            incidents.tell_of_those_left_open()
        rows = StaffNotice.objects.filter(cause__contains="left_open").order_by("pk")
        return [(row.cause, str(row.day)) for row in rows]

    fail(organizations, 12, part="ads.NA")
    incident_watch.look()
    incident = open_by_hand()
    clock.shift(timedelta(minutes=119))
    assert sweep() == []
    clock.shift(timedelta(minutes=1))
    first = ("amazon_incident_left_open", "2026-11-24")

    assert [sweep(), sweep()] == [[first], [first]]
    clock.shift(timedelta(days=1))
    assert sweep() == [first, ("amazon_incident_left_open", "2026-11-25")]
    incidents.close(incident, actor=Actor.staff(factories.make_user()))
    clock.shift(timedelta(days=1))
    assert len(sweep()) == 2


@pytest.mark.usefixtures("clock")
def test_a_part_has_one_open_incident(organizations: list[UUID]) -> None:
    open_by_hand()

    assert (
        incidents.open_one(
            surface="sellers",
            region="EU",
            cause="throttled",
            actor=Actor.staff(factories.make_user()),
        )
        is None
    )
    fail(organizations, 12)
    incident_watch.look()
    assert the_incident().cause == "failing"


def test_what_staff_closed_does_not_open_again_at_once(
    clock: time_machine.Traveller, organizations: list[UUID]
) -> None:
    fail(organizations, 12)
    incident_watch.look()
    incidents.close(the_incident(), actor=Actor.staff(factories.make_user()))

    live(9, clock, lambda: fail(organizations, 12))
    assert Incident.objects.count() == 1
    live(3, clock, lambda: fail(organizations, 12))

    assert Incident.objects.filter(closed_at=None).count() == 1


# What processes know -----------------------------------------------------------------------


@pytest.mark.usefixtures("organizations")
def test_asking_what_is_open_costs_one_look_in_five_seconds() -> None:
    open_by_hand()
    with CaptureQueriesContext(database) as sent:
        for _ in range(20):
            assert len(incidents.open_now()) == 1

    assert len(sent) == 1


def test_a_deleted_organization_is_not_told(clock: time_machine.Traveller) -> None:
    fail([uuid.uuid4() for _ in range(3)], 12)

    incident_watch.look()

    assert the_incident().organizations == 3
    assert not AuditEvent._base_manager.filter(organization__isnull=False, code="incident_opened")
