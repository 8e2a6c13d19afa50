"""One emulator for each test, and a caller that does what a product would do."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from tests.amazon_emulator import RunningEmulator, demo, running_emulator
from tests.amazon_emulator import applications as registered

SECRETS = {"spapi": registered.SPAPI_CLIENT_SECRET, "ads": registered.ADS_CLIENT_SECRET}


@dataclass
class Caller:
    """Speaks to the emulator as a product and as a browser; redirects are never followed."""

    emulator: RunningEmulator
    session: requests.Session
    client_secrets: dict[str, str] = field(default_factory=lambda: dict(SECRETS))

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(
            self.emulator.url + path, allow_redirects=False, timeout=10, **options
        )

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(
            self.emulator.url + path, allow_redirects=False, timeout=10, **options
        )

    # Consent ----------------------------------------------------------------------------

    def consent_path(self, host: str = "sellercentral.amazon.com", **changes: str | None) -> str:
        application = self.emulator.world.applications["spapi"]
        params: dict[str, str | None] = {
            "application_id": application.application_id,
            "state": "the-state",
            "redirect_uri": (application.redirect_uris or [""])[0],
            **changes,
        }
        given = {name: value for name, value in params.items() if value is not None}
        return f"/{host}/apps/authorize/consent?{urlencode(given)}"

    def confirm(
        self,
        seller: str = demo.NORTHSTAR,
        host: str = "sellercentral.amazon.com",
        **changes: str | None,
    ) -> requests.Response:
        form = {"seller": seller, "decision": "confirm"}
        return self.post(self.consent_path(host, **changes), data=form)

    def spapi_code(self, seller: str = demo.NORTHSTAR) -> str:
        return query_of(self.confirm(seller))["spapi_oauth_code"]

    def ads_path(self, host: str = "www.amazon.com", /, **changes: str | None) -> str:
        application = self.emulator.world.applications["ads"]
        params: dict[str, str | None] = {
            "client_id": application.client_id,
            "scope": "advertising::campaign_management",
            "response_type": "code",
            "redirect_uri": application.redirect_uris[0],
            "state": "the-state",
            **changes,
        }
        given = {name: value for name, value in params.items() if value is not None}
        return f"/{host}/ap/oa?{urlencode(given)}"

    def allow(
        self,
        login: str = demo.NORTHSTAR_LOGIN,
        host: str = "www.amazon.com",
        /,
        **changes: str | None,
    ) -> requests.Response:
        form = {"login": login, "decision": "allow"}
        return self.post(self.ads_path(host, **changes), data=form)

    # Tokens -----------------------------------------------------------------------------

    def token(
        self, application: str = "spapi", host: str = "api.amazon.com", **form: str
    ) -> requests.Response:
        client = {
            "client_id": {
                "spapi": registered.SPAPI_CLIENT_ID,
                "ads": registered.ADS_CLIENT_ID,
            }[application],
            "client_secret": self.client_secrets[application],
        }
        return self.post(f"/{host}/auth/o2/token", data={**client, **form})

    def exchange(self, code: str, application: str = "spapi", **form: str) -> requests.Response:
        return self.token(application, grant_type="authorization_code", code=code, **form)

    def exchange_ads(self, code: str, **form: str) -> requests.Response:
        redirect_uri = self.emulator.world.applications["ads"].redirect_uris[0]
        return self.exchange(code, "ads", **{"redirect_uri": redirect_uri, **form})

    def refresh(self, refresh_token: str, application: str = "spapi") -> requests.Response:
        return self.token(application, grant_type="refresh_token", refresh_token=refresh_token)

    def spapi_token(self, seller: str = demo.NORTHSTAR, region: Any = "NA") -> str:
        refresh_token = self.emulator.world.authorize(seller, region)
        return str(self.refresh(refresh_token).json()["access_token"])

    def ads_token(self, login: str = demo.NORTHSTAR_LOGIN) -> str:
        refresh_token = self.emulator.world.authorize_ads(login)
        return str(self.refresh(refresh_token, "ads").json()["access_token"])

    def grantless_token(self, scope: str) -> str:
        reply = self.token(grant_type="client_credentials", scope=scope)
        return str(reply.json()["access_token"])

    # APIs -------------------------------------------------------------------------------

    def sellers(
        self,
        token: str | None,
        path: str = "sellers/v1/marketplaceParticipations",
        region: str = "na",
        **options: Any,
    ) -> requests.Response:
        headers = {} if token is None else {"x-amz-access-token": token}
        return self.get(
            f"/sellingpartnerapi-{region}.amazon.com/{path}", headers=headers, **options
        )

    def profiles(
        self,
        token: str | None,
        host: str = "advertising-api.amazon.com",
        path: str = "v2/profiles",
        /,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        sent = {"Amazon-Advertising-API-ClientId": registered.ADS_CLIENT_ID}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return self.get(f"/{host}/{path}", headers={**sent, **(headers or {})}, params=params)


def query_of(reply: requests.Response) -> dict[str, str]:
    """The parameters of a redirect; every one of them stands there once."""
    pairs = parse_qsl(urlsplit(reply.headers["Location"]).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def error_of(reply: requests.Response) -> tuple[int, str, str]:
    """Status, code and details of a refusal by the Selling Partner API."""
    (error,) = reply.json()["errors"]
    return reply.status_code, error["code"], error["details"]


def new_verifier() -> tuple[str, str]:
    """A code verifier and its S256 challenge."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture
def caller(emulator: RunningEmulator) -> Iterator[Caller]:
    with requests.Session() as session:
        yield Caller(emulator, session)
