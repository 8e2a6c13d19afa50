"""Which consents lack a notice that the facts ask for: of every organization, by few statements,
each written once (`PreparedQuery`), since the sweep asks for all of them once a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from connections.attention import linked_to
from connections.health import met_incident, newest_role, news_of_role, was_lost_early
from connections.models import (
    ADS_YEAR_RULE_SINCE,
    CONSENT_DAYS,
    AdsGrant,
    Connection,
    Grant,
    SpApiGrant,
)
from connections.notice_models import Notice
from sellerlegend.prepared import PreparedQuery

Kind = Notice.Kind
AnyModel = type[SpApiGrant] | type[AdsGrant]

LADDER = (60, 30, 14, 7, 1)
YEAR = timedelta(days=CONSENT_DAYS)
# What came true longer ago is no news, and notices are pruned one day.
NEWS_FOR = timedelta(days=30)
# A permission that comes and goes with every call is told once a week.
PERMISSION_TOLD_EVERY = timedelta(days=7)
# How the step of a notice begins that tells of a new role of our application.
ROLE_STEP = "role "
BATCH = 500
# What a notice says of its consent.
COLUMNS = ("pk", "owner", "authorized_at", "authorized_by_id", "status_changed_at")


def due_notices(model: AnyModel, now: datetime) -> Iterator[Notice]:
    """Not stored yet. At most `BATCH` of each kind."""
    for days, next_days in zip(LADDER, (*LADDER[1:], 0), strict=True):
        step = f"{days} days"
        for consent in near_their_end(model).rows(
            step=step,
            latest=now - YEAR + timedelta(days=days),
            earliest=now - YEAR + timedelta(days=next_days),
        ):
            at = consent["authorized_at"] + YEAR - timedelta(days=days)
            yield notice_of(model, consent, Kind.EXPIRING, step, at, days=days)
    for consent in expired(model).rows(latest=now - YEAR, earliest=now - YEAR - NEWS_FOR):
        at = consent["authorized_at"] + YEAR
        yield notice_of(model, consent, Kind.EXPIRED, "expired", at)
    for consent in revoked(model).rows(earliest=now - NEWS_FOR):
        at = consent["status_changed_at"]
        reason = revoked_reason(consent["last_error_code"])
        step = f"revoked {at.isoformat()}"
        yield notice_of(model, consent, Kind.REVOKED, step, at, reason=reason)
    yield from due_for_permissions(model, now)


def due_for_permissions(model: AnyModel, now: datetime) -> Iterator[Notice]:
    """One for each consent, also where Amazon refused it and a new role is news besides."""
    moments = {"earliest": now - NEWS_FOR, "year_ago": now - YEAR}
    told = set()
    for consent in older_than_a_role(model).rows(**moments):
        told.add(consent["pk"])
        entered_at = consent["role_since"]
        at = max(entered_at, consent["permission_missing_since"] or entered_at)
        step = f"{ROLE_STEP}{entered_at.isoformat()}"
        yield notice_of(model, consent, Kind.PERMISSION_MISSING, step, at)
    for consent in without_permission(model).rows(**moments):
        if consent["pk"] not in told:
            at = consent["permission_missing_since"]
            week = f"permission missing {at:%G-W%V}"
            yield notice_of(model, consent, Kind.PERMISSION_MISSING, week, at)


def notice_of(
    model: AnyModel, consent: dict[str, Any], kind: str, step: str, at: datetime, **facts: Any
) -> Notice:
    """Of a consent's `COLUMNS`, and `connection_id` where it has one."""
    of_ads = {"ads_grant_id": consent["pk"]}
    of_spapi = {"connection_id": consent.get("connection_id")}
    return Notice(
        organization_id=consent["owner"],
        subject_id=consent["pk"],
        consent_at=consent["authorized_at"],
        authorized_by_id=consent["authorized_by_id"],
        kind=kind,
        step=step,
        occurred_at=at,
        **facts,
        **(of_ads if model is AdsGrant else of_spapi),
    )


def revoked_reason(error_code: str) -> str:
    """Whose words tell it: Amazon's refusal, our staff's wish, or our vault's."""
    return error_code if error_code in ("reconnect_required", "vault_locked") else "grant_invalid"


# The statements ----------------------------------------------------------------------------


@cache
def near_their_end(model: AnyModel) -> PreparedQuery:
    """Between this step of the ladder and the next: a step that was slept through is not told."""

    def build(step: str, latest: datetime, earliest: datetime) -> QuerySet[Any, Any]:
        living = _with_an_end(model).filter(
            status__in=[Grant.Status.ACTIVE, Grant.Status.DOUBTED],
            authorized_at__lte=latest,
            authorized_at__gt=earliest,
        )
        return _lacking(living, kind=Kind.EXPIRING, step=step).values(*columns_of(model))

    return PreparedQuery(build, step=str, latest=datetime, earliest=datetime)


@cache
def expired(model: AnyModel) -> PreparedQuery:
    """A year has passed, whether Amazon has refused it yet or not; told as a revocation before
    that, it is not told again."""

    def build(latest: datetime, earliest: datetime) -> QuerySet[Any, Any]:
        over = _with_an_end(model).filter(authorized_at__lte=latest, authorized_at__gt=earliest)
        living = over.exclude(status=Grant.Status.DISCONNECTED).exclude(was_lost_early())
        return _lacking(living, kind=Kind.EXPIRED).values(*columns_of(model))

    return PreparedQuery(build, latest=datetime, earliest=datetime)


@cache
def revoked(model: AnyModel) -> PreparedQuery:
    def build(earliest: datetime) -> QuerySet[Any, Any]:
        invalid = model.objects.filter(status=Grant.Status.INVALID, status_changed_at__gt=earliest)
        within_its_year = was_lost_early()
        if model is AdsGrant:
            within_its_year |= Q(authorized_at__lt=ADS_YEAR_RULE_SINCE)
        else:
            within_its_year |= Q(is_consent_dated=False)
        found = _lacking(
            invalid.filter(within_its_year),
            kind=Kind.REVOKED,
            occurred_at=OuterRef("status_changed_at"),
        )
        return found.values(*columns_of(model), "last_error_code")

    return PreparedQuery(build, earliest=datetime)


@cache
def without_permission(model: AnyModel) -> PreparedQuery:
    """Amazon refused a call for want of a role."""

    def build(earliest: datetime, year_ago: datetime) -> QuerySet[Any, Any]:
        found = _in_want_of_a_permission(model, year_ago).filter(
            permission_missing_since__gt=earliest
        )
        lacking = _lacking(
            found,
            kind=Kind.PERMISSION_MISSING,
            occurred_at__gt=OuterRef("permission_missing_since") - PERMISSION_TOLD_EVERY,
        )
        return lacking.values(*columns_of(model), "permission_missing_since")

    return PreparedQuery(build, earliest=datetime, year_ago=datetime)


@cache
def older_than_a_role(model: AnyModel) -> PreparedQuery:
    """Our application has a role that the consent is older than; news since that was written down,
    whatever was told of the consent before."""

    def build(earliest: datetime, year_ago: datetime) -> QuerySet[Any, Any]:
        found = (
            _in_want_of_a_permission(model, year_ago)
            .filter(authorized_at__lt=newest_role(model.application))
            .annotate(role_since=news_of_role(model.application))
            .filter(role_since__gt=earliest)
        )
        lacking = _lacking(
            found, kind=Kind.PERMISSION_MISSING, occurred_at__gte=OuterRef("role_since")
        )
        return lacking.values(*columns_of(model), "permission_missing_since", "role_since")

    return PreparedQuery(build, earliest=datetime, year_ago=datetime)


def _in_want_of_a_permission(model: AnyModel, year_ago: datetime) -> QuerySet[Any]:
    """Those that may be. One that is doubted or over has other troubles. Held while an incident
    could be the cause; judged again after it."""
    rows: QuerySet[Any] = model.objects.filter(
        within_its_year(model, year_ago), status=Grant.Status.ACTIVE
    )
    return rows.exclude(held_by_incident(model))


def columns_of(model: AnyModel) -> tuple[str, ...]:
    return (*COLUMNS, "connection_id") if model is SpApiGrant else COLUMNS


def held_by_incident(model: AnyModel) -> Q:
    """Consents whose alarms wait: Amazon has an incident that they met. For anybody who derives
    something from a failed call; a revocation, and the end of a year, never wait."""
    region = "connection__region" if model is SpApiGrant else ""
    return met_incident(model.application, "", region)


def within_its_year(model: AnyModel, year_ago: datetime) -> Q:
    """Of a consent: its end has not come, or is not known."""
    if model is SpApiGrant:
        return Q(authorized_at__gt=year_ago) | Q(is_consent_dated=False)
    return Q(authorized_at__gt=year_ago) | Q(authorized_at__lt=ADS_YEAR_RULE_SINCE)


def _with_an_end(model: AnyModel) -> QuerySet[Any]:
    has_one: dict[str, Any] = {"is_consent_dated": True}
    if model is AdsGrant:
        has_one = {"authorized_at__gte": ADS_YEAR_RULE_SINCE}
    rows: QuerySet[Any] = model.objects.filter(**has_one)
    return rows


def _lacking(rows: QuerySet[Any], **told: Any) -> QuerySet[Any, Any]:
    """Those of an organization that lives and has not been told this of this consent; of Amazon
    Ads only what a row uses."""
    model = rows.model
    if model is AdsGrant:
        rows = rows.filter(is_used())
    same = Notice.objects.filter(
        subject_id=OuterRef("pk"), consent_at=OuterRef("authorized_at"), **told
    )
    living = rows.filter(**{f"{model.organization_path}__deleted_at": None})
    lacking = living.exclude(Exists(same)).order_by("pk")
    found: QuerySet[Any, Any] = lacking.annotate(owner=F(f"{model.organization_path}_id"))[:BATCH]
    return found


def is_used() -> Exists:
    """Of an Ads consent, while every organization is looked at."""
    return Exists(Connection.objects.filter(linked_to(grant=OuterRef("pk"))))
