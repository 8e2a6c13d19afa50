"""Asking many clients at once: one link for each row, however often the form is sent.

A form carries when it was shown (`since`). A row that has an open link, that was asked since then
or has a newer consent is told of and left as it is, so a second click makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections import client_links, revisions
from connections.client_link_models import ClientLink
from connections.client_link_words import asked_line
from connections.client_links import Recipient
from connections.mail_texts import name_for_mail
from connections.models import Connection
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations import limits
from sellerlegend.organizations.audit import Actor

# One request's worth: each row is a transaction of its own.
MOST_AT_ONCE = 100


class Fate(TextChoices):
    """What became of one row."""

    MAILED = "mailed", _("The link is being sent")
    BY_HAND = "by_hand", _("Copy the link")
    OPEN_LINK = "open_link", _("Has an open link already")
    ASKED = "asked", _("Was asked a moment ago")
    RENEWED = "renewed", _("Has a new consent")
    MOVED = "moved", _("The address has changed: look again")
    LATER = "later", _("Too many mails at the moment: send it later")
    GONE = "gone", _("Is gone, or needs nothing any more")


MADE = (Fate.MAILED, Fate.BY_HAND)


@dataclass(frozen=True)
class Prospect:
    """One row whose client could be asked. `open_line`: how far the link is that it has."""

    connection: Connection
    name: str
    email: str
    open_line: str = ""
    # Why nobody may want to ask about it now.
    note: str = ""
    is_ticked: bool = True

    @property
    def id(self) -> UUID:
        return self.connection.pk

    @property
    def purpose(self) -> str:
        purposes = ClientLink.Purpose
        waits = self.connection.waits_for_consent
        return str((purposes.CONNECT if waits else purposes.RECONNECT).label)


@dataclass(frozen=True)
class Words:
    """What all the links of a batch have in common."""

    language: str
    message: str
    days: int


@dataclass(frozen=True)
class Result:
    connection: Connection
    fate: Fate
    email: str = ""
    link: ClientLink | None = None
    token: Secret | None = None


def prospects_of(organization_id: UUID, rows: Iterable[Connection]) -> list[Prospect]:
    """These rows, which carry their client, each with the address known for it: the contact of
    its client, else who was asked about it last. Three queries."""
    found = list(rows)
    ids = [row.pk for row in found]
    links = ClientLink.objects.for_organization(organization_id).filter(connection__in=ids)
    told = links.exclude(recipient_email="").order_by("created_at")
    before: dict[UUID, tuple[str, str]] = {
        key: (name, email)
        for key, name, email in told.values_list(
            "connection_id", "recipient_name", "recipient_email"
        )
    }
    still_open = client_links.live_of_rows(organization_id, ids).filter(
        expires_at__gt=timezone.now()
    )
    lines = {link.connection_id: asked_line(link) for link in still_open}
    return [_prospect(row, before, lines.get(row.pk, "")) for row in found]


def _prospect(row: Connection, before: dict[UUID, tuple[str, str]], open_line: str) -> Prospect:
    client = row.client
    name, email = before.get(row.pk, (client.contact_name if client else "", ""))
    if client is not None and client.contact_email:
        name, email = client.contact_name, client.contact_email
    return Prospect(row, name_for_mail(name), email, open_line)


def ask(
    prospects: Iterable[Prospect],
    shown: dict[UUID, str],
    words: Words,
    *,
    since: datetime,
    actor: Actor,
    then: Callable[[Connection], bool] | None = None,
) -> Iterator[Result]:
    """One result for each row, each whole by itself. `shown`: the address that the person saw for
    each row. `then` is called in the transaction of a row that is asked, before its link is made,
    and may say no."""
    for number, prospect in enumerate(prospects):
        row = prospect.connection
        if number >= MOST_AT_ONCE:
            yield Result(row, Fate.LATER)
        elif shown.get(row.pk) != prospect.email:
            yield Result(row, Fate.MOVED)
        else:
            yield _ask_one(prospect, words, since, actor, then or (lambda _row: True))


def _ask_one(
    prospect: Prospect,
    words: Words,
    since: datetime,
    actor: Actor,
    then: Callable[[Connection], bool],
) -> Result:
    row = prospect.connection
    if not _reason_against(row, since) and wait_for_mail(row.organization_id, prospect.email):
        return Result(row, Fate.LATER)
    with transaction.atomic():
        revisions.touch(row.organization_id, [row.pk])
        against = _reason_against(row, since)
        if against in (Fate.GONE, Fate.RENEWED) or not then(row):
            return Result(row, against or Fate.GONE)
        if against:
            return Result(row, against)
        link, token = client_links.make(
            connection=row,
            recipient=Recipient(prospect.name, prospect.email, words.language),
            message=words.message,
            days=words.days,
            actor=actor,
        )
    if prospect.email:
        return Result(row, Fate.MAILED, prospect.email, link)
    return Result(row, Fate.BY_HAND, "", link, token)


def _reason_against(row: Connection, since: datetime) -> Fate | None:
    """As the row is now."""
    rows = Connection.objects.for_organization(row.organization_id)
    fresh = rows.select_related("spapi_grant").filter(pk=row.pk).first()
    if fresh is None:
        return Fate.GONE
    grant = getattr(fresh, "spapi_grant", None)
    if grant is not None and grant.authorized_at > since:
        return Fate.RENEWED
    links = ClientLink.objects.for_organization(row.organization_id).filter(connection=row)
    if links.filter(status__in=ClientLink.LIVE, expires_at__gt=timezone.now()).exists():
        return Fate.OPEN_LINK
    return Fate.ASKED if links.filter(created_at__gte=since).exists() else None


def wait_for_mail(organization_id: UUID, address: str) -> float:
    """Seconds until this organization may mail, and until somebody may mail that address."""
    if not address:
        return 0.0
    return limits.take(
        (client_links.MAIL_OF_ORGANIZATION, organization_id.hex),
        (client_links.MAIL_TO_ADDRESS, address.lower()),
    )
