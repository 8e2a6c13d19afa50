"""The end of an organization, and the erasure of what Amazon told us.

Amazon's Data Protection Policy 1.7: within 30 days of the end of an authorization. Deleting is
done at once as far as it protects (tokens, keys, access); `prune` erases the rest and leaves a
receipt. In audit events, which stay a year, Seller IDs and names become a keyed hash, so that a
known id can still be looked for.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from connections import imported_tokens, refusals, revisions, superseding
from connections.client_link_models import ClientLink, ClientReminders
from connections.feed_models import CalendarFeed
from connections.grouping_models import Client, Reach, SavedView, Tag
from connections.import_models import ClientList, TokenImport
from connections.models import (
    CONSENT_DAYS,
    KEPT_AFTER_END,
    AdsGrant,
    AuthorizationRequest,
    Connection,
    Grant,
    SpApiGrant,
)
from connections.notice_models import Notice, NoticeMail, NoticeSnooze, NotificationChoice
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.retention import Rule, until_none
from connections.services import cancel_work
from ppc import farewell, following
from ppc.disconnecting import drop_row, end_ads_consents, end_open_trips, own_ads_grants
from ppc.models import AdsProfile, PpcLink
from sellerlegend import deletions
from sellerlegend.applications.clients import configured_client
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organization,
    VaultUse,
)
from sellerlegend.organizations.scoping import ScopedModel, across_organizations

logger = logging.getLogger(__name__)

G = TypeVar("G", SpApiGrant, AdsGrant)

PERSONAL_DETAILS = frozenset({"name", "old", "new", "selling_partner_id"})
ERASED = "erased:"
# What nobody can have back goes with the daily run, so that a missed day is still within the 30.
KEPT_UNUSED = timedelta(days=28)
BATCH = 500


# An organization ends ----------------------------------------------------------------------


def delete_organization(
    *, organization: Organization, actor: Actor, with_receipt: bool = False
) -> None:
    """Tombstone, work, tokens, data key, access: one transaction, effective at once.

    Without its data key no copy of its ciphertexts opens; a backup from before holds the data key
    too, wrapped by a key of the ring. Doing it twice changes nothing. `with_receipt`: the actor
    gets a mail.
    """
    now = timezone.now()
    with transaction.atomic():
        revisions.touch_all(organization.pk)
        ending = farewell.of_organization(organization)
        alive = Organization.objects.filter(pk=organization.pk, deleted_at=None)
        if not alive.update(deleted_at=now, data_key="", data_key_destroyed_at=now):
            return
        live = Job.objects.for_organization(organization).filter(status__in=Job.LIVE)
        ledger.cancel_live(
            organization_id=organization.pk,
            subject_ids=list(live.values_list("subject_id", flat=True)),
        )
        tokens = _destroy_tokens(organization, actor)
        Membership.objects.for_organization(organization).delete()
        Invitation.objects.for_organization(organization).delete()
        deletions.note("organization", organization.pk)
        told = farewell.counts(ending) | {"tokens": tokens}
        record_event("organization_deleted", actor=actor, organization=organization, **told)
        if with_receipt:
            ledger.enqueue(farewell.RECEIPT, organization=organization, subject_id=organization.pk)
    organization.deleted_at = now


def _destroy_tokens(organization: Organization, actor: Actor) -> int:
    """Returns how many consents ended."""
    grants: list[SpApiGrant | AdsGrant] = []
    for model in (SpApiGrant, AdsGrant):
        living = model.objects.for_organization(organization)
        grants += living.exclude(status=Grant.Status.DISCONNECTED)
    for grant in grants:
        superseding.destroy(grant, actor=actor, reason="organization_deleted")
    Connection.objects.for_organization(organization).update(
        mws_auth_token="", mws_auth_token_tail="", mws_auth_token_updated_at=None
    )
    trips = AuthorizationRequest.objects.for_organization(organization)
    end_open_trips(trips, actor=actor, reason="organization_deleted")
    # Not a state: what trips that are over still hold of a secret.
    trips.update(code_verifier="")
    imported_tokens.destroy_all(organization, actor=actor)
    return len(grants)


# Erasure -----------------------------------------------------------------------------------


class NotErased(RuntimeError):
    """Some rows could not be erased; the others were. The log has the causes."""


def rules(actor: Actor) -> list[Rule]:
    """For `prune`."""
    hide = until_none(partial(hide_names_of_removed_rows, actor))
    return [
        _rule("deleted_organizations", deleted_organizations, erase_organization, actor),
        *rules_of_the_hour(actor),
        _rule("refused_consents", refused_consents, erase_token, actor),
        _rule("refused_ads_consents", refused_ads_consents, erase_token, actor),
        Rule("names_of_removed_rows", names_of_removed_rows, hide),
    ]


def rules_of_the_hour(actor: Actor) -> list[Rule]:
    """What people could have back until now, and has to be gone within the hour."""
    return [
        _rule("ended_connections", ended_connections, erase_connection, actor),
        _rule("ended_ads_grants", ended_ads_grants, erase_ads_grant, actor),
    ]


def _rule(name: str, rows: Callable[[], QuerySet[Any]], erase: Any, actor: Actor) -> Rule:
    return Rule(name, rows, partial(erase_each, rows, partial(erase, actor=actor)))


def deleted_organizations(before: datetime | None = None) -> QuerySet[Organization]:
    """Not while the receipt is being sent: it is made of what would be erased."""
    now = timezone.now()
    receipts = Job._base_manager.filter(
        organization=OuterRef("pk"), kind=farewell.RECEIPT, status__in=Job.LIVE
    )
    waits = Q(Exists(receipts), deleted_at__gt=now - farewell.RECEIPT_WAITS)
    deleted = Organization.objects.filter(deleted_at__lt=before or now, erased_at=None)
    return deleted.exclude(waits).order_by("deleted_at")


def ended_connections(before: datetime | None = None) -> QuerySet[Connection]:
    """Rows whose last consent ended `KEPT_AFTER_END` ago: that of Seller Central by a disconnect,
    and PPC with it, before or since. A row that was removed has no PPC."""
    long_ago = (before or timezone.now()) - KEPT_AFTER_END
    ended = Connection.with_removed.filter(
        spapi_grant__status=Grant.Status.DISCONNECTED,
        spapi_grant__status_changed_at__lt=long_ago,
    )
    fed_lately = PpcLink.objects.filter(
        status__in=[PpcLink.Status.LINKED, PpcLink.Status.UNLINKED],
        account__connection__removed_at=None,
        profile__grant__status=Grant.Status.DISCONNECTED,
        profile__grant__status_changed_at__gte=long_ago,
    )
    own = Q(account__connection=OuterRef("pk"))
    return ended.exclude(
        Exists(following.living_links().filter(own)) | Exists(fed_lately.filter(own))
    ).order_by("spapi_grant__status_changed_at")


def ended_ads_grants(before: datetime | None = None) -> QuerySet[AdsGrant]:
    return AdsGrant.objects.filter(
        status=Grant.Status.DISCONNECTED,
        status_changed_at__lt=(before or timezone.now()) - KEPT_AFTER_END,
    ).order_by("status_changed_at")


def refused_consents(before: datetime | None = None) -> QuerySet[SpApiGrant]:
    return ended_by_amazon(SpApiGrant.objects.all(), before)


def refused_ads_consents(before: datetime | None = None) -> QuerySet[AdsGrant]:
    return ended_by_amazon(AdsGrant.objects.all(), before)


def ended_by_amazon(grants: QuerySet[G], before: datetime | None) -> QuerySet[G]:
    """Revoked or expired four weeks ago, and the token is still here. Not those that our own
    environment made invalid, nor a text that does not open, before a consent's year is over."""
    long_ago = (before or timezone.now()) - KEPT_UNUSED
    client = configured_client(grants.model.application)
    is_refused = Q(last_error_code=refusals.REFUSED, client_id__in=["", client.client_id])
    return (
        grants.filter(status=Grant.Status.INVALID, status_changed_at__lt=long_ago)
        .filter(is_refused | Q(authorized_at__lt=long_ago - timedelta(days=CONSENT_DAYS)))
        .exclude(refresh_token="")
        .order_by("status_changed_at")
    )


def names_of_removed_rows(before: datetime | None = None) -> QuerySet[AuditEvent]:
    """Events of connections that are gone (undone, removed, abandoned), with names in the clear."""
    long_ago = (before or timezone.now()) - KEPT_UNUSED
    has_names = Q()
    for name in sorted(PERSONAL_DETAILS):
        is_hidden = Q(**{f"details__{name}__startswith": ERASED}) | Q(**{f"details__{name}": ""})
        has_names |= Q(details__has_key=name) & ~is_hidden
    living = Connection._base_manager.filter(pk=OuterRef("connection_id"))
    events = AuditEvent.objects.filter(has_names, at__lt=long_ago, connection_id__isnull=False)
    return events.exclude(Exists(living)).order_by("at")


def overdue() -> int:
    """How much should have been erased a day ago, or an hour ago by the rules of the hour: those
    are beyond the 30 days then, the others not yet."""
    an_hour_ago, yesterday = (timezone.now() - timedelta(hours=hours) for hours in (1, 24))
    due: tuple[tuple[Callable[[datetime], QuerySet[Any]], datetime], ...] = (
        (deleted_organizations, yesterday),
        (ended_connections, an_hour_ago),
        (ended_ads_grants, an_hour_ago),
        (refused_consents, yesterday),
        (refused_ads_consents, yesterday),
        (names_of_removed_rows, yesterday),
    )
    with across_organizations("overdue erasures"):
        return sum(rows(before).count() for rows, before in due)


def erase_each(rows: Callable[[], QuerySet[Any]], erase: Callable[[Any], object]) -> Iterator[int]:
    """One transaction each, the oldest first. One row that cannot be erased keeps no other from
    going; NotErased at the end."""
    with across_organizations("erasure"):
        found = list(rows().values_list("pk", flat=True))
    failed = 0
    for key in found:
        try:
            count = _erase_one(rows().filter(pk=key), erase)
        except Exception:  # the log has the cause; the next run tries again
            logger.exception("erasure_failed", extra={"row": key})
            failed += 1
        else:
            yield count
    if failed:
        raise NotErased(f"{failed} rows")


def _erase_one(due: QuerySet[Any], erase: Callable[[Any], object]) -> int:
    """Looks again under the organization's lock: who reconnected meanwhile keeps the row."""
    with across_organizations("erasure"), transaction.atomic():
        seen = due.first()
        if seen is None:
            return 0
        Organization.objects.select_for_update().get(pk=_owner_of(seen))
        row = due.select_for_update(of=("self",)).first()
        if row is None:
            return 0
        erase(row)
    return 1


def _owner_of(row: Any) -> UUID:
    if isinstance(row, SpApiGrant | AdsGrant):
        return row.owner_id()
    owner: UUID = row.pk if isinstance(row, Organization) else row.organization_id
    return owner


def erase_organization(organization: Organization, *, actor: Actor) -> None:
    """Everything but the tombstone, which keeps no name, and the audit events without names."""
    revisions.touch_all(organization.pk)
    removed: Counter[str] = Counter()
    tables: tuple[type[ScopedModel], ...] = (
        PpcLink,
        AdsProfile,
        AuthorizationRequest,
        ReconnectItem,
        ReconnectQueue,
        ClientLink,
        ClientReminders,
        NoticeMail,
        Notice,
        NoticeSnooze,
        NotificationChoice,
        CalendarFeed,
        Invitation,
        SavedView,
        Reach,
        Tag,
        TokenImport,
        ClientList,
        Connection,
        Client,
        AdsGrant,
        Job,
        VaultUse,
    )
    for model in tables:
        rows = Connection.with_removed if model is Connection else model.objects
        _, by_table = rows.for_organization(organization).delete()
        removed.update(by_table)
    hidden = pseudonymize(Q(organization=organization))
    Organization.objects.filter(pk=organization.pk).update(
        name="", slug=f"deleted-{organization.pk.hex}", erased_at=timezone.now()
    )
    _receipt(organization.pk, removed, hidden, actor)


def erase_connection(connection: Connection, *, actor: Actor) -> None:
    """Its Ads consents end with it where no other row uses them: nobody would see them again."""
    revisions.touch_list(connection.organization_id)
    end_ads_consents(connection, own_ads_grants(connection, heeds_removed=True), actor)
    parts = Q(connection_id=connection.pk) | Q(subject_id=connection.pk)
    hidden = pseudonymize(parts & Q(organization_id=connection.organization_id))
    cancel_work(connection)  # an operator may have asked for it after the row had ended
    drop_row(connection.organization_id, connection.pk)
    _receipt(connection.organization_id, Counter(connections=1), hidden, actor)


def erase_ads_grant(grant: AdsGrant, *, actor: Actor) -> None:
    """The consent and every profile it saw; links that ended with it forget which one it was."""
    revisions.touch_all(grant.organization_id)
    links = PpcLink.objects.for_organization(grant.organization_id)
    links.filter(profile__grant=grant).exclude(status=PpcLink.Status.LINKED).update(profile=None)
    _, by_table = (
        AdsGrant.objects.for_organization(grant.organization_id).filter(pk=grant.pk).delete()
    )
    _receipt(grant.organization_id, Counter(by_table), 0, actor)


def erase_token(grant: SpApiGrant | AdsGrant, *, actor: Actor) -> None:
    """Of a consent that Amazon ended. Row, name and history stay for the new one."""
    superseding.forget_token(grant, actor=actor)
    _receipt(grant.owner_id(), Counter(refresh_tokens=1), 0, actor)


def hide_names_of_removed_rows(actor: Actor) -> int:
    """A batch of them, with a receipt for each organization. Returns how many."""
    with across_organizations("erasure"), transaction.atomic():
        found = names_of_removed_rows().values_list("pk", "organization_id")[:BATCH]
        keys: dict[UUID | None, list[int]] = {}
        for key, organization_id in found:
            keys.setdefault(organization_id, []).append(key)
        for owner, events in keys.items():
            hidden = pseudonymize(Q(pk__in=events))
            if owner is not None:
                _receipt(owner, Counter(), hidden, actor)
    return sum(map(len, keys.values()))


def _receipt(organization_id: UUID, removed: Counter[str], hidden: int, actor: Actor) -> None:
    """What, how many and when, and nothing that could name anybody."""
    counts = {label.rpartition(".")[2].lower(): count for label, count in removed.items() if count}
    record_event(
        "erased",
        actor=actor,
        organization=Organization(pk=organization_id),
        removed=counts,
        events_without_names=hidden,
    )


def pseudonymize(which: Q) -> int:
    """Write events anew under their own ids with names and Seller IDs hashed: what stands in the
    record cannot be changed, only removed. Returns how many held any."""
    changed = []
    for event in AuditEvent._base_manager.filter(which).iterator(BATCH):
        hidden = {
            name: keyed_hash(value) if name in PERSONAL_DETAILS and value else value
            for name, value in event.details.items()
        }
        if hidden != event.details:
            event.details = hidden
            changed.append(event)
    AuditEvent._base_manager.filter(pk__in=[event.pk for event in changed]).delete()
    AuditEvent._base_manager.bulk_create(changed, batch_size=BATCH)
    return len(changed)


def keyed_hash(value: Any) -> str:
    """The same for the same value, and of no use without our key."""
    text = str(value)
    if text.startswith(ERASED):
        return text
    digest = salted_hmac("sellerlegend.erasure", text, algorithm="sha256").hexdigest()
    return f"{ERASED}{digest[:24]}"
