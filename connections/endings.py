"""How a trip to Amazon ended, by what is recorded of it: also when its page is opened again."""

from __future__ import annotations

from dataclasses import dataclass

from connections import authorization
from connections.authorization import Browser
from connections.models import AuthorizationRequest
from connections.reach import is_within
from connections.reasons import SUCCESSES
from sellerlegend.organizations.models import User
from sellerlegend.organizations.scoping import across_organizations


@dataclass(frozen=True)
class Ending:
    """Where the browser goes next. `request` is None when the trip was not this person's; `wait`
    are the seconds until this client may be refused again; `by_link`: nobody signs in here."""

    outcome: str
    reference: str
    request: AuthorizationRequest | None = None
    wait: float = 0.0
    by_link: bool = False

    @property
    def succeeded(self) -> bool:
        return self.outcome in SUCCESSES


def ending_again(request: AuthorizationRequest) -> Ending:
    """The callback was opened again: show the first outcome."""
    return ending_with(request.outcome or "expired", request)


def ending_with(outcome: str, request: AuthorizationRequest) -> Ending:
    by_link = request.client_link_id is not None
    return Ending(outcome, request.reference, request, by_link=by_link)


def ending_of(*, user: User, reference: str) -> Ending:
    """The recorded outcome of the person's own trip, or a neutral one: also for who left the
    organization since, or does not see the row any more."""
    with across_organizations("a person's own trips, by reference"):
        request = (
            AuthorizationRequest.objects.select_related("organization", "connection")
            .filter(reference=reference, user=user)
            .first()
        )
    member = authorization.membership_of(request) if request else None
    if request is None or member is None:
        return Ending("refused", reference)
    if request.connection_id and not is_within(member, request.connection_id):
        return Ending("refused", reference)
    return Ending(request.outcome or "in_progress", reference, request)


def ending_by_link(*, browser: Browser, reference: str) -> Ending:
    """The recorded outcome of a trip that this browser made by a client link, or a neutral one."""
    with across_organizations("a client's own trip, by reference"):
        request = (
            AuthorizationRequest.objects.select_related(
                "organization", "connection", "client_link__organization", "client_link__connection"
            )
            .filter(reference=reference, client_link__isnull=False)
            .first()
        )
    if request is None or not authorization.is_same_browser(request, browser):
        return Ending("refused", reference, by_link=True)
    return ending_with(request.outcome or "in_progress", request)
