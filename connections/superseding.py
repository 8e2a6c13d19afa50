"""What takes the place of a stored consent: a newer one, staff's word, or its end.

The version moves each time, so no access token and no refresh of the older one counts any more.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from connections import refusals, token_cache
from connections.models import Grant
from connections.observations import current as _current
from connections.observations import show as _show
from connections.token_cache import AnyGrant
from sellerlegend import deletions
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.transitions import advance


def replace(grant: AnyGrant, *, actor: Actor, columns: dict[str, Any]) -> None:
    """A newer, proven consent takes the place of the stored one, in the caller's transaction."""
    _supersede(grant, to=Grant.Status.ACTIVE, actor=actor, reason="new_consent", **columns)


def require_reconnect(grant: AnyGrant, *, actor: Actor, reason: str) -> bool:
    """Staff stop the use of a consent until a new one is given. False: it is not in use.

    Raises StaleState.
    """
    if grant.status not in (Grant.Status.ACTIVE, Grant.Status.DOUBTED):
        return False
    with transaction.atomic():
        _show(grant)
        _supersede(
            grant,
            to=Grant.Status.INVALID,
            actor=actor,
            reason=reason,
            last_error_code=refusals.RECONNECT_REQUIRED,
        )
    return True


def destroy(grant: AnyGrant, *, actor: Actor, reason: str) -> None:
    """Overwrite the token in the caller's transaction, and note it beside the database."""
    deletions.note(grant.EVENT_PREFIX, grant.pk, version=grant.version)
    _supersede(grant, to=Grant.Status.DISCONNECTED, actor=actor, reason=reason, refresh_token="")


def forget_token(grant: AnyGrant, *, actor: Actor) -> None:
    """The token of a consent that Amazon ended: overwritten in the caller's transaction. The row
    stays invalid, and a new consent finds it."""
    with transaction.atomic():
        _show(grant)
        ended = _current(grant).filter(status=Grant.Status.INVALID)
        if ended.update(refresh_token="", version=grant.version + 1, refresh_lease_until=None):
            record_event(f"{grant.EVENT_PREFIX}_token_erased", actor=actor, subject=grant)


def _supersede(grant: AnyGrant, *, to: str, actor: Actor, reason: str, **columns: Any) -> None:
    """The version moves: cached access tokens become unreadable, and a refresh on its way
    changes nothing any more."""
    key = token_cache.key_of(grant)
    advance(
        grant,
        to=to,
        actor=actor,
        reason=reason,
        status_changed_at=timezone.now(),
        version=grant.version + 1,
        refresh_lease_until=None,
        **columns,
    )
    transaction.on_commit(lambda: token_cache.drop(key), robust=True)
