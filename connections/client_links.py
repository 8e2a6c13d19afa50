"""Client links: made for one row, used up by one consent, ended at once when somebody says so.

The token is derived, not stored: an HMAC under the installation's secret key over the link's id. So
the mail can be composed whenever it is sent, and neither the database nor Redis nor a backup
ever holds it; the row has its SHA-256, and only that is compared. A link belongs to the
organization: it outlives the membership of whoever made it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from connections import revisions
from connections.client_link_models import ClientLink
from connections.models import Connection, Grant
from connections.notice_models import Notice
from sellerlegend import crypto
from sellerlegend.amazon.http import clean_text
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.organizations import limits, quarantine
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.limits import Limit
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import StaleState, advance

Purpose = ClientLink.Purpose
Status = ClientLink.Status

MAIL = "connections.client_link_mail"
# One too many when it was asked for: waits until its limits have room.
MAIL_IN_TURN = "connections.client_link_mail_in_turn"
DAYS, FEWEST_DAYS, MOST_DAYS = 14, 1, 30
LONGEST_NAME, LONGEST_MESSAGE = 150, 500
OVERDUE_A_SWEEP = 200
TOKEN = re.compile(r"[\w-]{43}", re.ASCII)

# Whoever tries tokens, or opens one all the time.
LOOK = Limit("client_link", burst=60, seconds=6)
# Each trip is a row and an event; nobody but the holder of the link is kept waiting.
TRIP = Limit("client_link_trip", burst=20, seconds=60)
# Mails, however many links each brings, that people of an organization send to addresses of their
# choice: a whole batch at once (`client_link_batches.MOST_AT_ONCE`), and a client asked row by row.
MAIL_OF_ORGANIZATION = Limit("client_link_mail", burst=150, seconds=60)
MAIL_TO_ADDRESS = Limit("client_link_mail_to_address", burst=60, seconds=600)


class RowGone(ValueError):
    """The row was removed meanwhile: nothing to ask for."""


class LinkOver(ValueError):
    """Used up, ended or without its row: nothing more comes of this link."""


@dataclass(frozen=True)
class Recipient:
    """Who is asked. Without an address the link is handed over by hand."""

    name: str = ""
    email: str = ""
    language: str = "en"


# Tokens ------------------------------------------------------------------------------------


def token_of(link: ClientLink) -> Secret:
    """256 bits that nobody can compute without the secret key."""
    mac = salted_hmac("connections.client_link", link.pk.hex, algorithm="sha256")
    return Secret(base64.urlsafe_b64encode(mac.digest()).decode().rstrip("="))


def by_token(token: str) -> ClientLink | None:
    """Also one that is over; `standing` says so."""
    if not TOKEN.fullmatch(token):
        return None
    with across_organizations("a link names its organization by its token alone"):
        links = ClientLink.objects.select_related("organization", "connection", "made_by")
        found: ClientLink | None = links.filter(token_hash=crypto.digest(token)).first()
    return found


# Making and ending -------------------------------------------------------------------------


def make(
    *,
    connection: Connection,
    recipient: Recipient,
    actor: Actor,
    message: str = "",
    days: int = DAYS,
    maker: User | None = None,
    notice: Notice | None = None,
    has_own_mail: bool = True,
) -> tuple[ClientLink, Secret]:
    """The row's one live link, and its token, which nobody can read again. An earlier one ends.

    With an address its mail is planned in the same transaction; the caller plans one that brings
    several. `maker` and `notice`: for whom, and about what, it is made by itself. Raises RowGone.
    """
    now = timezone.now()
    with transaction.atomic():
        revisions.touch(connection.organization_id, [connection.pk])
        row = _row(connection)
        for earlier in _live_of(row):
            advance(earlier, to=Status.REVOKED, actor=actor, reason="replaced", ended_at=now)
        link = _new(row, recipient)
        link.message, link.notice = message[:LONGEST_MESSAGE], notice
        link.made_by = maker or actor.user
        link.created_at = now
        link.expires_at = end_of(timezone.localdate(now) + timedelta(days=days))
        token = token_of(link)
        link.token_hash = crypto.digest(token.reveal())
        link.save(force_insert=True)
        how = "mail" if recipient.email else "hand"
        record_event("client_link_made", actor=actor, subject=link, by=how, days=days)
        if recipient.email and has_own_mail:
            plan_mail([link])
    return link, token


def end_of(day: date) -> datetime:
    """When a link ends whose last day this is: a moment that is over it everywhere, since nobody
    knows the client's time zone."""
    return datetime.combine(day + timedelta(days=1), ClientLink.HOUR_OF_END, UTC)


def plan_mail(links: Sequence[ClientLink], kind: str = MAIL) -> None:
    """One mail that brings these, which have one recipient; in the transaction that makes them."""
    first = links[0]
    if len(links) > 1:
        made = ClientLink.objects.for_organization(first.organization_id)
        made.filter(pk__in=[link.pk for link in links]).update(mail_id=first.pk)
    ledger.enqueue(
        kind,
        organization=first.organization_id,
        subject_id=first.pk,
        # A row that is removed ends its own mail, and not the others'.
        connection_id=first.connection_id if len(links) == 1 else None,
        is_first=True,
    )


def links_of_mail(organization_id: UUID, mail_key: UUID) -> QuerySet[ClientLink]:
    links: QuerySet[ClientLink] = ClientLink.objects.for_organization(organization_id)
    return links.filter(Q(pk=mail_key) | Q(mail_id=mail_key)).order_by("created_at", "pk")


def wait_for_mail(organization_id: UUID, address: str) -> float:
    """Seconds until this organization may mail, and until somebody may mail that address."""
    if not address:
        return 0.0
    return limits.take(
        (MAIL_OF_ORGANIZATION, organization_id.hex), (MAIL_TO_ADDRESS, address.lower())
    )


def _new(row: Connection, recipient: Recipient) -> ClientLink:
    """For this row and this person; by whom, until when and with which words is for `make`."""
    return ClientLink(
        id=uuid4(),
        organization_id=row.organization_id,
        connection=row,
        purpose=Purpose.CONNECT if row.waits_for_consent else Purpose.RECONNECT,
        recipient_name=clean_text(recipient.name, LONGEST_NAME),
        recipient_email=recipient.email,
        language=recipient.language,
    )


def make_again(*, link: ClientLink, actor: Actor) -> tuple[ClientLink, Secret]:
    """The same question to the same person, with a new token and its full time. Raises RowGone."""
    days = (link.last_day - timezone.localdate(link.created_at)).days
    recipient = Recipient(link.recipient_name, link.recipient_email, link.language)
    return make(
        connection=link.connection,
        recipient=recipient,
        actor=actor,
        message=link.message,
        days=min(max(days, FEWEST_DAYS), MOST_DAYS),
    )


def revoke(*, link: ClientLink, actor: Actor, reason: str = "") -> bool:
    """At once, also for who is at Amazon with it. False: it was over already."""
    return _end(link, Status.REVOKED, actor, reason)


def decline(*, link: ClientLink) -> bool:
    """ "This was not me." """
    return _end(link, Status.DECLINED, client_of(link), "")


def _end(link: ClientLink, to: str, actor: Actor, reason: str) -> bool:
    with transaction.atomic():
        show(link)
        held = _locked(link.organization_id, link.pk)
        if held is None or not held.is_live:
            return False
        advance(held, to=to, actor=actor, reason=reason, ended_at=timezone.now())
    link.status, link.ended_at = held.status, held.ended_at
    return True


def revoke_all_of(*, organization: Organization, maker: User, actor: Actor) -> int:
    """What somebody handed out who is not trusted any more. Returns how many ended."""
    links = list(open_links_of(organization.pk).filter(made_by=maker))
    return sum(revoke(link=link, actor=actor, reason="maker_left") for link in links)


def open_links_of(organization_id: UUID) -> QuerySet[ClientLink]:
    """That people made. What was made by itself only bears the name of who switched that on."""
    links: QuerySet[ClientLink] = ClientLink.objects.for_organization(organization_id)
    return links.filter(notice=None, status__in=ClientLink.LIVE, expires_at__gt=timezone.now())


def open_links_by_maker(organization_id: UUID) -> dict[UUID | None, int]:
    counted = open_links_of(organization_id).order_by().values_list("made_by")
    return dict(counted.annotate(n=Count("pk")))


def end_overdue() -> int:
    """For the sweep: links whose time is over, and those whose row was removed. Returns how many.

    Opened or not, an overdue one is refused from its last second on; this writes it down.
    """
    now = timezone.now()
    is_due = Q(expires_at__lte=now) | Q(connection__removed_at__isnull=False)
    with across_organizations("overdue links of every organization"):
        live = ClientLink.objects.filter(is_due, status__in=ClientLink.LIVE)
        due = list(live.order_by("expires_at")[:OVERDUE_A_SWEEP])
    return sum(_end(link, _end_of(link, now), WORKER, "") for link in due)


def _end_of(link: ClientLink, now: datetime) -> str:
    return Status.EXPIRED if link.expires_at <= now else Status.REVOKED


# What a link may still do ------------------------------------------------------------------


def standing(link: ClientLink) -> str:
    """ "" while the link can be used; else why not, or why not now."""
    return why_over(link) or ("quarantined" if quarantine.is_on() else "")


def why_over(link: ClientLink) -> str:
    return _over_by_itself(link) or ("disconnected" if _disconnected_since([link]) else "")


def usable(links: list[ClientLink]) -> set[UUID]:
    """Which of these are not over, all of one organization: one question for all of them."""
    living = [link for link in links if not _over_by_itself(link)]
    return {link.pk for link in living} - _disconnected_since(living)


def _over_by_itself(link: ClientLink) -> str:
    if link.organization.deleted_at is not None or not link.organization.data_key:
        return "organization_gone"
    if not link.is_live:
        return link.status
    if link.expires_at <= timezone.now():
        return Status.EXPIRED.value
    return "row_gone" if link.connection.removed_at is not None else ""


def _disconnected_since(links: list[ClientLink]) -> set[UUID]:
    """Somebody ended these accounts after the links were made: the newer fact wins."""
    if not links:
        return set()
    over = ClientLink.objects.for_organization(links[0].organization_id).filter(
        pk__in=[link.pk for link in links],
        connection__spapi_grant__status=Grant.Status.DISCONNECTED,
        connection__spapi_grant__status_changed_at__gt=F("created_at"),
    )
    return set(over.values_list("pk", flat=True))


def hold(organization_id: UUID, link_id: UUID | None) -> ClientLink:
    """The link under a lock until the caller's transaction ends. Raises LinkOver."""
    link = _locked(organization_id, link_id)
    if link is None or why_over(link):
        raise LinkOver(str(link_id))
    return link


# What happens to it ------------------------------------------------------------------------


def client_of(link: ClientLink) -> Actor:
    name = link.recipient_name or link.recipient_email
    return Actor.client(link.pk, made_by=link.made_by_id, name=name)


def note_opened(link: ClientLink) -> None:
    """Once, and never back: a mail scanner may have been faster than its owner."""
    if link.opened_at is not None or link.status not in (Status.MADE, Status.SENT):
        return
    try:
        with transaction.atomic():
            show(link)
            advance(link, to=Status.OPENED, actor=client_of(link), opened_at=timezone.now())
    except StaleState:
        link.refresh_from_db(fields=["status", "opened_at"])


def show(link: ClientLink) -> None:
    """The row says how far its client is. Goes first in a transaction, as everywhere."""
    revisions.touch(link.organization_id, [link.connection_id])


def note_left(link: ClientLink) -> None:
    """In the transaction that opens the trip, with the link held."""
    advance(link, to=Status.LEFT, actor=client_of(link), left_at=timezone.now())


def note_failed(organization_id: UUID, link_id: UUID, outcome: str) -> None:
    """Its trip brought no consent. The link can be used again."""
    with transaction.atomic():
        links = ClientLink.objects.for_organization(organization_id).filter(pk=link_id)
        revisions.touch(organization_id, links.values_list("connection_id", flat=True))
        link = _locked(organization_id, link_id)
        if link is not None and link.status in (Status.LEFT, Status.FAILED):
            advance(
                link,
                to=Status.FAILED,
                actor=client_of(link),
                reason=outcome,
                failure=outcome,
                failed_at=timezone.now(),
            )


def note_consented(row: Connection, link_id: UUID | None, actor: Actor) -> None:
    """In the transaction that stores a consent of `row`: the link it came by is used up, and
    every other one of the row is needed no more. Raises LinkOver, and nothing is stored."""
    now = timezone.now()
    if link_id is not None:
        link = hold(row.organization_id, link_id)
        advance(link, to=Status.CONSENTED, actor=actor, ended_at=now)
    for other in _live_of(row):
        advance(other, to=Status.REVOKED, actor=actor, reason="consent_given", ended_at=now)


def move(*, waiting: Connection, known: Connection) -> None:
    """The waiting row goes, and the row of the same seller stays: so do the links."""
    links = ClientLink.objects.for_organization(waiting.organization_id)
    links.filter(connection=waiting).update(connection=known)


def _row(connection: Connection) -> Connection:
    rows = Connection.objects.for_organization(connection.organization_id)
    row: Connection | None = rows.filter(pk=connection.pk).first()
    if row is None:
        raise RowGone(connection.name)
    return row


def _live_of(row: Connection) -> Iterable[ClientLink]:
    live: QuerySet[ClientLink] = ClientLink.objects.for_organization(row.organization_id).filter(
        connection=row, status__in=ClientLink.LIVE
    )
    return list(live.select_for_update())


def _locked(organization_id: UUID, link_id: UUID | None) -> ClientLink | None:
    links = ClientLink.objects.for_organization(organization_id)
    held: ClientLink | None = (
        links.select_related("organization", "connection")
        .select_for_update(of=("self",))
        .filter(pk=link_id)
        .first()
    )
    return held


# What people see of it ---------------------------------------------------------------------


def live_of_rows(organization_id: UUID, connection_ids: list[UUID]) -> QuerySet[ClientLink]:
    links: QuerySet[ClientLink] = ClientLink.objects.for_organization(organization_id)
    return links.filter(connection__in=connection_ids, status__in=ClientLink.LIVE)


def latest_of(connection: Connection) -> ClientLink | None:
    links = ClientLink.objects.for_organization(connection.organization_id)
    newest: ClientLink | None = (
        links.filter(connection=connection)
        .select_related("made_by")
        .order_by("-created_at")
        .first()
    )
    return newest
