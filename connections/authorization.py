"""The stored half of a trip to Amazon: opened once, found by its state alone, used up once.

RFC 9700 §4.7: the state is bound to the browser and to the person. The row holds hashes only.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import QueryDict
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from connections import client_links
from connections.client_link_models import ClientLink
from connections.models import AuthorizationRequest
from connections.reach import is_within
from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations import custody
from sellerlegend.organizations.audit import Actor, new_reference, record_event
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.organizations.sessions import BROWSER_KEY, browser_value

Status = AuthorizationRequest.Status
# The value that the browser with this client link was given, or "".
ClientBrowser = Callable[[UUID], str]

LONGEST_PARAMETER = 4096
# The shape that Amazon: Migrating hybrid applications (2021) shows; anything else is not one.
SELLER_SHAPE = re.compile(r"A[A-Z0-9]{12,13}")
MWS_AUTH_TOKEN = re.compile(r"amzn\.mws\.[0-9A-Za-z-]{16,64}")


# The way out -------------------------------------------------------------------------------


def open_request(
    *, organization: Organization, user: User, session: SessionBase, **columns: Any
) -> tuple[str, AuthorizationRequest]:
    """A trip of a signed-in person."""
    browser = browser_value(session)
    return _open(organization, browser, Actor.person(user), user=user, **columns)


def open_request_by_link(
    *, link: ClientLink, browser: str, **columns: Any
) -> tuple[str, AuthorizationRequest]:
    """A trip of whoever holds this link, in the browser that was given this value. Raises
    LinkOver."""
    with transaction.atomic():
        client_links.show(link)
        held = client_links.hold(link.organization_id, link.pk)
        client_links.note_left(held)
        actor = client_links.client_of(held)
        return _open(link.organization, browser, actor, client_link=held, **columns)


def _open(
    organization: Organization,
    browser: str,
    actor: Actor,
    *,
    code_verifier: Secret | None = None,
    **columns: Any,
) -> tuple[str, AuthorizationRequest]:
    state = secrets.token_urlsafe(32)
    request = AuthorizationRequest(
        organization=organization,
        state_hash=crypto.digest(state),
        browser_hash=crypto.digest(browser),
        expires_at=timezone.now() + AuthorizationRequest.LIFETIME,
        reference=new_reference(),
        **columns,
    )
    with transaction.atomic():
        if code_verifier is not None:
            data_key = custody.data_key_under_lock(organization.pk)
            request.code_verifier = crypto.seal(
                code_verifier, request.verifier_place(), data_key=data_key
            )
        request.save(force_insert=True)
        record_event(
            "authorization_opened",
            actor=actor,
            subject=request,
            reference=request.reference,
            kind=request.kind,
            region=request.region,
        )
    return state, request


# The way back ------------------------------------------------------------------------------


@dataclass(frozen=True)
class CallbackParams:
    """The callback's query, each parameter once. `None`: absent, empty, repeated or absurd."""

    state: str | None
    code: Secret | None
    selling_partner_id: str | None
    error: str | None
    mws_auth_token: Secret | None
    is_garbled: bool

    @classmethod
    def from_query(cls, query: QueryDict, *, code_field: str) -> CallbackParams:
        """Amazon: Website authorization workflow (SP-API); LWA authorization code grant (Ads)."""
        names = ("state", code_field, "selling_partner_id", "error", "mws_auth_token")
        values = {name: _single(query, name) for name in names}
        code, mws = values[code_field], values["mws_auth_token"]
        return cls(
            state=values["state"],
            code=Secret(code) if code else None,
            selling_partner_id=values["selling_partner_id"],
            error=values["error"],
            mws_auth_token=Secret(mws) if mws and MWS_AUTH_TOKEN.fullmatch(mws) else None,
            is_garbled=any(len(query.getlist(name)) > 1 for name in names),
        )


def _single(query: QueryDict, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) != 1 or not 0 < len(values[0]) <= LONGEST_PARAMETER:
        return None
    return None if any(ord(sign) < 32 for sign in values[0]) else values[0]


def is_seller_id(value: str) -> bool:
    return len(value) <= 40 and value.isascii() and value.isalnum()


def looks_like_a_seller_id(value: str) -> bool:
    """All that Amazon shows look so, but it promises the shape nowhere: a reason to look again at
    what somebody typed, and never to refuse it."""
    return SELLER_SHAPE.fullmatch(value) is not None


@dataclass(frozen=True)
class Browser:
    """Who comes back, as far as the browser tells: a person's sign-in and session, the cookies of
    client links, the address."""

    user: Any
    session: SessionBase
    address: str
    client_browser: ClientBrowser


def identify(
    kind: str, params: CallbackParams, browser: Browser
) -> tuple[AuthorizationRequest | None, str]:
    """The trip with this state, and why it is not this browser's and this person's, if so."""
    if params.is_garbled or params.state is None:
        return None, "state_missing"
    with across_organizations("the callback knows its organization only by the state"):
        request = (
            AuthorizationRequest.objects.select_related("organization", "connection")
            .filter(state_hash=crypto.digest(params.state))
            .first()
        )
    if request is None:
        return None, "state_unknown"
    if not is_same_browser(request, browser):
        return request, "other_browser"
    user = browser.user
    is_own = user.is_authenticated and user.pk == request.user_id
    if request.client_link_id is None and not is_own:
        return request, "other_person"
    if request.kind != kind:
        return request, "other_kind"
    return request, ""


def is_same_browser(request: AuthorizationRequest, browser: Browser) -> bool:
    """A client's browser is known by a cookie of the link; a person's by the session alone."""
    link_id = request.client_link_id
    if link_id is None:
        value = str(browser.session.get(BROWSER_KEY, ""))
    else:
        value = browser.client_browser(link_id)
    return constant_time_compare(crypto.digest(value), request.browser_hash)


def membership_of(request: AuthorizationRequest) -> Membership | None:
    """Of the trip's person, as it is now; None for a client's trip."""
    if request.user_id is None:
        return None
    members = Membership.objects.for_organization(request.organization_id)
    member: Membership | None = members.filter(user_id=request.user_id).first()
    return member


def consume(request: AuthorizationRequest, user: Any) -> str:
    """Use the state up, once: one conditional UPDATE; whether its owner may still connect is read
    in the same transaction.

    Returns "" for the one winner, else the outcome.
    """
    now = timezone.now()
    with transaction.atomic():
        refusal = _refusal_of_link(request) if request.client_link_id else _refusal(request, user)
        mine = AuthorizationRequest.objects.for_organization(request.organization_id).filter(
            pk=request.pk, status=Status.OPEN
        )
        if request.expires_at <= now:
            ended = mine.update(status=Status.EXPIRED, outcome="expired")
            return "expired" if ended else "in_progress"
        if not mine.update(status=Status.CONSUMED, consumed_at=now, outcome="in_progress"):
            return "in_progress"
    if not refusal:
        request.status, request.consumed_at = Status.CONSUMED, now
    return refusal


def _refusal(request: AuthorizationRequest, user: User) -> str:
    membership = (
        Membership.objects.for_user(user)
        .select_for_update(of=("self",))
        .filter(organization_id=request.organization_id)
        .first()
    )
    if membership is None or not membership.may(Role.MEMBER):
        return "role_too_low"
    return "" if is_within(membership, request.connection_id) else "row_gone"


def _refusal_of_link(request: AuthorizationRequest) -> str:
    """A link belongs to its organization: whether its maker is still a member is not asked."""
    try:
        client_links.hold(request.organization_id, request.client_link_id)
    except client_links.LinkOver:
        return "link_over"
    return ""


def actor_of(request: AuthorizationRequest, user: Any) -> Actor:
    """Who came back."""
    link = request.client_link
    return Actor.person(user) if link is None else client_links.client_of(link)
