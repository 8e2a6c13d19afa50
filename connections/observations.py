"""What calls with a consent told us, as columns of its grant: the facts that health is made of.

Nothing here decides whether a consent is good: `refusals.py` does that. Every write
is conditional on the version, so what an older consent met says nothing about a newer one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections import capabilities, revisions
from connections.health import AMAZONS
from connections.health_models import Capability, CapabilityCheck
from connections.models import SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonError,
    AmazonUnavailable,
    Denial,
    HeldBack,
    UnexpectedReply,
)
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.audit import WORKER, record_event

# A success that changes nothing is written this often at most.
NOTED_EVERY = timedelta(minutes=5)
# Since when a success is no news to the screen (`health.STALE_AFTER` is far beyond).
NEWS_AFTER = timedelta(hours=24)

# A new consent begins with a success: Amazon has just given us its tokens.
NO_TROUBLE: dict[str, Any] = {
    "last_failure_at": None,
    "last_failure_code": "",
    "throttled_since": None,
    "permission_missing_since": None,
    "verified_at": None,
    "verify_due_at": None,
}


def fresh_columns() -> dict[str, Any]:
    """What a new consent knows of itself."""
    return NO_TROUBLE | {"last_success_at": timezone.now()}


def note_success(grant: AnyGrant) -> None:
    """Amazon answered as it should. Ends what was noted of failures, visibly if it was visible.

    A role that a probe found missing is another matter: only its own probe finds it again.
    """
    now = timezone.now()
    is_visible = _was_in_trouble(grant, now)
    if not is_visible and grant.last_success_at and now - grant.last_success_at < NOTED_EVERY:
        return
    columns = {"last_success_at": now, "last_failure_code": "", "throttled_since": None}
    # First, and by itself: it takes the organization's lock, which goes before the grant's.
    if grant.permission_missing_since is not None:
        _note_capability(grant, CapabilityCheck.State.GRANTED)
    is_over = grant.last_failure_code in AMAZONS
    _write(grant, columns, is_visible=is_visible, news="amazon_answers" if is_over else "")


def note_failure(grant: AnyGrant, error: AmazonError) -> None:
    """Amazon did not give what was asked. Not what we held back ourselves, nor our own faults."""
    code = code_of(error)
    if not code:
        return
    now = timezone.now()
    columns: dict[str, Any] = {"last_failure_at": now, "last_failure_code": code}
    # Another failure means that it is no longer the pace that stops us.
    since = grant.throttled_since or now
    columns["throttled_since"] = since if code == "amazon_throttled" else None
    if code == "permission_missing":
        _note_capability(grant, CapabilityCheck.State.MISSING)
        _tell_of_lost_role(grant, error)
    is_first = code in AMAZONS and grant.last_failure_code not in AMAZONS
    _write(
        grant,
        columns,
        is_visible=code != grant.last_failure_code,
        news="amazon_failing" if is_first else "",
    )


def _note_capability(grant: AnyGrant, state: CapabilityCheck.State) -> None:
    """The calls that are noted here read the seller's marketplaces, or list Ads profiles."""
    if isinstance(grant, SpApiGrant):
        capabilities.record(grant, {Capability.MARKETPLACES: state})
        return
    is_missing = state == CapabilityCheck.State.MISSING
    since = (grant.permission_missing_since or timezone.now()) if is_missing else None
    if since != grant.permission_missing_since:
        _write(grant, {"permission_missing_since": since}, is_visible=True)


def _tell_of_lost_role(grant: AnyGrant, error: AmazonError) -> None:
    """A consent has every role that our application had when it was given. If Amazon misses one
    in a newer consent, a further one would not bring it: our application may have lost it."""
    is_role = isinstance(error, AccessDenied) and error.detail == Denial.MISSING_ROLE
    roles = ApplicationRole.objects.filter(application=grant.application)
    if is_role and not roles.filter(added_at__gt=grant.authorized_at).exists():
        staff_notices.tell("role_missing")


def code_of(error: AmazonError) -> str:
    """The stored word for a failure of Amazon's; "" for everything that is none."""
    if isinstance(error, HeldBack):
        return ""
    if isinstance(error, AmazonUnavailable):
        return "amazon_throttled" if error.throttled else "amazon_unavailable"
    if isinstance(error, AccessDenied):
        return "permission_missing" if error.detail != Denial.WRONG_REGION else "wrong_region"
    return "unexpected_reply" if isinstance(error, UnexpectedReply) else ""


def _was_in_trouble(grant: AnyGrant, now: datetime) -> bool:
    if grant.last_failure_code or grant.throttled_since:
        return True
    return grant.last_success_at is None or now - grant.last_success_at > NEWS_AFTER


def _write(grant: AnyGrant, columns: dict[str, Any], *, is_visible: bool, news: str = "") -> None:
    """`news`: the timeline's line. It is written once, by whoever's call turned it."""
    with transaction.atomic():
        if is_visible:
            show(grant)
        as_read = current(grant).filter(last_failure_code=grant.last_failure_code)
        if news and as_read.update(**columns):
            record_event(news, actor=WORKER, subject=grant, reason=columns["last_failure_code"])
        elif not current(grant).update(**columns):
            return
        vars(grant).update(columns)


def current(grant: AnyGrant) -> QuerySet[Any]:
    """The row, only while it still holds the consent we read."""
    return type(grant)._base_manager.filter(pk=grant.pk, version=grant.version)


def show(grant: AnyGrant) -> None:
    """Bump the rows this grant feeds: one for Seller Central, possibly all for Ads."""
    if isinstance(grant, SpApiGrant):
        revisions.touch(grant.owner_id(), [grant.connection_id])
    else:
        revisions.touch_all(grant.organization_id)
