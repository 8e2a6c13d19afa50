"""Amazon Ads: consent on three hosts (ordinary Login with Amazon) and profiles on three more."""

from __future__ import annotations

from html import escape

from tests.amazon_emulator import clock as times
from tests.amazon_emulator import pages
from tests.amazon_emulator.accounts import AdsLogin, AdsProfile
from tests.amazon_emulator.applications import ADS_SCOPES, Application
from tests.amazon_emulator.marketplaces import ADS_API_HOSTS, ADS_CONSENT_HOSTS
from tests.amazon_emulator.wire import (
    Args,
    Call,
    Identity,
    Reply,
    json_reply,
    redirect_reply,
    sha256,
    with_params,
)
from tests.amazon_emulator.world import Grant, World


class AdsConsent:
    """`/ap/oa`. One consent serves every region; what it asks is bound to the login."""

    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call, args: Args) -> Identity:
        operation = "consent_page"
        if call.method == "POST":
            operation = "allow" if call.form.get("decision") == "allow" else "deny"
        return Identity(
            surface="ads_consent",
            operation=operation,
            region=ADS_CONSENT_HOSTS[args["host"]],
            client_id=call.query.get("client_id", ""),
            seller=self._chosen(call) if call.method == "POST" else "",
        )

    def _chosen(self, call: Call) -> str:
        return call.form.get("login") or self.active_login

    @property
    def active_login(self) -> str:
        return self.world.active_login or next(iter(self.world.ads_logins), "")

    def answer(self, call: Call, args: Args) -> Reply:
        application = self.world.application(call.query.get("client_id", ""))
        redirect_uri = call.query.get("redirect_uri", "")
        if (
            application is None
            or application.kind != "ads"
            or redirect_uri not in application.redirect_uris
        ):
            # Sending anybody to an address that is not registered would be an open redirector.
            return pages.error_page(
                "invalid_request",
                "We're sorry, this address does not work",
                "The client is unknown, or the return address is not one of its Allowed "
                "Return URLs, letter for letter.",
            )
        refusal = _refusal(call)
        if refusal:
            return _return_error(call, *refusal)
        if call.method != "POST":
            return self._consent_page(application, args["host"], call.query["scope"])
        if call.form.get("decision") != "allow":
            return _return_error(call, "access_denied", "User denied access")
        return self._allow(call, redirect_uri)

    def _consent_page(self, application: Application, host: str, scope: str) -> Reply:
        logins = [
            (account.login, f"{account.name} ({account.login})")
            for account in self.world.ads_logins.values()
        ]
        return pages.page(
            f"Allow {application.name}",
            f"<p>Login with Amazon at <strong>{escape(host)}</strong>.</p>"
            f"<p>The application asks for <code>{escape(scope)}</code>.</p>",
            pages.form(
                pages.select("login", "Amazon login", logins, chosen=self.active_login),
                pages.buttons("decision", [("allow", "Allow"), ("deny", "Cancel")]),
            ),
        )

    def _allow(self, call: Call, redirect_uri: str) -> Reply:
        login = self._chosen(call)
        if login not in self.world.ads_logins:
            return pages.page("There is no such Amazon login", status=403, error="NO_PERMISSION")
        self.world.active_login = login
        grant = self.world.add_grant("ads", login, scope=call.query["scope"])
        code = self.world.issue_code(
            grant,
            redirect_uri=redirect_uri,
            code_challenge=call.query.get("code_challenge", ""),
            method=call.query.get("code_challenge_method", "plain"),
        )
        return _return(call, code=code, scope=call.query["scope"])


def _refusal(call: Call) -> tuple[str, str] | None:
    query = call.query
    if query.get("response_type") != "code":
        return "unsupported_response_type", "The response type is not supported"
    scopes = query.get("scope", "").split()
    if not scopes or not set(scopes) <= set(ADS_SCOPES):
        return "invalid_scope", "An unknown scope was requested"
    if query.get("code_challenge_method", "plain") not in ("S256", "plain"):
        return "invalid_request", "The code challenge method is not supported"
    return None


def _return(call: Call, **params: str) -> Reply:
    """Back to the application; `state` only if it sent one."""
    if "state" in call.query:
        params["state"] = call.query["state"]
    return redirect_reply(with_params(call.query["redirect_uri"], params))


def _return_error(call: Call, error: str, description: str) -> Reply:
    reply = _return(call, error=error, error_description=description)
    reply.error = error
    return reply


class AdsRefused(Exception):
    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.reply = json_reply(status, {"code": code, "details": details}, error=code)


class AdsProfiles:
    """`/v2/profiles`: every host lists the profiles of its own region."""

    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call, args: Args) -> Identity:
        value = _bearer(call)
        token = self.world.signer.read(value) if value else None
        grant = self.world.grants.get(token.grant_id) if token else None
        path = args.get("path", "")
        operation = "listProfiles" if path == "v2/profiles" else f"{call.method} /{path}"
        if path.startswith("v2/profiles/"):
            operation = "getProfileById"
        return Identity(
            surface="ads",
            operation=operation,
            region=ADS_API_HOSTS[args["host"]],
            client_id=call.headers.get("amazon-advertising-api-clientid", ""),
            seller=grant.seller if grant else "",
            token_sha256=sha256(value) if value else "",
        )

    def answer(self, call: Call, args: Args) -> Reply:
        try:
            login = self._require_login(call)
            region = ADS_API_HOSTS[args["host"]]
            profiles = [item for item in login.profiles if item.region == region]
            _require_scope_header(call, profiles)
            return _dispatch(call, args["path"], profiles)
        except AdsRefused as refusal:
            return refusal.reply

    def _require_login(self, call: Call) -> AdsLogin:
        grant = self._require_grant(call)
        scopes = set(grant.scope.split())
        login = self.world.ads_logins.get(grant.seller)
        if login is None or not scopes & set(ADS_SCOPES):
            raise AdsRefused(401, "UNAUTHORIZED", "Not authorized to access scope")
        return login

    def _require_grant(self, call: Call) -> Grant:
        token = self.world.signer.read(_bearer(call))
        client_id = call.headers.get("amazon-advertising-api-clientid", "")
        grant = self.world.grants.get(token.grant_id) if token else None
        now = self.world.clock.now()
        if (
            token is None
            or grant is None
            or grant.kind != "ads"
            or grant.revoked_at is not None
            or token.client_id != client_id
            or now >= token.issued_at + times.ACCESS_TOKEN_SECONDS
        ):
            raise AdsRefused(401, "UNAUTHORIZED", "HTTP 401 Unauthorized")
        return grant


def _bearer(call: Call) -> str:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _require_scope_header(call: Call, profiles: list[AdsProfile]) -> None:
    """Listing profiles needs no scope, but a wrong one is refused all the same."""
    scope = call.headers.get("amazon-advertising-api-scope")
    if scope is not None and scope not in {str(item.profile_id) for item in profiles}:
        raise AdsRefused(401, "UNAUTHORIZED", "No matching advertiser found for scope")


def _dispatch(call: Call, path: str, profiles: list[AdsProfile]) -> Reply:
    if call.method != "GET":
        raise AdsRefused(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed")
    if path == "v2/profiles":
        return json_reply(200, [item.as_wire() for item in _filtered(call, profiles)])
    wanted = path.removeprefix("v2/profiles/")
    if path == wanted:
        raise AdsRefused(404, "NOT_FOUND", "HTTP 404 Not Found")
    for item in profiles:
        if str(item.profile_id) == wanted:
            return json_reply(200, item.as_wire())
    raise AdsRefused(401, "UNAUTHORIZED", "Not authorized to access scope")


def _filtered(call: Call, profiles: list[AdsProfile]) -> list[AdsProfile]:
    """By default only what the login may edit; no pages, at most 5,000."""
    access = call.query.get("accessLevel", "edit")
    if access not in ("edit", "view"):
        raise AdsRefused(400, "INVALID_ARGUMENT", "accessLevel is one of edit, view")
    found = [item for item in profiles if access == "view" or item.access == "edit"]
    types = call.query.get("profileTypeFilter")
    if types is not None:
        found = [item for item in found if item.account_type in types.split(",")]
    payment = call.query.get("validPaymentMethodFilter")
    if payment is not None:
        # Only vendors have the field, so this filter hides every seller.
        wanted = payment == "true"
        found = [item for item in found if item.valid_payment_method is wanted]
    return found[:5000]
