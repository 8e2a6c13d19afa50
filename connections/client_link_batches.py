"""Asking many clients at once: one link for each row and one mail to each address, however often
the form is sent.

A form carries when it was shown (`since`). A row that has an open link, that was asked since then
or has a newer consent is told of and left as it is, so a second click makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
from connections.models import Connection
from sellerlegend.amazon.secret import Secret
from sellerlegend.mail_texts import name_for_mail
from sellerlegend.organizations.audit import Actor

# One request's worth: the rows of each address are a transaction of their own.
MOST_AT_ONCE = 100


class Fate(TextChoices):
    """What became of one row."""

    MAILED = "mailed", _("The link is being sent")
    IN_TURN = "in_turn", _("Its mail waits for its turn and goes out by itself")
    BY_HAND = "by_hand", _("Copy the link")
    OPEN_LINK = "open_link", _("Has an open link already")
    ASKED = "asked", _("Was asked a moment ago")
    RENEWED = "renewed", _("Has a new consent")
    MOVED = "moved", _("The address has changed: look again")
    LATER = "later", _("Too many rows at once: come back for it")
    GONE = "gone", _("Is gone, or needs nothing any more")


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


@dataclass(frozen=True)
class Asking:
    """What holds for every row of one form. `then` is called in the transaction of a row that is
    asked, before its link is made, and may say no."""

    words: Words
    since: datetime
    actor: Actor
    then: Callable[[Connection], bool]


def ask(
    prospects: Iterable[Prospect],
    shown: dict[UUID, str],
    words: Words,
    *,
    since: datetime,
    actor: Actor,
    then: Callable[[Connection], bool] = lambda _row: True,
) -> list[Result]:
    """One result for each row; the rows of one address share a mail and are whole together.
    `shown`: the address that the person saw for each row."""
    asking = Asking(words, since, actor, then)
    results: dict[UUID, Result] = {}
    together: dict[str, list[Prospect]] = {}
    chosen = list(prospects)
    for number, prospect in enumerate(chosen):
        if number >= MOST_AT_ONCE:
            results[prospect.id] = Result(prospect.connection, Fate.LATER)
        elif shown.get(prospect.id) != prospect.email:
            results[prospect.id] = Result(prospect.connection, Fate.MOVED)
        else:
            together.setdefault(mail_of(prospect), []).append(prospect)
    for group in together.values():
        results |= {result.connection.pk: result for result in _ask_together(group, asking)}
    return [results[prospect.id] for prospect in chosen]


def mail_of(prospect: Prospect) -> str:
    """The same for rows that one mail can ask about; without an address each is by itself."""
    return prospect.email.lower() or prospect.id.hex


def mails_in(prospects: Iterable[Prospect]) -> int:
    """How many go out when the form is sent as it is shown at first."""
    asked = [one for one in prospects if one.is_ticked][:MOST_AT_ONCE]
    return len({mail_of(one) for one in asked if one.email and not one.open_line})


def _ask_together(group: Sequence[Prospect], asking: Asking) -> list[Result]:
    """Rows of one address, or a single one without. A limit that is reached delays the mail."""
    organization_id, email = group[0].connection.organization_id, group[0].email
    is_wanted = any(not _reason_against(one.connection, asking.since) for one in group)
    wait = client_links.wait_for_mail(organization_id, email) if is_wanted else 0.0
    with transaction.atomic():
        revisions.touch(organization_id, [one.id for one in group])
        results = [_ask_one(one, asking) for one in group]
        made = [result.link for result in results if result.link is not None]
        if made and email:
            client_links.plan_mail(made, client_links.MAIL_IN_TURN if wait else client_links.MAIL)
    if not wait:
        return results
    return [replace(one, fate=Fate.IN_TURN) if one.fate == Fate.MAILED else one for one in results]


def _ask_one(prospect: Prospect, asking: Asking) -> Result:
    """In the transaction of its mail."""
    row, words = prospect.connection, asking.words
    against = _reason_against(row, asking.since)
    if against in (Fate.GONE, Fate.RENEWED) or not asking.then(row):
        return Result(row, against or Fate.GONE)
    if against:
        return Result(row, against)
    link, token = client_links.make(
        connection=row,
        recipient=Recipient(prospect.name, prospect.email, words.language),
        message=words.message,
        days=words.days,
        actor=asking.actor,
        has_own_mail=False,
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
