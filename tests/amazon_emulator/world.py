"""Everything the fake Amazon remembers: applications, accounts, grants, codes and its clock."""

from __future__ import annotations

import json
import secrets
import string
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.amazon_emulator import clock as times
from tests.amazon_emulator.accounts import AdsLogin, Participation, Seller
from tests.amazon_emulator.applications import Application, Kind, demo_applications
from tests.amazon_emulator.clock import Clock
from tests.amazon_emulator.marketplaces import Region, find_marketplace
from tests.amazon_emulator.tokens import TokenSigner
from tests.amazon_emulator.wire import sha256

_CODE_ALPHABET = string.ascii_letters + string.digits


@dataclass
class Grant:
    """One consent. `seller` is the Seller ID, or for Amazon Ads the login (then without region:
    Ads grants are global)."""

    grant_id: str
    kind: Kind
    client_id: str
    seller: str
    region: str
    scope: str
    granted_at: float
    revoked_at: float | None = None

    def is_alive(self, now: float) -> bool:
        return self.revoked_at is None and now < self.granted_at + times.GRANT_SECONDS


@dataclass
class AuthorizationCode:
    grant_id: str
    redirect_uri: str
    issued_at: float
    code_challenge: str = ""
    code_challenge_method: str = ""
    is_used: bool = False


@dataclass
class AppstoreState:
    """Ties Amazon's half of an Appstore start to the confirmation that ends it."""

    application_id: str
    host: str
    seller: str
    issued_at: float


@dataclass
class Bucket:
    tokens: float
    filled_at: float


class World:
    """Safe for threads: whoever reads or changes it holds `lock` (the server does).

    With `file` it is written there, atomically, by `save_if_changed`. Only hashes of tokens,
    codes and secrets are kept, in memory as well as in the file; `issued` alone remembers the
    raw values, in memory, so that a test can look for leaks.
    """

    def __init__(self, *, product_url: str, file: Path | None, queue_file: Path | None) -> None:
        self.lock = threading.RLock()
        self.file = file
        self.queue_file = queue_file
        self.product_url = product_url
        self.issued: set[str] = set()
        self.remembers_secrets = False
        self.queue: list[dict[str, Any]] = []
        self.is_changed = False
        self._empty()

    def _empty(self) -> None:
        self.clock = Clock()
        self.applications: dict[Kind, Application] = demo_applications(self.product_url, self.clock)
        self.sellers: dict[str, Seller] = {}
        self.ads_logins: dict[str, AdsLogin] = {}
        self.grants: dict[str, Grant] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        # SHA-256 of the refresh token -> grant.
        self.refresh_tokens: dict[str, str] = {}
        # The secret that the console shows after a rotation there; in memory alone.
        self.console_secrets: dict[Kind, str] = {}
        self.appstore_states: dict[str, AppstoreState] = {}
        # The account the browser is signed in to, by region, and the Ads login.
        self.active_sellers: dict[str, str] = {}
        self.active_login = ""
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self._use_signing_key(secrets.token_bytes(32))

    def _use_signing_key(self, key: bytes) -> None:
        self._signing_key = key
        self.signer = TokenSigner(key)

    def clear(self) -> None:
        """An empty world with the two registered applications; every token is void."""
        with self.lock:
            self._empty()
            self.changed()

    # Accounts ---------------------------------------------------------------------------

    def add_seller(
        self,
        seller_id: str,
        name: str | None = None,
        *,
        marketplaces: Iterable[str] = (),
        not_participating: Iterable[str] = (),
        suspended: Iterable[str] = (),
        regions: Iterable[Region] = (),
        is_vendor: bool = False,
    ) -> Seller:
        """Marketplaces by id or Ads country code. `regions` adds regions in which the account
        exists without any participation. Replaces a seller of the same id."""
        seller = Seller(
            seller_id, name or seller_id, list(regions), is_vendor=is_vendor, _revoke=self.revoke
        )
        suspended = {find_marketplace(item).marketplace_id for item in suspended}
        for identifier in marketplaces:
            known = find_marketplace(identifier).marketplace_id
            seller.add_marketplace(identifier, has_suspended_listings=known in suspended)
        for identifier in not_participating:
            seller.add_marketplace(identifier, is_participating=False)
        with self.lock:
            self.sellers[seller_id] = seller
            self.changed()
        return seller

    def add_ads_login(self, login: str, name: str | None = None) -> AdsLogin:
        account = AdsLogin(login, name or login, _revoke=self.revoke)
        with self.lock:
            self.ads_logins[login] = account
            self.changed()
        return account

    def add_participation(self, seller_id: str, participation: Participation) -> None:
        """For entries outside the marketplace table, duplicates and other oddities."""
        with self.lock:
            self.sellers[seller_id].participations.append(participation)
            self.changed()

    def sellers_in(self, region: str) -> list[Seller]:
        return [seller for seller in self.sellers.values() if region in seller.regions]

    # Applications -----------------------------------------------------------------------

    def application(self, client_id: str) -> Application | None:
        return next((a for a in self.applications.values() if a.client_id == client_id), None)

    def application_by_id(self, application_id: str) -> Application | None:
        known = self.applications["spapi"]
        return known if application_id and known.application_id == application_id else None

    def use_product_url(self, product_url: str) -> None:
        """Registers the URIs of a product that runs elsewhere, for example a live server."""
        base = product_url.rstrip("/")
        with self.lock:
            self.product_url = product_url
            self.applications["spapi"].redirect_uris = [f"{base}/amazon/spapi/callback"]
            self.applications["spapi"].login_uri = f"{base}/amazon/spapi/login"
            self.applications["ads"].redirect_uris = [f"{base}/amazon/ads/callback"]
            self.changed()

    def rotate_secret(self, kind: Kind = "spapi") -> str:
        with self.lock:
            secret = self.applications[kind].rotate_secret(self.clock, self.send_to_queue)
            self.remember(secret)
            self.changed()
            return secret

    def send_to_queue(self, message: dict[str, Any]) -> None:
        """The queue the developer registered in the console: one JSON message a line."""
        self.queue.append(message)
        if self.queue_file is not None:
            with self.queue_file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(message) + "\n")

    def remember(self, secret: str) -> None:
        if self.remembers_secrets:
            self.issued.add(secret)

    # Grants -----------------------------------------------------------------------------

    def add_grant(self, kind: Kind, seller: str, *, region: str = "", scope: str = "") -> Grant:
        """Records a consent now. It does not end an earlier one of the same seller."""
        with self.lock:
            grant = Grant(
                grant_id=secrets.token_hex(8),
                kind=kind,
                client_id=self.applications[kind].client_id,
                seller=seller,
                region=region,
                scope=scope,
                granted_at=self.clock.now(),
            )
            self.grants[grant.grant_id] = grant
            self.changed()
            return grant

    def issue_code(
        self, grant: Grant, *, redirect_uri: str, code_challenge: str = "", method: str = ""
    ) -> str:
        code = "AN" + "".join(secrets.choice(_CODE_ALPHABET) for _ in range(18))
        with self.lock:
            self._forget_old_codes()
            self.codes[sha256(code)] = AuthorizationCode(
                grant.grant_id, redirect_uri, self.clock.now(), code_challenge, method
            )
            self.remember(code)
            self.changed()
        return code

    def _forget_old_codes(self) -> None:
        oldest = self.clock.now() - times.DAY
        self.codes = {key: code for key, code in self.codes.items() if code.issued_at > oldest}

    def issue_refresh_token(self, grant: Grant) -> str:
        token = "Atzr|" + secrets.token_urlsafe(261)
        with self.lock:
            self.refresh_tokens[sha256(token)] = grant.grant_id
            self.remember(token)
            self.changed()
        return token

    def grant_of_refresh_token(self, token: str) -> Grant | None:
        return self.grants.get(self.refresh_tokens.get(sha256(token), ""))

    def authorize(self, seller_id: str, region: Region) -> str:
        """The whole consent in one step, for tests that start later: a refresh token."""
        return self.issue_refresh_token(self.add_grant("spapi", seller_id, region=region))

    def authorize_ads(self, login: str) -> str:
        scope = "advertising::campaign_management"
        return self.issue_refresh_token(self.add_grant("ads", login, scope=scope))

    def revoke(self, seller: str, region: str | None = None) -> int:
        """Ends the grants of a Seller ID (in one region or all) or of an Ads login."""
        with self.lock:
            ended = [
                grant
                for grant in self.grants.values()
                if grant.seller == seller
                and region in (None, grant.region)
                and grant.revoked_at is None
            ]
            for grant in ended:
                grant.revoked_at = self.clock.now()
            self.changed()
            return len(ended)

    def sellers_with_consent(self, application: Application) -> set[str]:
        now = self.clock.now()
        return {
            grant.seller
            for grant in self.grants.values()
            if grant.client_id == application.client_id and grant.is_alive(now)
        }

    # Rate limits ------------------------------------------------------------------------

    def take_from_bucket(self, key: tuple[str, ...], *, rate: float, burst: int) -> bool:
        """A token bucket on the emulator's clock; False when it is empty."""
        with self.lock:
            now = self.clock.now()
            bucket = self.buckets.setdefault(key, Bucket(burst, now))
            bucket.tokens = min(burst, bucket.tokens + (now - bucket.filled_at) * rate)
            bucket.filled_at = now
            if bucket.tokens < 1:
                return False
            bucket.tokens -= 1
            return True

    # Time and storage -------------------------------------------------------------------

    def advance_clock(self, seconds: float) -> None:
        with self.lock:
            self.clock.advance(seconds)
            for application in self.applications.values():
                application.send_expiry_notice(self.clock, self.send_to_queue)
            self.changed()

    def changed(self) -> None:
        """Tell the world that something it holds was edited directly, so that it is saved."""
        self.is_changed = True

    def save_if_changed(self) -> None:
        with self.lock:
            if not self.is_changed:
                return
            self.is_changed = False
            if self.file is not None:
                _write_atomically(self.file, json.dumps(self.as_dict(), indent=1))

    def as_dict(self) -> dict[str, Any]:
        return {
            "version": 1,
            "clock_offset": self.clock.offset,
            "signing_key": self._signing_key.hex(),
            "applications": [item.as_dict() for item in self.applications.values()],
            "sellers": [item.as_dict() for item in self.sellers.values()],
            "ads_logins": [item.as_dict() for item in self.ads_logins.values()],
            "grants": [asdict(item) for item in self.grants.values()],
            "codes": {key: asdict(item) for key, item in self.codes.items()},
            "refresh_tokens": self.refresh_tokens,
            "appstore_states": {key: asdict(i) for key, i in self.appstore_states.items()},
            "active_sellers": self.active_sellers,
            "active_login": self.active_login,
        }

    def load(self, value: dict[str, Any]) -> None:
        """Takes over what `as_dict` wrote; the product's address stays the one of this start."""
        with self.lock:
            self._empty()
            self.clock.offset = value["clock_offset"]
            self._use_signing_key(bytes.fromhex(value["signing_key"]))
            known = [Application.from_dict(item) for item in value["applications"]]
            self.applications = {item.kind: item for item in known}
            self.use_product_url(self.product_url)
            sellers = [Seller.from_dict(item, self.revoke) for item in value["sellers"]]
            self.sellers = {item.seller_id: item for item in sellers}
            logins = [AdsLogin.from_dict(item, self.revoke) for item in value["ads_logins"]]
            self.ads_logins = {item.login: item for item in logins}
            self.grants = {item["grant_id"]: Grant(**item) for item in value["grants"]}
            self.codes = {k: AuthorizationCode(**item) for k, item in value["codes"].items()}
            self.refresh_tokens = value["refresh_tokens"]
            states = value["appstore_states"].items()
            self.appstore_states = {key: AppstoreState(**item) for key, item in states}
            self.active_sellers = value["active_sellers"]
            self.active_login = value["active_login"]


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=path.name, delete=False
    ) as stream:
        stream.write(text)
    Path(stream.name).replace(path)
