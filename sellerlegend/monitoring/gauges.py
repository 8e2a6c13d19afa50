"""Gauges counted from the rows at the moment of the scrape: a few grouped queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from connections import verification
from connections.health import Health, health_of, moments
from connections.models import CONSENT_DAYS, AdsGrant, Connection, Grant, SpApiGrant
from connections.refusals import VAULT_LOCKED
from marketplaces.models import MarketplaceAccount
from ppc import erasure, pruning
from ppc.models import PpcLink
from sellerlegend.applications import upkeep
from sellerlegend.applications.ages import secret_ages
from sellerlegend.applications.models import LwaApplication
from sellerlegend.celery import QUEUES
from sellerlegend.jobs import ledger
from sellerlegend.jobs.incidents import PARTS
from sellerlegend.jobs.models import Breaker, Incident, Job
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.models import VaultUse
from sellerlegend.organizations.scoping import across_organizations

Values = Iterator[tuple[tuple[str, ...], float]]

GRANTS: dict[str, type[SpApiGrant] | type[AdsGrant]] = {"spapi": SpApiGrant, "ads": AdsGrant}
IN_USE = (Grant.Status.ACTIVE, Grant.Status.DOUBTED)
WITHIN_DAYS = (1, 7, 14, 30, 90, CONSENT_DAYS)
DAY = timedelta(days=1)
# A proof comes once a day; what Amazon postpones may take hours more.
VERIFICATION_BEHIND = timedelta(days=1) + timedelta(hours=12)
NOTHING_DUE = dict.fromkeys(QUEUES, 0.0)
GIVEN_UP_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Gauge:
    """`count` yields the values of the labels, and the number."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    count: Callable[[], Values]


def grants() -> Values:
    for kind, model in GRANTS.items():
        numbers = dict(model.objects.order_by().values_list("status").annotate(Count("pk")))
        for status in Grant.Status.values:
            yield (kind, status), numbers.get(status, 0)


def connections() -> Values:
    """As the rows of people show it: Selling Partner by row, PPC by consent, which may feed
    several. Every state, so that an end is a 0 and no missing number."""
    at = moments()
    spapi = health_of(LwaApplication.SPAPI, at, prefix="spapi_grant__", region="region")
    sides = {
        "spapi": Connection.objects.annotate(health=spapi),
        "ads": AdsGrant.objects.annotate(health=health_of(LwaApplication.ADS, at)),
    }
    for side, rows in sides.items():
        numbers = dict(rows.order_by().values_list("health").annotate(Count("pk")))
        for state in Health:
            yield (state.value, side), numbers.get(state.value, 0)


def verification_overdue() -> Values:
    """Consents in use without a proof for a day and a half."""
    long_ago = timezone.now() - VERIFICATION_BEHIND
    behind = Q(verified_at__lt=long_ago) | Q(verified_at=None, authorized_at__lt=long_ago)
    for kind, model in GRANTS.items():
        living = model.objects.filter(status__in=verification.LIVING)
        yield (kind,), living.filter(behind).count()


def grants_ending() -> Values:
    """Grants in use that Amazon ends within so many days; past their day they still count."""
    now = timezone.now()
    for kind, model in GRANTS.items():
        soon = {
            f"within_{days}": Count(
                "pk", filter=Q(authorized_at__lt=now + DAY * (days - CONSENT_DAYS))
            )
            for days in WITHIN_DAYS
        }
        numbers = _with_a_known_day(model).aggregate(**soon)
        for days in WITHIN_DAYS:
            yield (kind, str(days)), numbers[f"within_{days}"]


def days_to_first_end() -> Values:
    """No value for a kind without a grant in use."""
    for kind, model in GRANTS.items():
        oldest = _with_a_known_day(model).aggregate(at=Min("authorized_at"))["at"]
        if oldest is not None:
            yield (kind,), (oldest + DAY * CONSENT_DAYS - timezone.now()) / DAY


def _with_a_known_day(model: type[Any]) -> QuerySet[Any]:
    """Grants in use, without imported ones whose day of consent nobody knows."""
    rows: QuerySet[Any] = model.objects.filter(status__in=IN_USE)
    return rows.filter(is_consent_dated=True) if model is SpApiGrant else rows


def jobs() -> Values:
    rows = Job.objects.order_by().values_list("kind", "status").annotate(Count("pk"))
    for kind, status, number in rows:
        yield (kind, status), number


def jobs_given_up() -> Values:
    """Not what was cancelled with its row: a person wanted that. Every kind, so that an end is a
    0 and no missing number."""
    lately = Job.objects.filter(
        status=Job.Status.DEAD, finished_at__gt=timezone.now() - GIVEN_UP_WITHIN
    ).exclude(last_error_code=ledger.CANCELLED)
    numbers = dict(lately.order_by().values_list("kind").annotate(Count("pk")))
    for kind, number in (dict.fromkeys(ledger.KINDS, 0) | numbers).items():
        yield (kind,), number


def marketplace_accounts() -> Values:
    rows = MarketplaceAccount.objects.order_by().values_list("onboarding").annotate(Count("pk"))
    yield from (((state,), number) for state, number in rows)


def ppc_links() -> Values:
    rows = PpcLink.objects.order_by().values_list("status").annotate(Count("pk"))
    yield from (((status,), number) for status, number in rows)


def queue_age() -> Values:
    yield from (((queue,), age) for queue, age in (NOTHING_DUE | ledger.queue_ages()).items())


def sweep_age() -> Values:
    at = ledger.last_sweep_at()
    if at is not None:
        yield (), (timezone.now() - at).total_seconds()


def prune_age() -> Values:
    at = pruning.last_prune_at()
    if at is not None:
        yield (), (timezone.now() - at).total_seconds()


def erasures_overdue() -> Values:
    yield (), erasure.overdue()


def secret_days_left() -> Values:
    for age in secret_ages():
        if age.is_newest:
            yield (age.application,), age.days_left


def secret_refused() -> Values:
    """1 while Login with Amazon refuses the one in force, which it never is while another one
    works, or since the Selling Partner API called it too old."""
    for age in secret_ages():
        if age.is_newest:
            yield (age.application,), age.is_refused


def fallback_uses() -> Values:
    """Above 0 after a rotation: Amazon refused the new secret, and the old one ends soon."""
    uses: Counter[str] = Counter()
    for age in secret_ages():
        uses[age.application] += age.fallback_uses
    yield from (((application,), number) for application, number in uses.items())


def breakers() -> Values:
    """1 while nobody calls it. Those of our own clients are one: secrets change their names."""
    now = timezone.now()
    is_open: dict[str, bool] = {}
    for name, until in Breaker.objects.values_list("name", "open_until"):
        part = "client" if name.startswith("client.") else name
        is_open[part] = is_open.get(part, False) or (until is not None and until > now)
    yield from (((part,), value) for part, value in is_open.items())


def incidents_open() -> Values:
    """Of every part of Amazon, so that an end is a 0 and no missing number."""
    found = set(Incident.objects.filter(closed_at=None).values_list("surface", "region"))
    yield from (((surface, region), (surface, region) in found) for surface, region in PARTS)


def locked_organizations() -> Values:
    yield (), custody.unreadable_organizations()


def unreadable_client_secrets() -> Values:
    yield (), upkeep.unreadable_secrets()


def quarantined() -> Values:
    now = quarantine.cause()
    yield from (((cause,), cause == now) for cause in quarantine.CAUSES)


def data_keys() -> Values:
    """How many data keys each key of the ring wraps, of organizations and of client secrets: one
    may be retired at 0. Also those of a key that is not loaded."""
    counts = custody.rows_by_key()
    for kid in dict.fromkeys([*settings.TOKEN_ENCRYPTION_KEYS, *counts]):
        yield (kid,), counts[kid]


def locked_grants() -> Values:
    for kind, model in GRANTS.items():
        yield (kind,), model.objects.filter(last_error_code=VAULT_LOCKED).count()


def openings_today() -> Values:
    uses = VaultUse.objects.filter(day=timezone.now().date()).order_by()
    for purpose, number in uses.values_list("purpose").annotate(Sum("count")):
        yield (purpose,), number


GAUGES = (
    Gauge("grants", "Consents by kind and state", ("kind", "state"), grants),
    Gauge(
        "connections",
        "Rows by health of Selling Partner, and Ads consents by theirs",
        ("health", "side"),
        connections,
    ),
    Gauge(
        "verification_overdue",
        "Consents in use without a proof for a day and a half",
        ("kind",),
        verification_overdue,
    ),
    Gauge(
        "grants_ending",
        "Consents in use that end within so many days",
        ("kind", "within_days"),
        grants_ending,
    ),
    Gauge(
        "grant_days_left",
        "Days until the first consent in use ends",
        ("kind",),
        days_to_first_end,
    ),
    Gauge("jobs", "Jobs of the ledger by kind and status", ("kind", "status"), jobs),
    Gauge(
        "jobs_given_up_last_hour",
        "Jobs that were given up within the last hour, without cancelled ones",
        ("kind",),
        jobs_given_up,
    ),
    Gauge(
        "marketplace_accounts",
        "Marketplaces of sellers by state of their onboarding",
        ("state",),
        marketplace_accounts,
    ),
    Gauge("ppc_links", "Links to Ads profiles by state", ("state",), ppc_links),
    Gauge("queue_age_seconds", "How long the longest due job is overdue", ("queue",), queue_age),
    Gauge("sweep_age_seconds", "Time since the last sweep", (), sweep_age),
    Gauge("prune_age_seconds", "Time since a day's pruning came to its end", (), prune_age),
    Gauge(
        "erasures_overdue",
        "Organizations, connections and consents whose erasure is late",
        (),
        erasures_overdue,
    ),
    Gauge(
        "undecryptable_organizations",
        "Organizations whose data key does not open",
        (),
        locked_organizations,
    ),
    Gauge(
        "undecryptable_client_secrets",
        "Client secrets of ours whose data key does not open",
        (),
        unreadable_client_secrets,
    ),
    Gauge(
        "client_secret_days_left",
        "Days until Amazon ends our newest client secret",
        ("application",),
        secret_days_left,
    ),
    Gauge(
        "client_secret_refused",
        "1 while Amazon refuses our client secret in force, or calls it too old",
        ("application",),
        secret_refused,
    ),
    Gauge(
        "client_secret_fallback_uses",
        "Uses of an older client secret after a newer one had come",
        ("application",),
        fallback_uses,
    ),
    Gauge("breaker_open", "1 while a part of Amazon is not called", ("part",), breakers),
    Gauge(
        "incidents_open",
        "1 while a part of Amazon fails for many organizations",
        ("surface", "region"),
        incidents_open,
    ),
    Gauge("locked_grants", "Consents whose stored text does not open", ("kind",), locked_grants),
    Gauge(
        "vault_openings_today",
        "Times that long-lived secrets were opened today, or tried to be, UTC",
        ("purpose",),
        openings_today,
    ),
    Gauge("quarantined", "1 while Amazon is not asked, by cause", ("cause",), quarantined),
    Gauge("data_keys", "Data keys wrapped by each key of the ring", ("kid",), data_keys),
)


def collect() -> Iterator[Metric]:
    with across_organizations("metrics count, and name nobody"):
        for gauge in GAUGES:
            family = GaugeMetricFamily(
                f"sellerlegend_{gauge.name}", gauge.meaning, labels=gauge.labels
            )
            for labels, value in gauge.count():
                family.add_metric(labels, value)
            yield family
