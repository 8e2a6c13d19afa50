"""Changing the vault's keys while the product runs.

A key of the ring wraps the data keys: rewrapping writes one row for each organization and no
token. A data key that may be known to somebody is replaced: a fresh one is put before it, every
secret is sealed anew, and only when none is left under the old one does that go. Each write is
conditional on what was read, so a token stored meanwhile wins. When a renewal began is written
down, and when each data key was born: whatever kills a run, the next one knows what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from connections import token_cache
from connections.import_models import ImportedToken
from connections.models import AdsGrant, AuthorizationRequest, Connection, SpApiGrant
from sellerlegend import crypto
from sellerlegend.crypto import Place, Purpose
from sellerlegend.organizations import custody
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import InstallationState, Organization
from sellerlegend.organizations.scoping import ScopedModel

TRIES = 10
BATCH = 200


class Contended(RuntimeError):
    """The row changed at every try: repeat the run."""


class Step(StrEnum):
    CURRENT = "current"
    REWRAPPED = "rewrapped"
    RENEWED = "renewed"


@dataclass(frozen=True)
class Sealed:
    """One column that holds ciphertext, and where each row's is bound to."""

    model: type[ScopedModel]
    column: str
    place: Callable[[Any], Place]

    def rows(self, organization_id: UUID) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = self.model.objects.for_organization(organization_id)
        return rows.exclude(**{self.column: ""}).order_by("pk")


SEALED = (
    Sealed(SpApiGrant, "refresh_token", SpApiGrant.place),
    Sealed(AdsGrant, "refresh_token", AdsGrant.place),
    Sealed(ImportedToken, "refresh_token", ImportedToken.place),
    Sealed(Connection, "mws_auth_token", Connection.mws_place),
    Sealed(AuthorizationRequest, "code_verifier", AuthorizationRequest.verifier_place),
)


def begin_renewal(actor: Actor) -> datetime:
    """Every data key that was born before this is to be replaced. One that is under way goes on."""
    states = InstallationState.objects
    states.get_or_create(pk=1)
    now = timezone.now()
    with transaction.atomic():
        if states.filter(pk=1, renewal_began_at=None).update(renewal_began_at=now):
            record_event("data_keys_renewal_began", actor=actor)
    return renewal_began_at() or now


def renewal_began_at() -> datetime | None:
    """Of the renewal that is under way."""
    states = InstallationState.objects.filter(pk=1)
    return states.values_list("renewal_began_at", flat=True).first()


def end_renewal(began_at: datetime, actor: Actor) -> int:
    """Returns how many organizations are left; with none the renewal is over."""
    left = left_of_renewal(began_at).count()
    if left:
        return left
    with transaction.atomic():
        states = InstallationState.objects.filter(pk=1, renewal_began_at=began_at)
        if states.update(renewal_began_at=None):
            record_event("data_keys_renewal_ended", actor=actor)
    return 0


def left_of_renewal(began_at: datetime) -> models.QuerySet[Organization]:
    """Under a data key from before, alone or still beside a newer one."""
    is_older = Q(data_key_born_at=None) | Q(data_key_born_at__lt=began_at)
    return Organization.objects.exclude(data_key="").filter(is_older | Q(data_key__contains=" "))


def rotate(organization_id: UUID, *, renew_since: datetime | None = None) -> tuple[Step, int]:
    """Bring one organization to the ring's first key, with a fresh data key when its own was born
    before `renew_since`, or where an earlier run stopped in the middle. Returns the step, and how
    many secrets do not open and therefore keep the old data key alive. Raises Undecryptable,
    Contended.
    """
    is_rewrapped = _replace(organization_id, crypto.rewrap_data_key, _is_current)
    step, unreadable = Step.REWRAPPED if is_rewrapped else Step.CURRENT, 0
    data_key = custody.data_key(organization_id)
    if data_key:
        # That it stands under the right id is not enough.
        crypto.newest_kid(data_key, organization_id)
    if _has_two(data_key):
        step, unreadable = Step.RENEWED, _finish_renewal(organization_id)
    if unreadable or renew_since is None:
        return step, unreadable
    if not left_of_renewal(renew_since).filter(pk=organization_id).exists():
        return step, 0
    _replace(organization_id, crypto.add_data_key, _has_two, data_key_born_at=timezone.now())
    return Step.RENEWED, _finish_renewal(organization_id)


def _replace(
    organization_id: UUID,
    change: Callable[[str, UUID], str],
    is_done: Callable[[str], bool],
    **columns: datetime,
) -> bool:
    """Compare and swap. False when there was nothing to change."""
    for _ in range(TRIES):
        data_key = custody.data_key(organization_id)
        if not data_key or is_done(data_key):
            return False
        mine = Organization.objects.filter(pk=organization_id, data_key=data_key)
        if mine.update(data_key=change(data_key, organization_id), **columns):
            return True
    raise Contended("data_key")


def _is_current(data_key: str) -> bool:
    return crypto.wrapping_kids(data_key) == {crypto.first_kid()}


def _has_two(data_key: str) -> bool:
    return crypto.newest_data_key(data_key) != data_key


def _finish_renewal(organization_id: UUID) -> int:
    """Seal everything anew, then let the old data key go: under the organization's lock, which
    every writer of a ciphertext takes first, so none can bring one under the old key."""
    for _ in range(TRIES):
        data_key = custody.data_key(organization_id)
        unreadable = sum(
            not _reseal(sealed, row, data_key)
            for sealed, row in _outdated(organization_id, data_key)
        )
        if unreadable:
            return unreadable
        with transaction.atomic():
            locked = custody.data_key_under_lock(organization_id)
            if next(_outdated(organization_id, locked), None) is None:
                newest = crypto.newest_data_key(locked)
                Organization.objects.filter(pk=organization_id).update(data_key=newest)
                return 0
    raise Contended("tokens")


def _outdated(organization_id: UUID, data_key: str) -> Iterator[tuple[Sealed, Any]]:
    newest = crypto.newest_kid(data_key, organization_id)
    for sealed in SEALED:
        for row in sealed.rows(organization_id).iterator(BATCH):
            if not crypto.is_sealed_under(getattr(row, sealed.column), newest):
                yield sealed, row


def _reseal(sealed: Sealed, row: Any, data_key: str) -> bool:
    """False when the text does not open. One that changed meanwhile is left to the next look."""
    text, place = getattr(row, sealed.column), sealed.place(row)
    try:
        value = custody.open_secret(text, place, data_key=data_key, purpose=Purpose.REENCRYPT)
    except crypto.Undecryptable:
        return not _unchanged(sealed, row, text).exists()
    fresh = crypto.seal(value, place, data_key=data_key)
    _unchanged(sealed, row, text).update(**{sealed.column: fresh})
    if isinstance(row, SpApiGrant | AdsGrant):
        # Sealed under the old data key as well; the next call gets another one from Amazon.
        token_cache.drop(token_cache.key_of(row))
    return True


def _unchanged(sealed: Sealed, row: Any, text: str) -> models.QuerySet[Any]:
    return sealed.model._base_manager.filter(pk=row.pk, **{sealed.column: text})
