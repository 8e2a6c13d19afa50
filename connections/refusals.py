"""What is believed of a consent: Amazon's refusals counted, doubted, believed and forgotten again.

Nothing here opens a token or asks Amazon. Every write is conditional on the version, so what an
older consent met says nothing about a newer one.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from connections import verification
from connections.health import SURFACES
from connections.models import Grant, SpApiGrant
from connections.observations import current as _current
from connections.observations import show as _show
from connections.token_cache import AnyGrant
from connections.verdicts import GrantDoubted, GrantMissing, GrantUnreadable
from sellerlegend.amazon.errors import AmazonError, GrantInvalid
from sellerlegend.jobs import incidents
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.audit import WORKER, record_event
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

# A refusal is believed after the third one, a quarter of an hour after the first.
RECHECK_AFTER = (timedelta(minutes=2), timedelta(minutes=15))
A_SECOND = timedelta(seconds=1)
# Staff's word against a consent: only a new one lifts it, whatever Amazon says meanwhile.
RECONNECT_REQUIRED = "reconnect_required"
# The stored text does not open: damaged, or moved here from elsewhere. Nobody is asked with it.
VAULT_LOCKED = "vault_locked"
# Amazon refreshes the consent and then rejects what it gave: only a call can clear this.
REFUSED = "invalid_grant"
ACCESS_TOKEN_REJECTED = "access_token_rejected"  # noqa: S105  # a word, not a token
NO_REFUSALS: dict[str, Any] = {
    "last_refused_at": None,
    "first_refused_at": None,
    "refusals_counted_from": None,
    "refusals": 0,
    "last_error_code": "",
}


def can_be_asked(grant: AnyGrant) -> bool:
    """Whether Amazon can be asked about this consent, if only by force: its token is here, and
    staff have not stopped its use."""
    return bool(grant.refresh_token) and grant.last_error_code != RECONNECT_REQUIRED


def askable(prefix: str = "") -> Q:
    """The same for a query whose consents are reached by `prefix`."""
    is_stopped = Q(**{f"{prefix}last_error_code": RECONNECT_REQUIRED})
    return Q(**{f"{prefix}refresh_token__gt": ""}) & ~is_stopped


def require_usable(grant: AnyGrant, *, force: bool) -> None:
    if grant.status == Grant.Status.DISCONNECTED:
        raise GrantMissing(operation="credentials")
    if grant.status == Grant.Status.INVALID and not force and grant.last_error_code == VAULT_LOCKED:
        raise GrantUnreadable(operation="credentials")
    if grant.status == Grant.Status.INVALID and not (force and can_be_asked(grant)):
        raise GrantInvalid(operation="credentials")
    if grant.status == Grant.Status.DOUBTED and not force:
        wait = (next_check_at(grant) - timezone.now()).total_seconds()
        if wait > 0:
            raise GrantDoubted(wait)


def next_check_at(grant: AnyGrant) -> datetime:
    return _next_check(_counted_from(grant) or timezone.now(), grant.refusals)


def _next_check(counted_from: datetime, refusals: int) -> datetime:
    return counted_from + RECHECK_AFTER[min(refusals, len(RECHECK_AFTER)) - 1]


def _counted_from(grant: AnyGrant) -> datetime | None:
    """The first of the refusals that count. An older release forgets them without this column."""
    first = grant.first_refused_at
    return max(first, grant.refusals_counted_from or first) if first else None


def refused(grant: AnyGrant, cause: str) -> AmazonError:
    """Count one refusal by Amazon, only against the consent and the token that was refused."""
    now = timezone.now()
    first = grant.first_refused_at or now
    counted_from = _counted_from(grant) or now
    refusals = grant.refusals + 1
    believed = refusals > len(RECHECK_AFTER) and now - counted_from >= RECHECK_AFTER[-1]
    # Consents refused all at once are Amazon's doing: nobody's ends by that. Counted it is.
    held = believed and _are_refusals_amazons(grant)
    is_doubted = grant.status == Grant.Status.DOUBTED
    if is_doubted and believed and not held and _did_staff_end_the_incident(grant, counted_from):
        believed, refusals, counted_from = False, 1, now  # Amazon has to say it anew
    wait = RECHECK_AFTER[-1] if held else max(A_SECOND, _next_check(counted_from, refusals) - now)
    columns = {
        "refusals": refusals,
        "first_refused_at": first,
        "refusals_counted_from": counted_from if counted_from > first else None,
        "last_refused_at": now,
        "last_error_code": cause,
        "last_failure_at": now,
        "last_failure_code": "grant_doubted",
        # Whoever met it may not come back to ask.
        "verify_due_at": now + wait,
    }
    to = {Grant.Status.ACTIVE: Grant.Status.DOUBTED, Grant.Status.DOUBTED: Grant.Status.INVALID}
    with transaction.atomic():
        _show(grant)
        same = _current(grant).filter(refusals=grant.refusals, fingerprint=grant.fingerprint)
        if same.update(**columns) != 1:
            return GrantDoubted(RECHECK_AFTER[0].total_seconds())
        vars(grant).update(columns)
        is_end = is_doubted and believed and not held
        if is_end or grant.status == Grant.Status.ACTIVE:
            advance(
                grant,
                to=to[Grant.Status(grant.status)],
                actor=WORKER,
                reason=cause,
                status_changed_at=now,
                **(verification.columns_of_end(now) if is_end else {}),
            )
    if grant.status == Grant.Status.INVALID:
        return GrantInvalid(operation="lwa.refresh")
    return GrantDoubted(wait.total_seconds())


def _are_refusals_amazons(grant: AnyGrant) -> bool:
    """Whether a refusal of this consent says nothing of it now: all are refused at once."""
    return incidents.are_refusals_amazons(SURFACES[grant.application], _region_of(grant))


def _did_staff_end_the_incident(grant: AnyGrant, since: datetime) -> bool:
    """That held the refusals which are counted here."""
    return incidents.has_staff_ended_since(since, SURFACES[grant.application], _region_of(grant))


def _region_of(grant: AnyGrant) -> str:
    return grant.connection.region if isinstance(grant, SpApiGrant) else ""


def trust_again(grant: AnyGrant, reason: str) -> None:
    """Forget the refusals of the consent we read; a newer one has its own."""
    with transaction.atomic():
        _show(grant)
        if _current(grant).filter(refusals=grant.refusals).update(**NO_REFUSALS) != 1:
            return
        vars(grant).update(NO_REFUSALS)
        if grant.status != Grant.Status.ACTIVE:
            advance(
                grant,
                to=Grant.Status.ACTIVE,
                actor=WORKER,
                reason=reason,
                status_changed_at=timezone.now(),
            )


def lock(grant: AnyGrant, cause: str) -> GrantUnreadable:
    """Stop the use of a consent whose text does not open, and alert staff. Only a new consent,
    or an operator's re-sync once the text is right again, unlocks it."""
    logger.error("grant_unreadable", extra={"grant": grant.pk, "cause": cause})
    with transaction.atomic():
        _show(grant)
        same = _current(grant).filter(refresh_token=grant.refresh_token, status=grant.status)
        if same.update(last_error_code=VAULT_LOCKED):
            record_event("vault_locked", actor=WORKER, subject=grant, cause=cause)
            staff_notices.tell(VAULT_LOCKED)
            if grant.status in (Grant.Status.ACTIVE, Grant.Status.DOUBTED):
                advance(
                    grant,
                    to=Grant.Status.INVALID,
                    actor=WORKER,
                    reason=VAULT_LOCKED,
                    status_changed_at=timezone.now(),
                )
    return GrantUnreadable(operation="credentials")
