"""The door to refresh tokens that came in a file: sealed here, opened here, destroyed here.

Beside `credentials.py`, which reads the tokens of consents. A token of a file is opened for one
question to Amazon and, when Amazon accepts it, stored as a consent; whatever its fate, its column
is emptied in the transaction that writes that down.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections.import_models import TOKENS_KEPT, ImportedToken
from connections.verdicts import GrantUnreadable, Quarantined, VaultKeyMissing
from sellerlegend import crypto
from sellerlegend.amazon import lwa
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.clients import client_of
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import breakers, ledger, outcomes
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import advance_many

logger = logging.getLogger(__name__)

OPERATION = "lwa.refresh"
Status = ImportedToken.Status


@dataclass(frozen=True)
class Accepted:
    """Amazon accepted the token: what it is from now on, and an access token for an hour."""

    token: Secret
    access_token: Secret


def seal(rows: Sequence[ImportedToken], tokens: Sequence[Secret], organization_id: UUID) -> None:
    """Put each token into its row, which is saved by the caller in this transaction."""
    data_key = custody.data_key_under_lock(organization_id)
    placed = [(token, row.place()) for row, token in zip(rows, tokens, strict=True)]
    sealed = crypto.seal_many(placed, organization_id, data_key=data_key)
    for row, text in zip(rows, sealed, strict=True):
        row.refresh_token = text


def ask(row: ImportedToken) -> Accepted:
    """One refresh at Amazon with the token of the row. Raises AmazonError kinds, GrantInvalid for
    a token that Amazon refuses."""
    if quarantine.is_on():
        raise Quarantined(operation=OPERATION)
    token = _opened(row)
    client = client_of(LwaApplication.SPAPI)
    with (
        outcomes.on_behalf_of(row.organization_id),
        breakers.guarded_client(client, operation=OPERATION),
        breakers.guarded("lwa", operation=OPERATION),
    ):
        reply = lwa.refresh(endpoints=settings.AMAZON_ENDPOINTS, client=client, refresh_token=token)
    if reply.refresh_token is not None and reply.refresh_token != token:
        _keep(row, reply.refresh_token)
    return Accepted(reply.refresh_token or token, reply.access_token)


def _keep(row: ImportedToken, token: Secret) -> None:
    """Amazon gave another one: at once, since the calls that follow may fail, and nothing brings
    it back. A row that was ended meanwhile stays empty."""
    with transaction.atomic():
        data_key = custody.data_key_under_lock(row.organization_id)
        rows = ImportedToken.objects.for_organization(row.organization_id)
        sealed = crypto.seal(token, row.place(), data_key=data_key)
        rows.filter(pk=row.pk, status=Status.WAITING).update(
            refresh_token=sealed, fingerprint=crypto.fingerprint(token)
        )


def _opened(row: ImportedToken) -> Secret:
    """Raises VaultKeyMissing, which is our fault and passes, or GrantUnreadable."""
    data_key = custody.data_key(row.organization_id)
    try:
        return custody.open_secret(
            row.refresh_token, row.place(), data_key=data_key, purpose=crypto.Purpose.REFRESH
        )
    except crypto.DataKeyUnreadable as error:
        logger.error("vault_key_missing", extra={"cause": str(error)})
        raise VaultKeyMissing(operation=OPERATION) from None
    except crypto.Undecryptable as error:
        logger.error("imported_token_unreadable", extra={"row": row.pk, "cause": str(error)})
        raise GrantUnreadable(operation=OPERATION) from None


# Destroyed ---------------------------------------------------------------------------------


def leave_out(rows: QuerySet[ImportedToken], *, outcome: str, actor: Actor) -> int:
    """End open rows without an import, their tokens overwritten. Returns how many."""
    ended = 0
    for seen in ImportedToken.OPEN:
        while moved := advance_many(
            rows.order_by("pk"),
            seen=seen,
            to=Status.LEFT,
            actor=actor,
            is_patient=True,
            outcome=outcome,
            refresh_token="",
            done_at=timezone.now(),
        ):
            ended += moved
    return ended


def destroy_all(organization: Organization, *, actor: Actor) -> int:
    """The organization ends; in the caller's transaction."""
    rows: QuerySet[ImportedToken] = ImportedToken.objects.for_organization(organization)
    return leave_out(rows, outcome="discarded", actor=actor)


def sweep_overdue() -> int:
    """For the sweep: no token of a file outlives its day, whether anybody came back or not."""
    with across_organizations("tokens of files that nobody finished"):
        overdue = ImportedToken.objects.filter(
            status__in=ImportedToken.OPEN,
            token_import__created_at__lt=timezone.now() - TOKENS_KEPT,
        )
        rows = list(overdue.values_list("organization_id", "pk"))
    by_organization: dict[UUID, list[UUID]] = {}
    for organization_id, row_id in rows:
        by_organization.setdefault(organization_id, []).append(row_id)
    for organization_id, ids in by_organization.items():
        ledger.cancel_live(organization_id=organization_id, subject_ids=ids)
        mine: QuerySet[ImportedToken] = ImportedToken.objects.for_organization(organization_id)
        leave_out(mine.filter(pk__in=ids), outcome="import_over", actor=WORKER)
    return len(rows)
