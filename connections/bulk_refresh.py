"""Proving many consents at once: what `credentials.access_token(force=True)` does for each, with
one lease, one opening, one write for many.

Only the plain case is done here: an active consent without refusals that Amazon accepts. All else
goes the way of a single consent, with its states and events: what is not plain before Amazon is
asked goes it whole; a refusal, and another refresh token, are written by it. The lease of a row is
the proof that nobody refreshed it meanwhile; what lost its lease, or got a newer consent, is not
written. A killed run leaves leases of seconds and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q
from django.utils import timezone

from connections import credentials, token_cache
from connections.models import AdsGrant, Grant, SpApiGrant
from connections.token_cache import AnyGrant
from connections.verdicts import Quarantined
from sellerlegend import crypto
from sellerlegend.amazon.errors import AmazonError, GrantInvalid
from sellerlegend.amazon.http import REFRESH_SECONDS
from sellerlegend.amazon.lwa import TokenReply
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.clients import configured_client
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

# A call that begins later could outlive its lease: that consent goes the way of a single one.
LATEST_START_SECONDS = credentials.LEASE.total_seconds() - REFRESH_SECONDS - 2

Model = type[SpApiGrant] | type[AdsGrant]
# None: proved. Otherwise why not.
Result = BaseException | None
Submit = Callable[..., "Future[Any]"]


class NeighbourAtIt(AmazonError):
    """Another process is refreshing this consent at this moment, so it is proved without us."""

    summary = "being refreshed elsewhere"


class TooLate(Exception):
    """Not begun while the lease was fresh."""


@dataclass
class Batch:
    """Consents of one kind whose leases we took together, and what becomes of each."""

    model: Model
    lease: datetime
    began: float
    mine: list[AnyGrant]
    tokens: dict[UUID, Secret] = field(default_factory=dict)
    data_keys: dict[UUID, str] = field(default_factory=dict)
    asked: dict[Future[Any], AnyGrant] = field(default_factory=dict)
    results: dict[UUID, Result] = field(default_factory=dict)
    # One by one: not plain, not opened, or not begun in time.
    single: list[UUID] = field(default_factory=list)


def begin(model: Model, ids: Sequence[UUID], submit: Submit) -> Batch:
    """Take the leases, open the tokens and have Amazon asked; `finish` waits and writes.

    Raises Quarantined.
    """
    if quarantine.is_on():
        raise Quarantined(operation="credentials")
    batch = _take(model, ids)
    _open(batch)
    for grant in batch.mine:
        if grant.pk in batch.tokens:
            asked = submit(_ask, grant, batch.tokens[grant.pk], batch.began)
            batch.asked[asked] = grant
    return batch


def finish(batch: Batch, submit: Submit) -> dict[UUID, Result]:
    """How each consent ended. Single ones are proved here, by the same threads."""
    accepted: list[tuple[AnyGrant, TokenReply, str]] = []
    for future in as_completed(batch.asked):
        grant = batch.asked[future]
        try:
            reply, client_id = future.result()
        except TooLate:
            batch.single.append(grant.pk)
        except GrantInvalid:
            batch.results[grant.pk] = credentials.refuse(grant)
        except Exception as error:  # noqa: BLE001  # fails this consent only, as a command's row
            batch.results[grant.pk] = error
        else:
            token = batch.tokens[grant.pk]
            if reply.refresh_token in (None, token):
                accepted.append((grant, reply, client_id))
            elif credentials.accept(
                grant,
                credentials.Accepted(reply, token, client_id, _data_key(batch, grant)),
                batch.lease,
            ):
                batch.results[grant.pk] = None
            else:
                batch.single.append(grant.pk)
    _release(batch, but=_write(batch, accepted))
    _prove_singly(batch, submit)
    return batch.results


def _take(model: Model, ids: Sequence[UUID]) -> Batch:
    """The plain ones that nobody is at, under our lease; all others get their word."""
    began, now = time.monotonic(), timezone.now()
    lease = now + credentials.LEASE
    free = Q(refresh_lease_until=None) | Q(refresh_lease_until__lt=now)
    with across_organizations("resync_tokens"), transaction.atomic():
        rows = _rows(model, ids).filter(_plain(model))
        mine = list(rows.filter(free).select_for_update(skip_locked=True, of=("self",)))
        model._base_manager.filter(pk__in=[row.pk for row in mine]).update(
            refresh_lease_until=lease
        )
    batch = Batch(model, lease, began, mine)
    taken = {grant.pk for grant in mine}
    rest = [pk for pk in ids if pk not in taken]
    plain = set(_rows(model, rest).filter(_plain(model)).values_list("pk", flat=True))
    for pk in rest:
        if pk in plain:
            batch.results[pk] = NeighbourAtIt(operation="lwa.refresh")
        else:
            batch.single.append(pk)
    return batch


def _rows(model: Model, ids: Iterable[UUID]) -> Any:
    rows: Any = model._base_manager.filter(pk__in=list(ids)).order_by("pk")
    if model is not SpApiGrant:
        return rows
    # Of the connection only whose it is: making its whole row costs as much as the call.
    own = [field.name for field in SpApiGrant._meta.concrete_fields]
    return rows.select_related("connection").only(*own, "connection__organization")


def _plain(model: Model) -> Q:
    own = ["", configured_client(model.application).client_id]
    return Q(
        status=Grant.Status.ACTIVE,
        refusals=0,
        last_error_code="",
        client_id__in=own,
    ) & ~Q(refresh_token="")


def _open(batch: Batch) -> None:
    by_owner: defaultdict[UUID, list[AnyGrant]] = defaultdict(list)
    for grant in batch.mine:
        by_owner[grant.owner_id()].append(grant)
    keys = Organization.objects.filter(pk__in=by_owner).values_list("pk", "data_key")
    batch.data_keys = dict(keys)
    for owner, owned in by_owner.items():
        sealed = [(grant.refresh_token, grant.place()) for grant in owned]
        opened: list[Secret | None] = [None] * len(owned)
        try:
            opened = custody.open_many(
                sealed, owner, data_key=batch.data_keys[owner], purpose=crypto.Purpose.REFRESH
            )
        except crypto.DataKeyUnreadable:
            logger.warning("bulk_refresh_without_key", extra={"organization": owner})
        for grant, token in zip(owned, opened, strict=True):
            if token is None:
                batch.single.append(grant.pk)
            else:
                batch.tokens[grant.pk] = token


def _ask(grant: AnyGrant, token: Secret, began: float) -> tuple[TokenReply, str]:
    if time.monotonic() - began > LATEST_START_SECONDS:
        raise TooLate
    return credentials.ask(grant, token)


def _write(batch: Batch, accepted: Sequence[tuple[AnyGrant, TokenReply, str]]) -> set[UUID]:
    """One short transaction: rows that hold the same consent under our lease, and no other.
    Which those were; their leases are free."""
    now = timezone.now()
    # Before the leases are free: whoever waits for one must find the token. After their end it is
    # for nobody: a neighbour's newer one may be there.
    if now < batch.lease:
        _remember(batch, [(grant, reply) for grant, reply, _ in accepted])
    groups: defaultdict[tuple[int, str], list[UUID]] = defaultdict(list)
    for grant, _, client_id in accepted:
        groups[grant.version, client_id].append(grant.pk)
    written: set[UUID] = set()
    with transaction.atomic():
        for (version, client_id), ids in sorted(groups.items()):
            same = _held(batch, ids).filter(version=version).order_by("pk").select_for_update()
            mine = set(same.values_list("pk", flat=True))
            batch.model._base_manager.filter(pk__in=mine).update(
                last_refreshed_at=now, client_id=client_id, refresh_lease_until=None
            )
            written |= mine
    for grant, reply, _ in accepted:
        if grant.pk in written:
            batch.results[grant.pk] = None
            logger.debug("grant_refreshed", extra={"grant": grant.pk})
        else:
            logger.info("refresh_overtaken", extra={"grant": grant.pk})
            token_cache.forget(grant, reply.access_token, _data_key(batch, grant))
            batch.single.append(grant.pk)
    return written


def _remember(batch: Batch, accepted: Sequence[tuple[AnyGrant, TokenReply]]) -> None:
    by_owner: defaultdict[UUID, list[tuple[AnyGrant, Secret, int]]] = defaultdict(list)
    for grant, reply in accepted:
        by_owner[grant.owner_id()].append((grant, reply.access_token, reply.expires_in))
    for owner, tokens in by_owner.items():
        token_cache.remember_many(tokens, owner, batch.data_keys[owner])


def _held(batch: Batch, ids: Iterable[UUID]) -> Any:
    return batch.model._base_manager.filter(pk__in=list(ids), refresh_lease_until=batch.lease)


def _release(batch: Batch, *, but: set[UUID]) -> None:
    """Only ours: after a long freeze somebody else may hold it."""
    left = [grant.pk for grant in batch.mine if grant.pk not in but]
    _held(batch, left).update(refresh_lease_until=None)


def _data_key(batch: Batch, grant: AnyGrant) -> str:
    return batch.data_keys[grant.owner_id()]


def _prove_singly(batch: Batch, submit: Submit) -> None:
    found = {grant.pk: grant for grant in _rows(batch.model, batch.single)}
    tried = {pk: submit(prove, grant) for pk, grant in found.items()}
    for pk in batch.single:
        error: Result = GrantInvalid(operation="credentials") if pk not in tried else None
        batch.results[pk] = error or tried[pk].exception()


def prove(grant: AnyGrant) -> None:
    credentials.access_token(grant, force=True)


@contextmanager
def submitting(workers: int) -> Iterator[Submit]:
    """Work for threads that live as long as the block, and with them their kept-alive
    connections to Amazon; for one worker it is done on the spot."""
    if workers == 1:
        yield _on_the_spot
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield lambda work, *args: pool.submit(_in_thread, work, *args)
        finally:
            pool.shutdown(cancel_futures=True)


def _on_the_spot(work: Callable[..., Any], *args: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(work(*args))
    except Exception as error:  # noqa: BLE001  # told to whoever reads the result
        future.set_exception(error)
    return future


def _in_thread(work: Callable[..., Any], *args: Any) -> Any:
    try:
        return work(*args)
    finally:
        # Breakers and single consents may have opened one.
        connections.close_all()
