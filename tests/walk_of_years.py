"""T5 goes on: what keeps connections alive for years, in any order, beside what made them.

Daily proofs and *Check now*, incidents, removal with a way back, pauses, starts at Amazon's side,
notices and their mails, and a clock that jumps by months. The same model, and more that must hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from django.core import mail
from django.db.models import Count, F, QuerySet
from django.urls import reverse
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from connections import notification_choices
from connections.health import MOMENTS, Health, health_of, moments
from connections.health_words import is_flowing
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.notice_mails import MAIL
from connections.notice_models import Notice, NoticeLine, NoticeMail, NotificationChoice
from marketplaces.models import MarketplaceAccount
from ppc import checking, pruning
from sellerlegend.jobs import breakers, incidents, outcomes
from sellerlegend.jobs.models import CallWindow, Incident, Job, Slot
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import Allowance, Membership, Organization, User
from sellerlegend.prepared import PreparedQuery
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.walk_machine import SELLERS, Tenant, Walk, all_grants, number, often, pick, which

NA_HOST = "sellercentral.amazon.com"
PARTS = [("lwa", ""), ("sellers", "NA"), ("ads", "NA")]
DAY = timedelta(days=1)
LATEST_PROOF = timedelta(hours=36)
A_YEAR = timedelta(days=365)


@cache
def with_health(model: Any) -> PreparedQuery:
    """After every step: written once."""

    def build(**at: datetime) -> QuerySet[Any, Any]:
        region = "connection__region" if model is SpApiGrant else ""
        grants = model._base_manager.annotate(
            health=health_of(model.application, at, region=region)
        )
        columns = [field.attname for field in model._meta.concrete_fields]
        found: QuerySet[Any, Any] = grants.values(*columns, "health")
        return found

    return PreparedQuery(build, **dict.fromkeys(MOMENTS, datetime))


def all_with_health(now: datetime) -> Iterator[tuple[Any, dict[str, Any]]]:
    for model in (SpApiGrant, AdsGrant):
        for facts in with_health(model).rows(**moments(now)):
            yield model, facts


class WalkOfYears(Walk):
    """The walk of `walk_machine.py`, with the events of the years after."""

    bystander: ClassVar[Organization]

    def __init__(self) -> None:
        super().__init__()
        self.forget_the_process()
        mail.outbox.clear()
        # Who has been told what, by which mails; and those that a frozen worker holds, or held.
        self.told: set[tuple[UUID, UUID]] = set()
        self.mails: set[UUID] = set()
        self.frozen: set[UUID] = set()
        self.rest_of_day = timedelta(0)
        for tenant in self.tenants:
            self.choose(tenant.organization)

    def choose(self, organization: Organization, wants: str = "") -> None:
        """Mails at every hour: a walk takes a second, whenever somebody runs it."""
        notification_choices.choose(
            organization=organization,
            user=factories.owner_of(organization),
            wants=wants,
            digest_hour=0,
            quiet_from=0,
            quiet_until=0,
            paused_until=None,
        )

    # People ------------------------------------------------------------------------------

    @rule(org=which, rows=st.sets(number, min_size=1, max_size=3), works=often)
    def check_now(self, org: int, rows: set[int], works: bool) -> None:
        tenant = self.tenants[org]
        found = tenant.rows()
        chosen = {str(found[row % len(found)].pk) for row in rows} if found else set()
        url = reverse("connections_check", args=[tenant.organization.slug])
        Allowance.objects.all().delete()
        answer = tenant.browser.post(url, {"row": sorted(chosen)})
        assert answer.status_code in (200, 303, 422)
        if works:
            self.run_due_jobs()

    @rule(org=which, row=number)
    def restore(self, org: int, row: int) -> None:
        tenant, other = self.tenants[org], self.tenants[1 - org]
        removed = Connection.with_removed.for_organization(tenant.organization)
        connection = pick(list(removed.exclude(removed_at=None).order_by("pk")), row)
        if connection is None:
            return
        foreign = reverse("connection_restore", args=[other.organization.slug, connection.pk])
        assert other.browser.post(foreign).status_code == 404
        tenant.browser.post(tenant.path("connection_restore", connection))
        assert connection.pk in {found.pk for found in tenant.rows()}

    @rule(org=which, seller=st.sampled_from(SELLERS), goes_on=often)
    def start_at_amazon(self, org: int, seller: str, goes_on: bool) -> None:
        """*Re-Authorize* in Manage Your Apps: the seller's row is renewed, whatever its state."""
        tenant = self.tenants[org]
        Allowance.objects.all().delete()
        known = self.row_of(tenant.organization, seller)
        if known is None and len(tenant.rows()) > 3:
            return
        link = trips.reauthorize(self.amazon, NA_HOST, seller)
        leaving = trips.say_yes(
            tenant.browser, link, tenant.organization, marketplace=factories.US, name=seller
        )
        if not goes_on:
            return
        self.remember_trip(tenant, trips.arrive_from(leaving))
        self.return_from(self.model.trips[-1])
        if known is not None and self.model.trips[-1].outcome == "reconnected":
            assert self.row_of(tenant.organization, seller) == known

    @rule(org=which, place=number, days=st.sampled_from([0, 1, 7, 30]))
    def snooze(self, org: int, place: int, days: int) -> None:
        tenant = self.tenants[org]
        notice = pick(self.open_notices(tenant.organization), place)
        if notice is None:
            return
        path = reverse("notice_snooze", args=[tenant.organization.slug, notice.pk])
        assert tenant.browser.post(path, {"days": str(days)}).status_code == 303
        if days:
            same = Notice._base_manager.filter(subject_id=notice.subject_id)
            user = factories.owner_of(tenant.organization)
            self.told -= {(user.pk, pk) for pk in same.values_list("pk", flat=True)}

    @rule(org=which, place=number)
    def acknowledge(self, org: int, place: int) -> None:
        tenant, other = self.tenants[org], self.tenants[1 - org]
        notice = pick(self.open_notices(tenant.organization), place)
        if notice is None:
            return
        asked = {"notice": str(notice.pk)}
        foreign = reverse("notices_acknowledge", args=[other.organization.slug])
        assert other.browser.post(foreign, asked).status_code == 404
        path = reverse("notices_acknowledge", args=[tenant.organization.slug])
        assert tenant.browser.post(path, asked).status_code == 303

    @rule(org=which, wants=st.sampled_from(NotificationChoice.Wants.values))
    def hear_more_or_less(self, org: int, wants: str) -> None:
        self.choose(self.tenants[org].organization, wants)

    # Workers -----------------------------------------------------------------------------

    @rule(works=often)
    def the_sweep_comes_every_minute(self, works: bool) -> None:
        """Proofs are queued, notices derived, mails planned and sent."""
        for _ in range(3):
            self.let_time_pass(timedelta(minutes=6))
            self.the_sweep_comes()
            if works:
                self.run_due_jobs()

    # Amazon ------------------------------------------------------------------------------

    @rule(part=st.sampled_from(PARTS), cause=st.sampled_from(Incident.Cause.values))
    def staff_open_an_incident(self, part: tuple[str, str], cause: str) -> None:
        surface, region = part
        actor = Actor.person(factories.owner_of(self.bystander))
        incidents.open_one(surface=surface, region=region, cause=cause, actor=actor)

    @rule(place=number)
    def staff_close_an_incident(self, place: int) -> None:
        incident = pick(list(Incident.objects.filter(closed_at=None).order_by("opened_at")), place)
        if incident is not None:
            incidents.close(incident, actor=COMMAND, reason="over")

    @rule(
        surface=st.sampled_from(["lwa", "sellers", "ads"]),
        trouble=st.sampled_from(["server_error", "throttled", "html_error_page"]),
        recovers=often,
    )
    def amazon_has_a_bad_hour(self, surface: str, trouble: str, recovers: bool) -> None:
        """Both organizations check, and others meet the same: an incident opens by itself."""
        grants_before = {grant.pk: grant.status for grant in all_grants()}
        self.amazon.scenario(trouble, surface=surface, times=40)
        for tenant in self.tenants:
            for row in tenant.rows():
                checking.begin_check(connection=row, actor=tenant.actor())
        self.run_due_jobs()
        self.others_fail_too(surface)
        self.the_sweep_comes()
        for grant in all_grants():
            before = grants_before.get(grant.pk, grant.status)
            # The rest of an older refusal may be believed meanwhile; an outage is none.
            assert (before, grant.status) != (Grant.Status.ACTIVE, Grant.Status.INVALID)
        if recovers:
            self.amazon.faults.clear()
            self.let_time_pass(timedelta(minutes=61))
            self.the_sweep_comes()
            self.run_due_jobs()

    def others_fail_too(self, surface: str) -> None:
        minute = timezone.now().replace(second=0, microsecond=0)
        for organization in (self.bystander, *(tenant.organization for tenant in self.tenants)):
            window, _ = CallWindow.objects.get_or_create(
                minute=minute,
                surface=surface,
                region="" if surface == "lwa" else "NA",
                organization_id=organization.pk,
                defaults={"calls": 0, "failures": 0},
            )
            CallWindow.objects.filter(pk=window.pk).update(
                calls=F("calls") + 5, failures=F("failures") + 5
            )

    # The clock ---------------------------------------------------------------------------

    @rule(days=st.sampled_from([3, 29, 65, 180]), works=often)
    def months_pass(self, days: int, works: bool) -> None:
        self.let_time_pass(days * DAY)
        for _ in range(2):
            self.the_sweep_comes()
            if works:
                self.run_due_jobs()
            self.let_time_pass(timedelta(minutes=11))

    def let_time_pass(self, span: timedelta) -> None:
        self.forget_the_process()
        days, self.rest_of_day = divmod(self.rest_of_day + span, DAY)
        # A new one begins, but for the one of a day that goes on.
        Slot.objects.exclude(name="" if days else pruning.SLOT).delete()
        super().let_time_pass(span)
        # By a time in which there is none.
        CallWindow.objects.update(minute=F("minute") - 1000 * A_YEAR)
        CallWindow.objects.update(minute=F("minute") + 1000 * A_YEAR - span)
        self.move_the_days_of_mails(days)
        self.keep_our_secrets(span)
        self.forget_old_trips()

    def move_the_days_of_mails(self, days: int) -> None:
        if days:
            NoticeMail._base_manager.update(day=F("day") - 1000 * A_YEAR)
            NoticeMail._base_manager.update(day=F("day") + 1000 * A_YEAR - days * DAY)

    def keep_our_secrets(self, span: timedelta) -> None:
        """Operators rotate them in time, and people their passwords."""
        User.objects.update(password_set_at=timezone.now())
        with self.amazon.world.lock:
            for application in self.amazon.world.applications.values():
                application.secrets[-1].expires_at += span.total_seconds()

    def forget_the_process(self) -> None:
        breakers.forget()
        incidents.forget()
        outcomes.forget()

    # What must hold ----------------------------------------------------------------------

    @invariant()
    def nothing_is_called_healthy_that_is_not(self) -> None:
        now = timezone.now()
        for model, facts in all_with_health(now):
            health = facts.pop("health")
            grant = model(**facts)
            assert health in Health.values
            if is_flowing(health, facts):
                assert grant.status == Grant.Status.ACTIVE
                assert grant.last_success_at > now - LATEST_PROOF
            if health in (Health.CONNECTED, Health.EXPIRING):
                assert grant.reauthorize_by is None or grant.reauthorize_by > now
            if grant.status == Grant.Status.DISCONNECTED:
                assert health == Health.DISCONNECTED
                assert grant.refresh_token == ""

    @invariant()
    def one_open_incident_for_each_part(self) -> None:
        parts = Incident.objects.filter(closed_at=None).values("surface", "region")
        assert not parts.annotate(open=Count("pk")).filter(open__gt=1).exists()

    @invariant()
    def a_notice_is_made_once_for_its_own_organization(self) -> None:
        steps: Counter[Any] = Counter()
        for notice in Notice._base_manager.select_related("connection", "ads_grant"):
            steps[notice.organization_id, notice.subject_id, notice.consent_at, notice.step] += 1
            subject = notice.connection or notice.ads_grant
            assert subject is None or subject.organization_id == notice.organization_id
        assert [step for step, times in steps.items() if times > 1] == []

    @invariant()
    def a_step_is_mailed_once_to_one_of_its_own_people(self) -> None:
        """A worker that froze in the middle of a mail may send the same one again: rather twice
        than never."""
        claims = self.model.claims
        self.frozen |= {each.job.subject_id for each in claims if each.job.kind == MAIL}
        sent, mail.outbox[:] = list(mail.outbox), []
        for message in sent:
            key = UUID(message.extra_headers["Message-ID"].split(".")[1].partition("@")[0])
            row = NoticeMail._base_manager.get(pk=key)
            assert message.to == [row.user.email]
            members = Membership.objects.for_organization(row.organization_id)
            assert members.filter(user=row.user).exists()
            if key in self.frozen:
                continue
            assert key not in self.mails, "a mail went out twice"
            self.mails.add(key)
            assert row.status == NoticeMail.Status.SENT
            self.check_lines(row)

    def check_lines(self, row: NoticeMail) -> None:
        for line in NoticeLine._base_manager.filter(mail=row).select_related("notice"):
            assert line.notice.organization_id == row.organization_id
            told = (row.user_id, line.notice_id)
            assert told not in self.told, f"told twice: {line.notice}"
            self.told.add(told)

    @invariant()
    def what_is_paused_has_no_work(self) -> None:
        paused = MarketplaceAccount._base_manager.filter(onboarding="paused")
        keys = list(paused.values_list("pk", flat=True))
        assert not Job._base_manager.filter(subject_id__in=keys, status__in=Job.LIVE).exists()

    def finish_everything(self) -> None:
        """While one of refusals is open nothing is believed, and what is doubted waits."""
        for incident in Incident.objects.filter(closed_at=None):
            incidents.close(incident, actor=COMMAND, reason="over")
        super().finish_everything()

    # Helpers -----------------------------------------------------------------------------

    def open_notices(self, organization: Organization) -> list[Notice]:
        found = Notice.objects.for_organization(organization).filter(resolved_at=None)
        return list(found.order_by("created_at", "pk"))

    def row_of(self, organization: Organization, seller: str) -> UUID | None:
        rows = Connection.with_removed.for_organization(organization)
        found: UUID | None = (
            rows.filter(selling_partner_id=seller, region="NA").values_list("pk", flat=True).first()
        )
        return found

    def forget_old_trips(self) -> None:
        """Ended trips are pruned after some time; their browsers are told so, and no more."""
        kept = []
        for trip in self.model.trips:
            with suppress(AuthorizationRequest.DoesNotExist):
                trip.callback.trip.refresh_from_db(fields=["status"])
                kept.append(trip)
        self.model.trips = kept


def set_the_scene(amazon: RunningEmulator) -> None:
    WalkOfYears.amazon = amazon
    first, second = (factories.make_organization(name) for name in ("Northstar", "Blue Harbor"))
    WalkOfYears.bystander = factories.make_organization("Bystander")
    WalkOfYears.tenants = (
        Tenant(first, trips.sign_in(factories.owner_of(first))),
        Tenant(second, trips.sign_in(factories.owner_of(second))),
    )
