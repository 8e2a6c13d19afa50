"""A fresh sign-in before what cannot be taken back: a stolen session is not a stolen store."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from sellerlegend.organizations.access import SignedInRequest
from sellerlegend.organizations.kept_forms import keep_form

P = ParamSpec("P")
R = TypeVar("R", bound=SignedInRequest)
View = Callable[Concatenate[R, P], HttpResponseBase]

LOOKING = ("GET", "HEAD", "OPTIONS")


def recently_authenticated(view: View[R, P]) -> Callable[..., Any]:
    """Let a person in who signed in, or did so again, ACCOUNT_REAUTHENTICATION_TIMEOUT seconds ago
    at most; others prove first that it is they, by password, authenticator app or passkey.

    Stands below `organization_view`, so that nobody learns of a page by being asked. A page comes
    back after the proof. A POST does nothing and says so, and the proof leads back to the page
    that held the form.
    """

    @wraps(view)
    def guarded(request: R, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if has_fresh_sign_in(request):
            return view(request, *args, **kwargs)
        return ask_for_proof(request)

    guarded.wants_fresh_sign_in = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def changes_want_proof(view: View[R, P]) -> Callable[..., Any]:
    """The same for whatever is not a look: pages open as before."""

    @wraps(view)
    def guarded(request: R, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.method in LOOKING or has_fresh_sign_in(request):
            return view(request, *args, **kwargs)
        return ask_for_proof(request)

    guarded.changes_want_proof = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def sending_wants_proof(view: View[R, P]) -> Callable[..., Any]:
    """As `changes_want_proof`, for pages of a form without secrets that take up what was typed
    (`take_kept_form`): the proof leads back to the filled form."""

    @wraps(view)
    def guarded(request: R, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.method in LOOKING or has_fresh_sign_in(request):
            return view(request, *args, **kwargs)
        return ask_for_proof(request, keeps_form=keep_form(request))

    guarded.changes_want_proof = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def with_second_step(view: View[R, P]) -> Callable[..., Any]:
    """As `recently_authenticated`; and whoever has a second step has proved that one as freshly."""
    return _guarded_by_second_step(view, looking_is_free=False)


def changes_want_second_step(view: View[R, P]) -> Callable[..., Any]:
    """The same for whatever is not a look."""
    return _guarded_by_second_step(view, looking_is_free=True)


def _guarded_by_second_step(view: View[R, P], *, looking_is_free: bool) -> Callable[..., Any]:
    @wraps(view)
    def guarded(request: R, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if looking_is_free and request.method in LOOKING:
            return view(request, *args, **kwargs)
        if is_mfa_enabled(request.user) and not has_fresh_sign_in(request, method="mfa"):
            return ask_for_proof(request, only="mfa")
        if not has_fresh_sign_in(request):
            return ask_for_proof(request)
        return view(request, *args, **kwargs)

    guarded.wants_fresh_sign_in = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def has_fresh_sign_in(request: SignedInRequest, *, method: str = "") -> bool:
    """By the session's own record of sign-ins, of any method or of this one. A session without
    one is not fresh."""
    records = get_authentication_records(request, request.user)
    oldest = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    fitting = [record for record in records if not method or record["method"] == method]
    return any(record["at"] > oldest for record in fitting)


def ask_for_proof(
    request: SignedInRequest, *, only: str = "", keeps_form: bool = False
) -> HttpResponse:
    """To the page that asks again; under htmx the whole page goes there, never a part of it.
    `only`: the kind of proof that counts."""
    known = get_adapter().get_reauthentication_methods(request.user)
    methods = [method for method in known if method["id"].startswith(only)]
    if not methods:
        raise PermissionDenied("this person has nothing to prove it with")
    if request.method in LOOKING:
        back = request.get_full_path()
    elif keeps_form:
        back = request.get_full_path()
        messages.warning(
            request,
            _("Nothing was sent yet. Confirm that it is you: what you entered is kept for you."),
        )
    else:
        back = page_of_the_form(request)
        messages.warning(
            request,
            _("Nothing was changed yet. Confirm that it is you, then choose it once more."),
        )
    url = f"{methods[0]['url']}?{urlencode({'next': back})}"
    if request.htmx:
        return HttpResponse(status=401, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def page_of_the_form(request: SignedInRequest) -> str:
    """Path and query of our own page that sent this form; "/" when that is not told."""
    told = request.htmx.current_url or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(
        told, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return "/"
    parts = urlsplit(told)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
