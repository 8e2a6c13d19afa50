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
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from connections.countries import marketplace_name
from connections.health_models import Capability, DataSet
from connections.models import AdsGrant, Connection
from connections.notice_models import Notice
from connections.reasons import OUTCOMES, REASONS, SUCCESSES
from connections.words import Sign, clock_time, exact_day
from sellerlegend.organizations.models import AuditEvent

EVENTS_PER_PAGE = 50

Kind = AuditEvent.ActorKind
Words = str | Promise

# (words, icon, tone). Words may hold details named in SHOWN.
CODES: dict[str, tuple[Words, str, str]] = {
    # The row
    "connection_created": (_lazy("Connection added"), "plus", "neutral"),
    "connection_renamed": (_lazy("Renamed from “%(old)s” to “%(new)s”"), "info", "neutral"),
    "connection_confirmed": (_lazy("Confirmed that it is the right store"), "check", "success"),
    "connection_undone": (_lazy("Undone: not the right store"), "minus", "neutral"),
    "connection_grouped": (
        _lazy("Assigned to a client, or given tags, by a file"),
        "link",
        "neutral",
    ),
    "connection_merged": (_lazy("Joined with the row of the same seller"), "link", "neutral"),
    "connection_disconnected": (_lazy("Disconnected"), "minus", "neutral"),
    "connection_removed": (_lazy("Connection removed"), "minus", "neutral"),
    # Groups
    "connection_tagged": (_lazy("Tags set to: %(new)s"), "info", "neutral"),
    "connection_tag_added": (_lazy("Tagged “%(new)s”"), "info", "neutral"),
    "connection_tag_removed": (_lazy("Tag “%(old)s” taken off"), "info", "neutral"),
    "connection_client_set": (_lazy("Given to the client “%(new)s”"), "info", "neutral"),
    "connection_client_taken": (_lazy("Belongs to no client any more"), "info", "neutral"),
    # Trips to Amazon
    "authorization_opened": (_lazy("Set out to Amazon for a consent"), "external", "neutral"),
    "authorization_request_consumed": (_lazy("Came back from Amazon"), "external", "neutral"),
    "authorization_request_expired": (
        _lazy("A trip to Amazon ended without a return"),
        "clock",
        "neutral",
    ),
    "authorization_ended": (_lazy("A trip to Amazon was completed"), "external", "neutral"),
    "authorization_refused": (_lazy("A return from Amazon was not accepted"), "alert", "warning"),
    # Links for people without a login
    "client_link_made": (_lazy("A link for the client was made"), "link", "neutral"),
    "client_link_sent": (_lazy("The link was sent to the client"), "mail", "neutral"),
    "client_link_opened": (
        _lazy("The client's link was opened, by the client or by a mail scanner"),
        "search",
        "neutral",
    ),
    "client_link_left": (_lazy("The client set out to Amazon"), "external", "neutral"),
    "client_link_failed": (_lazy("The client's link did not work yet"), "alert", "warning"),
    "client_link_consented": (
        _lazy("The client gave the consent by link"),
        "check-circle",
        "success",
    ),
    "client_link_declined": (
        _lazy("The recipient of a link does not know the request"),
        "stop",
        "warning",
    ),
    "client_link_expired": (_lazy("A link for the client expired"), "clock", "neutral"),
    "client_link_revoked": (_lazy("A link for the client was ended"), "minus", "neutral"),
    # Selling Partner
    "spapi_grant_stored": (_lazy("First consent of Selling Partner"), "key", "success"),
    "imported_token_waiting": (
        _lazy("A refresh token from another tool was confirmed"),
        "key",
        "neutral",
    ),
    "imported_token_stored": (
        _lazy("A refresh token from another tool was imported"),
        "key",
        "success",
    ),
    "imported_token_refused": (
        _lazy("A refresh token from another tool was not imported"),
        "alert",
        "warning",
    ),
    "imported_token_left": (
        _lazy("A refresh token from another tool was left out and destroyed"),
        "minus",
        "neutral",
    ),
    "spapi_grant_active": (
        _lazy("The consent of Selling Partner is in order"),
        "check-circle",
        "success",
    ),
    "spapi_grant_doubted": (
        _lazy("Amazon refused the consent of Selling Partner; we ask again"),
        "progress",
        "warning",
    ),
    "spapi_grant_invalid": (
        _lazy("The consent of Selling Partner is no longer used"),
        "stop",
        "danger",
    ),
    "spapi_grant_disconnected": (
        _lazy("The consent of Selling Partner was ended, its token destroyed"),
        "minus",
        "neutral",
    ),
    "spapi_grant_token_erased": (
        _lazy("The token of an ended consent of Selling Partner was erased"),
        "minus",
        "neutral",
    ),
    # Amazon Ads
    "ads_grant_stored": (_lazy("Consent of Amazon Ads given"), "key", "success"),
    "ads_grant_active": (_lazy("The consent of Amazon Ads is in order"), "check-circle", "success"),
    "ads_grant_doubted": (
        _lazy("Amazon refused the consent of Amazon Ads; we ask again"),
        "progress",
        "warning",
    ),
    "ads_grant_invalid": (_lazy("The consent of Amazon Ads is no longer used"), "stop", "danger"),
    "ads_grant_disconnected": (
        _lazy("The consent of Amazon Ads was ended, its token destroyed"),
        "minus",
        "neutral",
    ),
    "ads_grant_token_erased": (
        _lazy("The token of an ended consent of Amazon Ads was erased"),
        "minus",
        "neutral",
    ),
    "ads_profiles_read": (_lazy("Amazon Ads profiles read"), "check", "neutral"),
    "ads_profiles_failed": (
        _lazy("Amazon Ads profiles could not be read"),
        "alert",
        "warning",
    ),
    "vault_locked": (_lazy("A stored consent could not be opened"), "stop", "danger"),
    # Marketplaces and links
    "participations_read": (_lazy("Marketplaces read from Amazon"), "check", "neutral"),
    "participations_partial": (
        _lazy("A part of Amazon's list of marketplaces could not be read"),
        "alert",
        "warning",
    ),
    "participations_failed": (_lazy("The marketplaces could not be read"), "alert", "warning"),
    "onboarding_pending": (_lazy("A marketplace was set back to pending"), "dashed", "neutral"),
    "onboarding_working": (_lazy("Onboarding of a marketplace began"), "progress", "progress"),
    "onboarding_onboarded": (_lazy("A marketplace was onboarded"), "check-circle", "success"),
    "onboarding_needs_attention": (
        _lazy("Onboarding of a marketplace needs somebody"),
        "alert",
        "warning",
    ),
    "onboarding_paused": (_lazy("A marketplace was paused"), "pause", "neutral"),
    "ppc_link_pending": (_lazy("An Ads link was set back to pending"), "dashed", "neutral"),
    "ppc_link_working": (_lazy("Linking an Ads profile began"), "progress", "progress"),
    "ppc_link_linked": (_lazy("An Ads profile was linked"), "check-circle", "success"),
    "ppc_link_needs_attention": (_lazy("An Ads link needs somebody"), "alert", "warning"),
    "ppc_link_unlinked": (_lazy("An Ads profile was unlinked"), "minus", "neutral"),
    # The life of a consent
    "check_requested": (_lazy("Asked Amazon whether all is well"), "search", "neutral"),
    "seller_confirmed": (_lazy("Amazon confirmed the Seller ID"), "check-circle", "success"),
    "access_gap": (
        _lazy("Access came back after a gap"),
        "info",
        "neutral",
    ),
    "capability_missing": (_lazy("A permission turned out to be missing"), "key", "warning"),
    "capability_granted": (_lazy("A missing permission is there again"), "key", "success"),
    "marketplace_added": (_lazy("The seller joined a marketplace"), "plus", "success"),
    "marketplace_lost": (_lazy("The seller left a marketplace"), "minus", "warning"),
    "connection_restored": (_lazy("Connection restored"), "check", "success"),
    "data_set_reported": (_lazy("An importer reported how far it is"), "progress", "neutral"),
    "incident_passed": (_lazy("A problem at Amazon has passed"), "check-circle", "success"),
    "notice_made": (_lazy("A notice was written"), "mail", "neutral"),
    "notice_acknowledged": (_lazy("A notice was acknowledged"), "check", "neutral"),
    # Support
    "resync_requested": (_lazy("Asked Amazon for everything again"), "progress", "neutral"),
    "retry_requested": (_lazy("Repeated what had failed"), "progress", "neutral"),
    "staff_looked": (_lazy("Looked at this connection"), "search", "neutral"),
}

# What staff do to the installation, to people and organizations: no part of a row's story, and
# never listed here even if it came to carry a connection.
NOT_FOR_TENANTS = frozenset(
    {
        "application_role_added",
        "calendar_feed_ended",
        "calendar_feed_made",
        "client_list_confirmed",
        "client_changed",
        "client_created",
        "client_deleted",
        "client_reminders_off",
        "client_reminders_on",
        "client_secret_dated",
        "client_secret_rotated",
        "client_secret_rotation_requested",
        "client_secret_stored",
        "client_secrets_rewrapped",
        "connections_exported",
        "data_key_renewed",
        "data_key_rewrapped",
        "data_keys_renewal_began",
        "data_keys_renewal_ended",
        "encryption_key_retired",
        "erased",
        "incident_closed",
        "incident_opened",
        "login_deleted",
        "invitation_accepted",
        "invitation_resent",
        "invitation_revoked",
        "invitation_sent",
        "marketplace_supported",
        "marketplace_unsupported",
        "member_left",
        "member_reach_changed",
        "member_removed",
        "member_role_changed",
        "notice_mail_dropped",
        "notice_mail_failed",
        "notice_mail_sent",
        "organization_created",
        "organization_deleted",
        "organization_renamed",
        "ownership_transferred",
        "person_changed",
        "pruned",
        # A person's own working list: what it did to a row is told by the trips.
        "reconnect_item_at_amazon",
        "reconnect_item_failed",
        "reconnect_item_linked",
        "reconnect_item_not_needed",
        "reconnect_item_reconnected",
        "reconnect_item_skipped",
        "reconnect_item_waiting",
        "reconnect_queue_filled",
        "reconnect_queue_finished",
        "quarantine_began",
        "quarantine_released",
        "tag_created",
        "tag_deleted",
        "tag_renamed",
        "test_mail_sent",
        "token_file_confirmed",
        "token_file_read",
        "view_deleted",
        "view_renamed",
        "view_saved",
    }
)

# Details that are the organization's own words.
SHOWN = ("old", "new")


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
        return _("Somebody who left")
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
        kinds = dict(Notice.Kind.choices)
        return str(kinds.get(str(event.details.get("kind", "")), ""))
    days = event.details.get("days")
    if event.code == "access_gap" and isinstance(days, int) and days > 0:
        words = ngettext("%(days)d day without access", "%(days)d days without access", days)
        return words % {"days": days}
    reason = REASONS.get(str(event.details.get("reason", "")))
    outcome = OUTCOMES.get(str(event.details.get("outcome", "")))
    told = reason or outcome
    return str(told.title) if told else ""
