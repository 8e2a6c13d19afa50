"""What happened to a connection, in words for the organization's own people.

Read from the audit events of the row and of the Amazon Ads consents that feed it. Of an event's
details only those are shown that the organization wrote itself or that a catalogue translates:
staff's reasons, causes and fingerprints stay with staff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from connections.countries import marketplace_name
from connections.gap_words import gap_words, span_words
from connections.health_models import Capability, DataSet
from connections.models import AdsGrant, Connection
from connections.notice_models import Notice
from connections.notice_words import word_of
from connections.reasons import OUTCOMES, REASONS, SUCCESSES, outcome_title
from connections.timeline_words import CODES, NOT_FOR_TENANTS, SHOWN
from connections.words import Sign, clock_time, exact_day
from sellerlegend.organizations.models import AuditEvent

EVENTS_PER_PAGE = 50

Kind = AuditEvent.ActorKind


@dataclass(frozen=True)
class Line:
    """One event, every string ready."""

    time: str
    sign: Sign
    who: str
    note: str
    reference: str
    has_proof: bool


@dataclass(frozen=True)
class Day:
    day: str
    lines: tuple[Line, ...]


def timeline_context(
    connection: Connection, number: str, names: Mapping[UUID, str]
) -> dict[str, Any]:
    """`names` says which marketplace an account or a link is, by its id."""
    page = page_of(events_of(connection), number)
    days = days_of(list(page.object_list), names)
    return {"connection": connection, "days": days, "page": page}


def page_of(events: QuerySet[AuditEvent], number: str) -> Page[AuditEvent]:
    known = number if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return Paginator(events, EVENTS_PER_PAGE).get_page(known)


def events_of(connection: Connection) -> QuerySet[AuditEvent]:
    """Newest first: of the row, and of the Ads consents that feed it today."""
    rows = Connection.objects.for_organization(connection.organization_id)
    feeding = rows.filter(
        pk=connection.pk, marketplace_accounts__ppc_link__profile__isnull=False
    ).values("marketplace_accounts__ppc_link__profile__grant")
    of_ads = Q(subject_type=AdsGrant._meta.model_name, subject_id__in=feeding)
    events: QuerySet[AuditEvent] = (
        AuditEvent.objects.for_organization(connection.organization_id)
        .filter(Q(connection_id=connection.pk) | of_ads)
        .exclude(code__in=NOT_FOR_TENANTS)
        .select_related("actor")
        .order_by("-at", "-id")
    )
    return events


def days_of(events: list[AuditEvent], names: Mapping[UUID, str]) -> list[Day]:
    days = groupby(events, key=lambda event: timezone.localdate(event.at))
    found = []
    for _day, members in days:
        of_day = list(members)
        lines = tuple(line_of(event, names) for event in of_day)
        found.append(Day(exact_day(of_day[0].at), lines))
    return found


def line_of(event: AuditEvent, names: Mapping[UUID, str]) -> Line:
    where = where_of(event, names)
    return Line(
        time=clock_time(event.at),
        sign=sign_of(event),
        who=who_of(event),
        note=" · ".join(filter(None, (where, note_of(event)))),
        reference=event.reference,
        has_proof=event.code == "connection_disconnected",
    )


def sign_of(event: AuditEvent) -> Sign:
    words, icon, tone = CODES.get(event.code, (_("Something was recorded"), "info", "neutral"))
    words = _by_details(event) or words
    values = {name: str(event.details.get(name, "")) for name in SHOWN}
    return Sign(str(words) % values, icon, tone)


def _by_details(event: AuditEvent) -> str:
    """Where the code alone would say too much, or too little."""
    if event.code == "authorization_ended" and event.details.get("outcome") not in SUCCESSES:
        return _("A trip to Amazon ended without a consent")
    is_active = event.code in ("spapi_grant_active", "ads_grant_active")
    if is_active and event.details.get("reason") == "new_consent":
        return _("A new consent was given")
    return ""


def who_of(event: AuditEvent) -> str:
    """Staff and our operators are Support: which of them is no business of the organization's."""
    if event.actor_kind in (Kind.STAFF, Kind.COMMAND):
        return _("Support")
    if event.actor_kind == Kind.WORKER:
        return _("Automatically")
    if event.actor_kind == Kind.CLIENT:
        return _("The client, by link")
    if event.actor is None and event.code == "authorization_refused":
        return _("Another browser or login")
    if event.actor is None:
        return _("A deleted login")
    return event.actor.name or event.actor.email


def where_of(event: AuditEvent, names: Mapping[UUID, str]) -> str:
    """The marketplace, permission or data set that it was about."""
    details = event.details
    marketplace = marketplace_name(str(details.get("marketplace_id", "")))
    if marketplace:
        return marketplace
    for kind, name in ((Capability, "capability"), (DataSet, "data_set")):
        if details.get(name) in kind.values:
            return str(kind(details[name]).label)
    return names.get(event.subject_id, "") if event.subject_id else ""


def note_of(event: AuditEvent) -> str:
    """Why, where a catalogue knows the reason. Free text is staff's, and not shown."""
    if event.code in ("notice_made", "notice_acknowledged"):
        kind = str(event.details.get("kind", ""))
        why = str(event.details.get("reason", ""))
        return word_of(kind, [why]) if kind in Notice.Kind.values else ""
    if event.code == "access_gap":
        began, ended = (str(event.details.get(f"{name}_at", "")) for name in ("started", "ended"))
        return gap_words(parse_datetime(began), parse_datetime(ended))
    if event.code == "incident_passed":
        began, ended = (str(event.details.get(f"{name}_at", "")) for name in ("began", "ended"))
        return span_words(parse_datetime(began), parse_datetime(ended))
    reason = REASONS.get(str(event.details.get("reason", "")))
    outcome = str(event.details.get("outcome", ""))
    if reason is None and outcome in OUTCOMES:
        return outcome_title(outcome)
    return str(reason.title) if reason else ""
