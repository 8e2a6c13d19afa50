"""The two registered applications: their URIs, switches and client secrets."""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tests.amazon_emulator import clock as times
from tests.amazon_emulator.clock import Clock
from tests.amazon_emulator.wire import sha256

SPAPI_APPLICATION_ID = "amzn1.sp.solution.demo-0000"
SPAPI_CLIENT_ID = "amzn1.application-oa2-client.demo-spapi"
SPAPI_CLIENT_SECRET = "amzn1.oa2-cs.v1.demo-spapi"
ADS_CLIENT_ID = "amzn1.application-oa2-client.demo-ads"
ADS_CLIENT_SECRET = "amzn1.oa2-cs.v1.demo-ads"

# Roles (Amazon's models): participations need one of the first two, the account one of the next
# two in the EU; which ones the other operations need stands in sellers.py.
ROLES = (
    "Product Listing",
    "Selling Partner Insights",
    "Account Information Service Provider",
    "Finance and Accounting",
    "Inventory and Order Tracking",
    "Amazon Fulfillment",
    "Brand Analytics",
)
ADS_SCOPES = ("advertising::campaign_management", "cpc_advertising:campaign_management")
GRANTLESS_SCOPES = (
    "sellingpartnerapi::notifications",
    "sellingpartnerapi::client_credential:rotation",
    "sellingpartnerapi::shipments:track",
)
ROTATION_SCOPE = "sellingpartnerapi::client_credential:rotation"

Kind = Literal["spapi", "ads"]


@dataclass
class ClientSecret:
    """Kept as a hash. Past `expires_at` a superseded secret is refused by LWA; one that was
    never rotated still gets tokens from LWA, which the Selling Partner API then refuses."""

    sha256: str
    created_at: float
    expires_at: float
    is_superseded: bool = False
    notice_sent: bool = False
    secret_id: str = field(default_factory=lambda: secrets.token_hex(4))


@dataclass
class Application:
    kind: Kind
    name: str
    application_id: str
    client_id: str
    redirect_uris: list[str]
    login_uri: str = ""
    is_draft: bool = False
    is_private: bool = False
    is_listed: bool = False
    is_hybrid: bool = False
    # Sellers who may consent while the application is not listed in the Appstore.
    consent_limit: int = 25
    # Consents of sellers outside this world, which count too.
    other_consents: int = 0
    roles: list[str] = field(default_factory=lambda: list(ROLES))
    has_rotation_queue: bool = True
    # Amazon knows another secret than whoever asks.
    refuses_secrets: bool = False
    secrets: list[ClientSecret] = field(default_factory=list)

    def register_secret(self, secret: str, clock: Clock) -> None:
        """Makes `secret` the only one, valid 180 days from now."""
        self.secrets = [_new_secret(secret, clock, self.kind)]

    def find_secret(self, secret: str, clock: Clock) -> ClientSecret | None:
        """The secret LWA accepts, or None."""
        if self.refuses_secrets:
            return None
        digest = sha256(secret)
        for known in self.secrets:
            if hmac.compare_digest(known.sha256, digest):
                is_gone = known.is_superseded and clock.now() >= known.expires_at
                return None if is_gone else known
        return None

    def secret_has_expired(self, secret_id: str, clock: Clock) -> bool:
        """Whether the Selling Partner API refuses tokens that were got with this secret."""
        return all(
            clock.now() >= known.expires_at
            for known in self.secrets
            if known.secret_id == secret_id
        )

    def rotate_secret(self, clock: Clock, send: Callable[[dict[str, Any]], None]) -> str:
        """Returns the new secret; the old one lives 7 more days. That of the Selling Partner
        application also goes to its queue; the Ads console shows its own and sends nothing."""
        old = self.secrets[-1]
        old.is_superseded = True
        old.expires_at = clock.now() + times.SECRET_OVERLAP_SECONDS
        value = f"amzn1.oa2-cs.v1.{secrets.token_hex(32)}"
        new = _new_secret(value, clock, self.kind)
        self.secrets = [old, new]
        if self.kind != "spapi" or not self.has_rotation_queue:
            return value
        send(
            queue_message(
                "APPLICATION_OAUTH_CLIENT_NEW_SECRET",
                clock,
                applicationOAuthClientNewSecret={
                    "clientId": self.client_id,
                    "newClientSecret": value,
                    "newClientSecretExpiryTime": times.iso(new.expires_at),
                    "oldClientSecretExpiryTime": times.iso(old.expires_at),
                },
            )
        )
        return value

    def send_expiry_notice(self, clock: Clock, send: Callable[[dict[str, Any]], None]) -> None:
        """Amazon notifies 90 days before the deadline, once."""
        secret = self.secrets[-1]
        due = clock.now() >= secret.expires_at - times.SECRET_NOTICE_SECONDS
        if self.kind != "spapi" or not self.has_rotation_queue or secret.notice_sent or not due:
            return
        secret.notice_sent = True
        send(
            queue_message(
                "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY",
                clock,
                applicationOAuthClientSecretExpiry={
                    "clientId": self.client_id,
                    "clientSecretExpiryTime": times.iso(secret.expires_at),
                    "clientSecretExpiryReason": "PERIODIC_ROTATION",
                },
            )
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Application:
        known = [ClientSecret(**secret) for secret in value.pop("secrets")]
        return cls(**value, secrets=known)


def _new_secret(secret: str, clock: Clock, kind: Kind) -> ClientSecret:
    # The 180-day rule is the Selling Partner API's; none is documented for Amazon Ads clients.
    life = times.SECRET_SECONDS if kind == "spapi" else 100 * times.GRANT_SECONDS
    return ClientSecret(sha256(secret), clock.now(), clock.now() + life)


def queue_message(
    notification_type: str, clock: Clock, **payload: dict[str, str]
) -> dict[str, Any]:
    """The envelope of Amazon's rotation sample (lower camel case)."""
    return {
        "notificationVersion": "1.0",
        "notificationType": notification_type,
        "payloadVersion": "1.0",
        "eventTime": clock.iso(),
        "payload": payload,
        "notificationMetadata": {
            "applicationId": "",
            "subscriptionId": str(uuid.uuid4()),
            "publishTime": clock.iso(),
            "notificationId": str(uuid.uuid4()),
        },
    }


def demo_applications(product_url: str, clock: Clock) -> dict[Kind, Application]:
    base = product_url.rstrip("/")
    spapi = Application(
        kind="spapi",
        name="Account Connections",
        application_id=SPAPI_APPLICATION_ID,
        client_id=SPAPI_CLIENT_ID,
        redirect_uris=[f"{base}/amazon/spapi/callback"],
        login_uri=f"{base}/amazon/spapi/login",
    )
    ads = Application(
        kind="ads",
        name="Account Connections for Amazon Ads",
        application_id="",
        client_id=ADS_CLIENT_ID,
        redirect_uris=[f"{base}/amazon/ads/callback"],
    )
    spapi.register_secret(SPAPI_CLIENT_SECRET, clock)
    ads.register_secret(ADS_CLIENT_SECRET, clock)
    return {"spapi": spapi, "ads": ads}
