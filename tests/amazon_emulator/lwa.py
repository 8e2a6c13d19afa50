"""Login with Amazon: the token endpoint, the same on its three hosts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import unquote_plus

from tests.amazon_emulator import clock as times
from tests.amazon_emulator.applications import GRANTLESS_SCOPES, Application, ClientSecret
from tests.amazon_emulator.tokens import AccessToken
from tests.amazon_emulator.wire import Args, Call, Identity, Reply, json_reply, request_id, sha256
from tests.amazon_emulator.world import AuthorizationCode, Grant, World

_CODE = re.compile(r"[A-Za-z0-9]{1,256}")
REFRESH_REFUSED = (
    "The request has an invalid grant parameter : refresh_token. "
    "User may have revoked or didn't grant the permission."
)


class LwaRefused(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def reply(self) -> Reply:
        """`request_id` and `error_index` stand in a refused grant, never in a refused client."""
        value = {"error_description": self.description, "error": self.error}
        kind = "OA2InvalidRequestException"
        if self.error == "invalid_client":
            kind = "OA2InvalidClientException"
        else:
            value["request_id"] = request_id()
        if self.error == "invalid_grant":
            value["error_index"] = secrets.token_urlsafe(32)
        return _reply(self.status, value, ("x-amzn-ErrorType", f"{kind}:"), error=self.error)


class Lwa:
    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call, args: Args) -> Identity:
        grant_type = call.form.get("grant_type", "")
        carried = call.form.get("refresh_token") or call.form.get("code") or ""
        grant = self.world.grant_of_refresh_token(carried) if carried else None
        code = self.world.codes.get(sha256(carried)) if carried else None
        if grant is None and code is not None:
            grant = self.world.grants.get(code.grant_id)
        return Identity(
            surface="lwa",
            operation=grant_type or "token",
            region=grant.region if grant else "",
            client_id=_client_credentials(call)[0],
            seller=grant.seller if grant else "",
            token_sha256=sha256(carried) if carried else "",
        )

    def answer(self, call: Call, args: Args) -> Reply:
        if call.method != "POST":
            return Reply(405, b"", [("Allow", "POST")])
        try:
            return self._token(call)
        except LwaRefused as refusal:
            return refusal.reply()

    def _token(self, call: Call) -> Reply:
        if not call.is_form:
            raise LwaRefused("invalid_request", "The Content-Type of the request is not a form")
        application, secret = self._client(call)
        match call.form.get("grant_type", ""):
            case "authorization_code":
                return self._exchange(call.form, application, secret)
            case "refresh_token":
                return self._refresh(call.form, application, secret)
            case "client_credentials":
                return self._grantless(call.form, application, secret)
        raise LwaRefused(
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server",
        )

    def _client(self, call: Call) -> tuple[Application, ClientSecret]:
        client_id, value = _client_credentials(call)
        application = self.world.application(client_id)
        secret = application.find_secret(value, self.world.clock) if application else None
        if application is None or secret is None:
            raise LwaRefused("invalid_client", "Client authentication failed", 401)
        return application, secret

    # authorization_code -----------------------------------------------------------------

    def _exchange(
        self, form: dict[str, str], application: Application, secret: ClientSecret
    ) -> Reply:
        value = _required(form, "code")
        if not _CODE.fullmatch(value):
            raise LwaRefused("invalid_request", "The request has an invalid parameter : code")
        code = self.world.codes.get(sha256(value))
        grant = self.world.grants.get(code.grant_id) if code else None
        if code is None or grant is None or code.is_used:
            raise _code_refused()
        if grant.client_id != application.client_id or grant.revoked_at is not None:
            raise _code_refused()
        self._require_fresh(code, application)
        _require_redirect_uri(form, code, application)
        _require_verifier(form, code)
        code.is_used = True
        refresh_token = self.world.issue_refresh_token(grant)
        return self._success(application, secret, grant, refresh_token)

    def _require_fresh(self, code: AuthorizationCode, application: Application) -> None:
        """An expired code shows as one error or the other; the Ads guides name the second."""
        if self.world.clock.now() < code.issued_at + times.AUTHORIZATION_CODE_SECONDS:
            return
        if application.kind == "ads":
            raise LwaRefused("invalid_request", "The request has an invalid parameter : code")
        raise _code_refused()

    # refresh_token ----------------------------------------------------------------------

    def _refresh(
        self, form: dict[str, str], application: Application, secret: ClientSecret
    ) -> Reply:
        value = _required(form, "refresh_token")
        grant = self.world.grant_of_refresh_token(value)
        if (
            grant is None
            or grant.client_id != application.client_id
            or not grant.is_alive(self.world.clock.now())
        ):
            raise LwaRefused("invalid_grant", REFRESH_REFUSED)
        return self._success(application, secret, grant, value)

    # client_credentials -----------------------------------------------------------------

    def _grantless(
        self, form: dict[str, str], application: Application, secret: ClientSecret
    ) -> Reply:
        if application.kind != "spapi":
            raise LwaRefused(
                "unauthorized_client", "The client is not authorized to request this grant"
            )
        scope = _required(form, "scope")
        if not set(scope.split()) <= set(GRANTLESS_SCOPES):
            raise LwaRefused("invalid_scope", "The request has an invalid parameter : scope")
        return self._success(application, secret, None, None, scope)

    def _success(
        self,
        application: Application,
        secret: ClientSecret,
        grant: Grant | None,
        refresh_token: str | None,
        scope: str = "",
    ) -> Reply:
        access_token = self.world.signer.sign(
            AccessToken(
                client_id=application.client_id,
                secret_id=secret.secret_id,
                grant_id=grant.grant_id if grant else "",
                scope=grant.scope if grant else scope,
                issued_at=self.world.clock.now(),
            )
        )
        self.world.remember(access_token)
        value: dict[str, Any] = {"access_token": access_token}
        if refresh_token is not None:
            value["refresh_token"] = refresh_token
        value |= {"token_type": "bearer", "expires_in": times.ACCESS_TOKEN_SECONDS}
        return _reply(200, value)


def _client_credentials(call: Call) -> tuple[str, str]:
    """From the form, or HTTP Basic, which the Login with Amazon documents also allow."""
    kind, _, encoded = call.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        client_id, _, secret = text.partition(":")
        return unquote_plus(client_id), unquote_plus(secret)
    return call.form.get("client_id", ""), call.form.get("client_secret", "")


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise LwaRefused("invalid_request", f"The request is missing a required parameter : {name}")
    return value


def _code_refused() -> LwaRefused:
    return LwaRefused("invalid_grant", "The request has an invalid grant parameter : code")


def _require_redirect_uri(
    form: dict[str, str], code: AuthorizationCode, application: Application
) -> None:
    """Ads codes need it; Selling Partner codes are exchanged without it by Amazon's sample."""
    given = form.get("redirect_uri")
    if given is None and application.kind == "ads":
        _required(form, "redirect_uri")
    if given is not None and given != code.redirect_uri:
        raise LwaRefused(
            "invalid_grant", "The request has an invalid grant parameter : redirect_uri"
        )


def _require_verifier(form: dict[str, str], code: AuthorizationCode) -> None:
    """RFC 7636 section 4.6; a code asked for without a challenge needs no verifier."""
    if not code.code_challenge:
        return
    verifier = form.get("code_verifier", "")
    derived = verifier
    if code.code_challenge_method == "S256":
        digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
        derived = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if not verifier or derived != code.code_challenge:
        raise LwaRefused(
            "invalid_grant", "The request has an invalid grant parameter : code_verifier"
        )


def _reply(status: int, value: object, *headers: tuple[str, str], error: str = "") -> Reply:
    reply = json_reply(status, value, *headers, error=error)
    reply.headers = [
        ("Content-Type", "application/json;charset=UTF-8"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
        ("Vary", "User-Agent,Accept-Encoding"),
        *reply.headers[1:],
    ]
    return reply
