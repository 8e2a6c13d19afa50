"""T5: any order of what people, workers, Amazon and the clock do, held against a small model.

Two organizations, two sellers, real services, the product's own pages and the fake Amazon. The
model knows who consented to what; after every step the rows, the ledger of jobs, the audit events
and Amazon's own record of calls must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any, ClassVar
from uuid import UUID

import psycopg2
from django.apps import apps
from django.db import connection as database
from django.db import models, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connections import (
    client_links,
    credentials,
    notice_mails,
    superseding,
    token_cache,
    token_imports,
    verification,
)
from connections.client_link_models import ClientLink
from connections.import_models import ImportedToken
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.notice_models import NoticeMail
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces import verification as marketplace_verification
from marketplaces.models import MarketplaceAccount
from ppc import checking, upkeep
from ppc import services as ppc_services
from ppc.disconnecting import Side, disconnect
from ppc.models import PpcLink
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.jobs import budgets, ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import CallWindow, Job, Slot
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import Allowance, AuditEvent, Organization
from sellerlegend.transitions import StaleState
from tests import factories, trips
from tests.amazon_emulator.running import RunningEmulator
from tests.amazon_emulator.wire import sha256
from tests.fuzzing import TIMES
from tests.nothing_changed import DOMAIN

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
SELLERS = (NORTHSTAR, BLUE_HARBOR)
LOGINS = ("ads@northstar.example", "agency@ads.example")
COUNTRIES = ("CA", "MX", "UK")
STORED = frozenset({"connected", "reconnected", "merged", "brought_back"})
QUEUES = ("interactive", "background")
PAGES = ("confirm", "undo", "remove", "read_again", "check")
MACHINES: tuple[Any, ...] = (
    SpApiGrant,
    AdsGrant,
    MarketplaceAccount,
    PpcLink,
    NoticeMail,
    ClientLink,
    ImportedToken,
)
SUBJECTS: dict[str, Any] = {
    marketplace_services.READ: Connection,
    marketplace_services.RESYNC: Connection,
    onboarding.ONBOARD: MarketplaceAccount,
    ppc_services.LINK: PpcLink,
    upkeep.RESYNC: AdsGrant,
    marketplace_verification.VERIFY: Connection,
    marketplace_verification.CHECK: Connection,
    checking.VERIFY: AdsGrant,
    checking.CHECK: AdsGrant,
    notice_mails.MAIL: NoticeMail,
    client_links.MAIL: ClientLink,
    client_links.MAIL_IN_TURN: ClientLink,
    token_imports.IMPORT: ImportedToken,
}
SPAPI_ALONE, BOTH_SIDES = frozenset({Side.SPAPI}), frozenset(Side)
FORCED_KINDS = frozenset(
    {
        marketplace_services.RESYNC,
        upkeep.RESYNC,
        marketplace_verification.CHECK,
        checking.CHECK,
    }
)
QUIET_KINDS = frozenset({marketplace_verification.VERIFY, checking.VERIFY})
QUIET_FOR = timedelta(days=5)
FORGOTTEN = "refused: state_unknown"
WALKS_A_SWEEP = 10
_walks = count(1)


@dataclass
class Tenant:
    organization: Organization
    browser: Client

    def path(self, name: str, row: Connection) -> str:
        return reverse(name, args=[self.organization.slug, row.pk])

    def rows(self) -> list[Connection]:
        found = Connection.objects.for_organization(self.organization)
        return list(found.select_related("organization").order_by("created_at", "pk"))

    def actor(self) -> Actor:
        return Actor.person(factories.owner_of(self.organization))


@dataclass
class Trip:
    """A browser that came back from Amazon; `grant_id` is the consent in Amazon's own books."""

    tenant: Tenant
    callback: trips.Callback
    grant_id: str
    outcome: str = ""


@dataclass
class Model:
    """What must be true, as dictionaries. Consents are named by Amazon's own ids."""

    trips: list[Trip] = field(default_factory=list)
    # Whose consent it is: it may be used for this organization alone.
    owner: dict[str, UUID] = field(default_factory=dict)
    # The consent a row lives on, and those that must never be used again.
    held: dict[UUID, str] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    # The last known status of every row with a state machine.
    status: dict[UUID | None, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)


number = st.integers(min_value=0, max_value=7)
which = st.integers(min_value=0, max_value=1)
often = st.sampled_from([True, True, True, False])


class Walk(RuleBasedStateMachine):
    """Rules pick by number among what there is; without anything to pick they do nothing."""

    amazon: ClassVar[RunningEmulator]
    tenants: ClassVar[tuple[Tenant, Tenant]]

    def __init__(self) -> None:
        super().__init__()
        self.amazon.reset()
        budgets.forget()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.model = Model()
        self.last_event = last_event()
        self.last_call = self.amazon.ledger.last_number
        self.grant_ids: dict[str, str] = {}
        self.known_secrets: set[str] = set()
        self.forced = False

    def teardown(self) -> None:
        try:
            self.finish_everything()
        finally:
            self.take_all_back()

    def take_all_back(self) -> None:
        """Whoever makes a walk by hand has to: it begins a transaction."""
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)
        # The few of the suite leave little, and later tests would be planned for empty tables.
        if TIMES > 1 and next(_walks) % WALKS_A_SWEEP == 0:
            sweep_dead_rows()

    @initialize(seller=st.sampled_from(SELLERS), reads=st.booleans())
    def begin_with_a_store_each(self, seller: str, reads: bool) -> None:
        """Both organizations may hold the same seller: an agency, and the owner."""
        for tenant, theirs in zip(self.tenants, (NORTHSTAR, seller), strict=True):
            factories.make_waiting_connection(tenant.organization, name="Store")
            self.consent(org=self.tenants.index(tenant), row=0, seller=theirs, returns=True)
        if reads:
            self.run_due_jobs()

    # People ------------------------------------------------------------------------------

    @rule(org=which)
    def add_a_row(self, org: int) -> None:
        tenant = self.tenants[org]
        if len(tenant.rows()) < 4:
            factories.make_waiting_connection(tenant.organization)

    @rule(org=which, row=number, seller=st.sampled_from(SELLERS), returns=often)
    def consent(self, org: int, row: int, seller: str, returns: bool) -> None:
        """Start, and Confirm at Amazon: the right account or another one."""
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        if connection is None:
            return
        Allowance.objects.all().delete()  # a walk takes a second, and its trips hours
        callback = trips.confirm(trips.leave(tenant.browser, connection), seller)
        self.remember_trip(tenant, callback)
        if returns:
            self.return_from(self.model.trips[-1])

    @rule(org=which, row=number, login=st.sampled_from(LOGINS), allows=often)
    def consent_to_ads(self, org: int, row: int, login: str, allows: bool) -> None:
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        accounts = [] if connection is None else list(ppc_services.linkable(connection)[:2])
        if connection is None or not accounts:
            return
        chosen = [account.pk for account in accounts]
        url = tenant.path("ppc_connect", connection)
        Allowance.objects.all().delete()
        answer = tenant.browser.post(url, {"account": [str(pk) for pk in chosen], "login": "other"})
        if answer.status_code != 302:
            return  # covered by a consent we hold: linked without a trip
        if allows:
            self.remember_trip(tenant, trips.allow(answer.headers["Location"], login))
            self.return_from(self.model.trips[-1])
        else:
            callback = trips.deny(answer.headers["Location"], login)
            assert trips.come_back(tenant.browser, callback) in ("declined", "row_gone")

    @rule(trip=number)
    def come_back(self, trip: int) -> None:
        """A callback for the first time, or again: the end of the first time stands."""
        found = pick(self.model.trips, trip)
        if found is not None:
            self.return_from(found)

    def return_from(self, found: Trip) -> None:
        is_pruned = self.is_pruned(found)
        outcome = trips.come_back(found.tenant.browser, found.callback)
        assert (outcome == FORGOTTEN) == is_pruned
        if is_pruned:
            if not found.outcome:  # it never came back
                self.model.dead.add(found.grant_id)
            assert self.new_calls() == []
            return
        if found.outcome:
            assert outcome == found.outcome
            assert self.new_calls() == []
            return
        found.outcome = outcome
        # Its proof may have used what is thrown away now.
        self.every_call_is_made_for_the_owner_of_its_token()
        if outcome in STORED:
            self.store(found)
        elif outcome not in ("ads_connected", "ads_renewed"):
            self.model.dead.add(found.grant_id)

    @rule(trip=number)
    def a_stranger_comes_back(self, trip: int) -> None:
        found = pick(self.model.trips, trip)
        if found is None:
            return
        stranger = next(each for each in self.tenants if each is not found.tenant)
        refused = FORGOTTEN if self.is_pruned(found) else "refused: other_browser"
        assert trips.come_back(stranger.browser, found.callback) == refused
        assert self.new_calls() == []

    def is_pruned(self, found: Trip) -> bool:
        """A month after its end a trip is forgotten, and its callback that of no trip."""
        digest = sha256(found.callback.params["state"])
        return not AuthorizationRequest._base_manager.filter(state_hash=digest).exists()

    @rule(org=which, row=number, page=st.sampled_from(PAGES))
    def press(self, org: int, row: int, page: str) -> None:
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        if connection is None:
            return
        answer = tenant.browser.post(tenant.path(f"connection_{page}", connection))
        assert answer.status_code < 500
        if not Connection._base_manager.filter(pk=connection.pk).exists():
            self.bury(connection.pk)

    @rule(org=which, row=number, foreign=number)
    def press_on_somebody_elses_row(self, org: int, row: int, foreign: int) -> None:
        tenant, other = self.tenants[org], self.tenants[1 - org]
        connection = pick(other.rows(), row)
        if connection is None:
            return
        pages = (*PAGES, "authorize", "restore")
        page = pages[foreign % len(pages)]
        path = reverse(f"connection_{page}", args=[tenant.organization.slug, connection.pk])
        assert tenant.browser.post(path).status_code == 404

    @rule(org=which, row=number, works=often)
    def start_onboarding(self, org: int, row: int, works: bool) -> None:
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        if connection is None:
            return
        accounts = list(onboarding.startable(connection).values_list("pk", flat=True))
        url = tenant.path("marketplaces_onboard", connection)
        answer = tenant.browser.post(url, {"account": [str(pk) for pk in accounts]})
        assert answer.status_code < 500
        if works:
            self.run_due_jobs()

    @rule(org=which, row=number, place=number, page=st.sampled_from(["pause", "resume"]))
    def pause_or_resume(self, org: int, row: int, place: int, page: str) -> None:
        """A marketplace in any state, of a row with a consent or without."""
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        accounts = MarketplaceAccount.objects.for_organization(tenant.organization)
        known = list(accounts.filter(connection=connection).order_by("marketplace_id"))
        account = pick(known, place) if connection is not None else None
        if connection is None or account is None:
            return
        ids = [tenant.organization.slug, connection.pk, account.pk]
        Allowance.objects.all().delete()
        answer = tenant.browser.post(reverse(f"marketplace_{page}", args=ids))
        assert answer.status_code == 303
        was = account.onboarding
        account.refresh_from_db()
        if (was, account.onboarding) == ("paused", "working"):
            assert factories.grant_of(connection).status != "disconnected"

    @rule(org=which, row=number, sides=st.sampled_from([SPAPI_ALONE, BOTH_SIDES]))
    def disconnect(self, org: int, row: int, sides: frozenset[Side]) -> None:
        tenant = self.tenants[org]
        connection = pick(tenant.rows(), row)
        if connection is None or connection.waits_for_consent:
            return
        if Side.SPAPI in disconnect(connection=connection, sides=sides, actor=tenant.actor()):
            self.bury(connection.pk)

    # Staff and operators -----------------------------------------------------------------

    @rule(org=which, row=number)
    def an_operator_resyncs(self, org: int, row: int) -> None:
        connection = pick(self.tenants[org].rows(), row)
        if connection is not None and not connection.waits_for_consent:
            marketplace_services.begin_resync(connection=connection)
            for grant in upkeep.askable_grants(connection):
                upkeep.begin_grant_resync(grant=grant, actor=COMMAND)

    @rule(org=which, row=number)
    def staff_require_a_new_consent(self, org: int, row: int) -> None:
        connection = pick(self.tenants[org].rows(), row)
        if connection is None or connection.waits_for_consent:
            return
        grant = factories.grant_of(connection)
        superseding.require_reconnect(grant, actor=COMMAND, reason="staff")

    @rule(org=which, row=number, force=st.booleans())
    def ask_for_a_token(self, org: int, row: int, force: bool) -> None:
        connection = pick(self.tenants[org].rows(), row)
        if connection is None or connection.waits_for_consent:
            return
        with self.acting_for(connection.organization_id, force=force), suppress(AmazonError):
            credentials.access_token(factories.grant_of(connection), force=force)

    # Workers -----------------------------------------------------------------------------

    @rule()
    def workers_run(self) -> None:
        self.run_due_jobs()

    @rule(job=number)
    def a_worker_crashes_after_its_claim(self, job: int) -> None:
        claim = ledger.claim(due) if (due := pick(due_jobs(), job)) else None
        if claim is not None:
            self.model.claims.append(claim)

    @precondition(lambda self: self.model.claims)
    @rule()
    def a_frozen_worker_wakes_up(self) -> None:
        """Perhaps its lease is still good, perhaps not; the fence knows."""
        claim = self.model.claims.pop()
        force = may_revive(claim.job)
        with self.acting_for(claim.job.organization_id, force=force), suppress(StaleState):
            claim.kind.run(claim)

    @rule()
    def the_sweep_comes(self) -> None:
        ledger.sweep()
        self.bury_the_missing()

    # Amazon ------------------------------------------------------------------------------

    @rule(who=st.sampled_from([*SELLERS, *LOGINS]), quarters=st.integers(0, 3))
    def somebody_revokes(self, who: str, quarters: int) -> None:
        """And the product may notice, one quarter of an hour after the other."""
        self.amazon.world.revoke(who)
        for _ in range(quarters):
            for tenant in self.tenants:
                for connection in tenant.rows():
                    if not connection.waits_for_consent:
                        marketplace_services.begin_reading(connection=connection)
            self.run_due_jobs()
            self.let_time_pass(timedelta(minutes=16))
            for grant in all_grants():
                token_cache.drop(token_cache.key_of(grant))

    @rule()
    def amazon_takes_it_back(self) -> None:
        """The revocation was Amazon's mistake: every consent works again."""
        with self.amazon.world.lock:
            for grant in self.amazon.world.grants.values():
                grant.revoked_at = None

    @rule(
        surface=st.sampled_from(["lwa", "sellers", "ads"]),
        trouble=st.sampled_from(["server_error", "throttled", "html_error_page"]),
    )
    def amazon_has_a_bad_moment(self, surface: str, trouble: str) -> None:
        self.amazon.scenario(trouble, surface=surface, times=1)

    @rule(seller=st.sampled_from(SELLERS), country=st.sampled_from(COUNTRIES), adds=st.booleans())
    def a_marketplace_comes_or_goes(self, seller: str, country: str, adds: bool) -> None:
        account = self.amazon.world.sellers[seller]
        if adds:
            account.add_marketplace(country)
        else:
            account.lose_marketplace(country)

    # The clock ---------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 3, 16, 70, 1500]), works=often)
    def time_passes(self, minutes: int, works: bool) -> None:
        self.let_time_pass(timedelta(minutes=minutes))
        if works:
            self.run_due_jobs()

    def let_time_pass(self, span: timedelta) -> None:
        """Every stored time is so much longer ago; Amazon's clock goes with it."""
        if span >= timedelta(hours=1):
            for grant in all_grants():
                token_cache.drop(token_cache.key_of(grant))
        move_times_back(span)
        self.amazon.advance_clock(span.total_seconds())
        # By the clock that nobody sets: all that was held has long been let out.
        budgets.forget()

    # What must hold ----------------------------------------------------------------------

    @invariant()
    def one_live_consent_for_each_seller(self) -> None:
        held = Connection._base_manager.filter(selling_partner_id__isnull=False)
        keys = list(held.values_list("organization_id", "selling_partner_id", "region"))
        assert len(keys) == len(set(keys))
        for row in held:
            assert SpApiGrant._base_manager.filter(connection=row).count() == 1

    @invariant()
    def every_call_is_made_for_the_owner_of_its_token(self) -> None:
        for entry in self.new_calls():
            self.check_call(entry, acting_for=None)
        self.last_call = self.amazon.ledger.last_number

    @invariant()
    def live_work_has_a_subject_and_subjects_have_their_work(self) -> None:
        live = list(Job._base_manager.filter(status__in=Job.LIVE))
        for job in live:
            subject = SUBJECTS[job.kind]._base_manager.filter(pk=job.subject_id).first()
            assert subject is not None, f"live {job.kind} without a subject"
            assert subject.owner_id() == job.organization_id
        busy = {job.subject_id for job in live}
        accounts = MarketplaceAccount._base_manager.filter(onboarding="working")
        links = PpcLink._base_manager.filter(status="working")
        for pk in [*accounts.values_list("pk", flat=True), *links.values_list("pk", flat=True)]:
            assert pk in busy, "working, and nobody works on it"

    @invariant()
    def every_change_of_state_was_allowed_and_recorded(self) -> None:
        tables = {machine._meta.model_name: machine.TRANSITIONS for machine in MACHINES}
        for event in AuditEvent._base_manager.filter(pk__gt=self.last_event).order_by("pk"):
            self.last_event = event.pk
            table = tables.get(event.subject_type)
            if table is None or "from" not in event.details:
                continue
            before, after = event.details["from"], event.details["to"]
            assert after in table[before], f"{event.subject_type}: {before} to {after}"
            assert self.model.status.get(event.subject_id, before) == before
            self.model.status[event.subject_id] = after
            if event.subject_type.endswith("grant") and after == "active":
                self.check_trust(before, event.details.get("reason", ""))
        for machine in MACHINES:
            for pk, status in machine._base_manager.values_list("pk", machine.STATUS_FIELD):
                assert self.model.status.setdefault(pk, status) == status, "changed in silence"

    def check_trust(self, before: str, reason: str) -> None:
        """An invalid consent comes back by a new one, by somebody's forced refresh, or by the
        quiet question whether Amazon still ends it."""
        if before == Grant.Status.DISCONNECTED:
            assert reason == "new_consent"
        if before == Grant.Status.INVALID and reason != "new_consent":
            assert reason in ("refresh_succeeded", "call_succeeded")
            assert self.forced, "an invalid consent came back by itself"

    # Helpers -----------------------------------------------------------------------------

    def remember_trip(self, tenant: Tenant, callback: trips.Callback) -> None:
        code = callback.params.get("spapi_oauth_code") or callback.params["code"]
        grant_id = self.amazon.world.codes[sha256(code)].grant_id
        self.model.owner[grant_id] = tenant.organization.pk
        self.model.trips.append(Trip(tenant, callback, grant_id))

    def store(self, trip: Trip) -> None:
        row = trip.callback.trip.connection_id
        assert row is not None
        before = self.model.held.get(row)
        if before is not None:
            self.model.dead.add(before)
        self.model.held[row] = trip.grant_id
        self.bury_the_missing()

    def bury_the_missing(self) -> None:
        alive = set(Connection._base_manager.values_list("pk", flat=True))
        for row in set(self.model.held) - alive:
            self.bury(row)

    def bury(self, row: UUID) -> None:
        grant_id = self.model.held.pop(row, None)
        if grant_id is not None:
            self.model.dead.add(grant_id)

    @contextmanager
    def acting_for(self, organization_id: UUID, *, force: bool) -> Iterator[None]:
        """Whatever is sent inside is sent for this organization."""
        self.last_call = self.amazon.ledger.last_number
        self.forced = force
        yield
        for entry in self.new_calls():
            self.check_call(entry, acting_for=organization_id)
        self.last_call = self.amazon.ledger.last_number
        self.every_change_of_state_was_allowed_and_recorded()
        self.forced = False

    def new_calls(self) -> list[Any]:
        surfaces = ("lwa", "sellers", "ads")
        calls = self.amazon.ledger.calls(since=self.last_call)
        return [call for call in calls if call.surface in surfaces]

    def check_call(self, entry: Any, *, acting_for: UUID | None) -> None:
        if entry.operation == "authorization_code":
            return
        grant_id = self.grant_of(entry.token_sha256)
        assert grant_id in self.model.owner, f"{entry.surface}: a token nobody was given"
        assert acting_for in (None, self.model.owner[grant_id]), "another organization's token"
        assert grant_id not in self.model.dead, f"{entry.surface}: a destroyed consent was used"

    def grant_of(self, token_sha256: str) -> str:
        world = self.amazon.world
        if token_sha256 in world.refresh_tokens:
            return world.refresh_tokens[token_sha256]
        fresh = self.amazon.issued_secrets() - self.known_secrets
        self.known_secrets |= fresh
        for secret in fresh:
            token = world.signer.read(secret)
            if token is not None:
                self.grant_ids[sha256(secret)] = token.grant_id
        return self.grant_ids.get(token_sha256, "")

    def run_due_jobs(self) -> None:
        for _ in range(10):
            due = due_jobs()
            if not due:
                return
            for job_id in due:
                job = Job._base_manager.get(pk=job_id)
                with self.acting_for(job.organization_id, force=may_revive(job)):
                    ledger.run(job_id)

    def finish_everything(self) -> None:
        """Left alone with a healthy Amazon, everything comes to an end."""
        self.amazon.faults.clear()
        left = Job._base_manager.filter(status__in=Job.LIVE)
        for _ in range(12):
            if not left.exists():
                break
            self.let_time_pass(timedelta(minutes=20))
            ledger.recover_lost()
            self.run_due_jobs()
        stranded = list(left.values_list("kind", "status", "waiting_reason", "last_error_code"))
        assert stranded == [], f"stranded: {stranded}"
        self.every_change_of_state_was_allowed_and_recorded()


def pick(found: list[Any], position: int) -> Any:
    return found[position % len(found)] if found else None


def may_revive(job: Job) -> bool:
    """By hand, or the quiet question about a consent that Amazon itself ended some days ago."""
    if job.kind not in QUIET_KINDS:
        return job.kind in FORCED_KINDS
    key = "connection_id" if SUBJECTS[job.kind] is Connection else "pk"
    model = SpApiGrant if SUBJECTS[job.kind] is Connection else AdsGrant
    ended = model._base_manager.filter(
        **{key: job.subject_id},
        last_error_code__in=verification.ENDED_BY_AMAZON,
        status_changed_at__gt=timezone.now() - QUIET_FOR,
    )
    return bool(ended.exists())


def due_jobs() -> list[UUID]:
    return [job_id for queue in QUEUES for job_id in ledger.due_jobs(queue)]


def last_event() -> int:
    return AuditEvent._base_manager.order_by("-pk").values_list("pk", flat=True).first() or 0


def all_grants() -> list[Any]:
    return [*SpApiGrant._base_manager.all(), *AdsGrant._base_manager.all()]


def move_times_back(span: timedelta) -> None:
    """In one round trip where the database can: a run does this many thousand times."""
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute(_statements_that_move_times(), {"seconds": span.total_seconds()})
        return
    for model in domain_models():
        if names := _times_of(model):
            model._base_manager.update(**{name: F(name) - span for name in names})


def sweep_dead_rows() -> None:
    """What walks took back stays in the tables until somebody vacuums them, and PostgreSQL hears of
    it only when the transaction ends that is around all walks."""
    if database.vendor != "postgresql":
        return
    other = psycopg2.connect(**database.get_connection_params())
    with closing(other), other.cursor() as cursor:
        other.autocommit = True
        for model in domain_models():
            cursor.execute(f"VACUUM (TRUNCATE FALSE) {model._meta.db_table}")


@cache
def _statements_that_move_times() -> str:
    earlier = "{0} = {0} - INTERVAL '1 second' * %(seconds)s"
    return ";".join(
        f"UPDATE {model._meta.db_table} SET {', '.join(map(earlier.format, names))}"
        for model in domain_models()
        if (names := _times_of(model))
    )


def _times_of(model: Any) -> list[str]:
    """Of a call window or a slot none: there is one for each minute, and one that is moved to the
    minute of another meets it there, although both go. Who moves time looks after them."""
    if model in (CallWindow, Slot):
        return []
    fields = model._meta.fields
    return [item.attname for item in fields if isinstance(item, models.DateTimeField)]


def domain_models() -> list[Any]:
    return [
        model
        for label in DOMAIN
        for model in apps.get_app_config(label).get_models()
        if model is not AuditEvent
    ]
