"""The Selling Partner API on its three hosts: Sellers, and the rotation of the client secret.

Refusals are always 403 and never 401; only `details` tells them apart.
"""

from __future__ import annotations

from tests.amazon_emulator import clock as times
from tests.amazon_emulator.accounts import Seller
from tests.amazon_emulator.applications import ROTATION_SCOPE, Application
from tests.amazon_emulator.marketplaces import SPAPI_HOSTS
from tests.amazon_emulator.tokens import AccessToken
from tests.amazon_emulator.wire import Args, Call, Identity, Reply, json_reply, sha256
from tests.amazon_emulator.world import Grant, World

PARTICIPATIONS = "getMarketplaceParticipations"
ACCOUNT = "getAccount"
ROTATE = "rotateApplicationClientSecret"
ORDERS = "searchOrders"
INVENTORY = "getInventorySummaries"
FINANCES = "listFinancialEventGroups"
LISTINGS = "searchListingsItems"
REPORTS = "getReports"
_OPERATIONS = {
    ("GET", "sellers/v1/marketplaceParticipations"): PARTICIPATIONS,
    ("GET", "sellers/v1/account"): ACCOUNT,
    ("POST", "applications/2023-11-30/clientSecret"): ROTATE,
    ("GET", "orders/2026-01-01/orders"): ORDERS,
    ("GET", "fba/inventory/v1/summaries"): INVENTORY,
    ("GET", "finances/v0/financialEventGroups"): FINANCES,
    ("GET", "reports/2021-06-30/reports"): REPORTS,
}
# The Seller ID stands in the path.
_LISTINGS_PATH = "listings/2021-08-01/items/"
# Rate per second, as Amazon writes it, and burst.
LIMITS = {
    PARTICIPATIONS: ("0.016", 15),
    ACCOUNT: ("0.016", 15),
    ROTATE: ("0.0167", 1),
    ORDERS: ("0.0056", 20),
    INVENTORY: ("2.0", 2),
    FINANCES: ("0.5", 30),
    LISTINGS: ("5.0", 5),
    REPORTS: ("0.0222", 10),
}
_ROLES = {
    PARTICIPATIONS: {"Product Listing", "Selling Partner Insights"},
    ACCOUNT: {"Account Information Service Provider", "Finance and Accounting"},
    ORDERS: {"Inventory and Order Tracking"},
    INVENTORY: {"Amazon Fulfillment", "Inventory and Order Tracking"},
    FINANCES: {"Finance and Accounting"},
    LISTINGS: {"Product Listing"},
    REPORTS: {"Brand Analytics"},
}
# What a call must name (Amazon's models); orders need exactly one of two windows besides.
_REQUIRED = {
    INVENTORY: ("granularityType", "granularityId", "marketplaceIds"),
    LISTINGS: ("marketplaceIds",),
    REPORTS: ("reportTypes",),
}
_NOTHING_FOUND: dict[str, dict[str, object]] = {
    ORDERS: {"orders": []},
    INVENTORY: {"payload": {"granularity": {}, "inventorySummaries": []}},
    FINANCES: {"payload": {"FinancialEventGroupList": []}},
    LISTINGS: {"numberOfResults": 0, "items": []},
    REPORTS: {"reports": []},
}


def _operation_of(method: str, path: str) -> str:
    """Empty for what Amazon does not have."""
    seller_id = path.removeprefix(_LISTINGS_PATH)
    if method == "GET" and seller_id != path and seller_id and "/" not in seller_id:
        return LISTINGS
    return _OPERATIONS.get((method, path), "")


TOKEN_MISSING = "Access token is missing in the request header."
TOKEN_INVALID = "The access token you provided is revoked, malformed or invalid."
TOKEN_EXPIRED = "The access token you provided has expired."
SECRET_EXPIRED = "The LWA secret token you provided has expired."
WRONG_REGION = "The marketplaces you provided are not valid for region."
# A role is missing, or the path or operation is unknown.
NO_DETAILS = ""


class SpapiRefused(Exception):
    def __init__(self, status: int, code: str, message: str, details: str | None = "") -> None:
        super().__init__(code)
        error = {"code": code, "message": message}
        if details is not None:
            error["details"] = details
        self.reply = json_reply(status, {"errors": [error]}, error=code)
        if status == 403:
            self.reply.headers.append(("x-amzn-ErrorType", "AccessDeniedException"))


def denied(details: str) -> SpapiRefused:
    return SpapiRefused(403, "Unauthorized", "Access to requested resource is denied.", details)


class SellingPartnerApi:
    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call, args: Args) -> Identity:
        value = call.headers.get("x-amz-access-token", "")
        token = self.world.signer.read(value) if value else None
        grant = self.world.grants.get(token.grant_id) if token else None
        path = args.get("path", "")
        return Identity(
            surface="sellers",
            operation=_operation_of(call.method, path) or f"{call.method} /{path}",
            region=SPAPI_HOSTS[args["host"]],
            client_id=token.client_id if token else "",
            seller=grant.seller if grant else "",
            token_sha256=sha256(value) if value else "",
        )

    def answer(self, call: Call, args: Args) -> Reply:
        operation = _operation_of(call.method, args["path"])
        try:
            reply = self._answer(call, args["path"], operation, SPAPI_HOSTS[args["host"]])
        except SpapiRefused as refusal:
            reply = refusal.reply
        if operation and (200 <= reply.status < 210 or reply.status in (400, 404)):
            reply.headers.append(("x-amzn-RateLimit-Limit", LIMITS[operation][0]))
        return reply

    def _answer(self, call: Call, path: str, operation: str, region: str) -> Reply:
        if not operation:
            raise denied(NO_DETAILS)
        token, application = self._require_token(call)
        if operation == ROTATE:
            return self._rotate(token, application, region)
        seller = self._require_seller(token, application, operation, region)
        self._require_rate(application, seller.seller_id, region, operation)
        if call.body or "content-length" in call.headers:
            raise SpapiRefused(400, "InvalidInput", "Invalid Input", None)
        if operation in _NOTHING_FOUND:
            return self._nothing_found(call, path, operation, seller)
        entries = [item.as_wire() for item in seller.participations_in(region)]
        if operation == PARTICIPATIONS:
            return json_reply(200, {"payload": entries})
        return json_reply(200, {"payload": _account(seller, entries)})

    def _nothing_found(self, call: Call, path: str, operation: str, seller: Seller) -> Reply:
        """Nobody here has orders or goods: a good call is answered with an empty page.

        Amazon does not say what a foreign Seller ID in the path meets: here the 403 without
        details, which says nothing of why.
        """
        if operation == LISTINGS and path.removeprefix(_LISTINGS_PATH) != seller.seller_id:
            raise denied(NO_DETAILS)
        is_complete = all(call.query.get(name) for name in _REQUIRED.get(operation, ()))
        if operation == ORDERS:
            windows = ("createdAfter", "lastUpdatedAfter")
            is_complete = sum(name in call.query for name in windows) == 1
        if not is_complete:
            raise SpapiRefused(400, "InvalidInput", "Invalid Input", None)
        return json_reply(200, _NOTHING_FOUND[operation])

    # Checks -----------------------------------------------------------------------------

    def _require_token(self, call: Call) -> tuple[AccessToken, Application]:
        value = call.headers.get("x-amz-access-token", "")
        if not value:
            raise denied(TOKEN_MISSING)
        token = self.world.signer.read(value)
        application = self.world.application(token.client_id) if token else None
        if token is None or application is None or application.kind != "spapi":
            raise denied(TOKEN_INVALID)
        if self.world.clock.now() >= token.issued_at + times.ACCESS_TOKEN_SECONDS:
            raise denied(TOKEN_EXPIRED)
        if application.secret_has_expired(token.secret_id, self.world.clock):
            raise denied(SECRET_EXPIRED)
        return token, application

    def _require_seller(
        self, token: AccessToken, application: Application, operation: str, region: str
    ) -> Seller:
        if token.scope:
            raise denied(NO_DETAILS)
        grant = self._require_grant(token)
        if grant.region != region:
            raise denied(WRONG_REGION)
        # getAccount needs its roles in the EU only.
        needs_role = operation != ACCOUNT or region == "EU"
        if needs_role and not _ROLES[operation] & set(application.roles):
            raise denied(NO_DETAILS)
        return self.world.sellers[grant.seller]

    def _require_grant(self, token: AccessToken) -> Grant:
        grant = self.world.grants.get(token.grant_id)
        if grant is None or grant.revoked_at is not None or grant.seller not in self.world.sellers:
            raise denied(TOKEN_INVALID)
        return grant

    def _require_rate(
        self, application: Application, seller: str, region: str, operation: str
    ) -> None:
        rate, burst = LIMITS[operation]
        key = (application.client_id, seller, region, operation)
        if not self.world.take_from_bucket(key, rate=float(rate), burst=burst):
            raise SpapiRefused(
                429, "QuotaExceeded", "You exceeded your quota for the requested resource."
            )

    # Application Management ---------------------------------------------------------------

    def _rotate(self, token: AccessToken, application: Application, region: str) -> Reply:
        """204 and nothing in it: the new secret goes to the registered queue only."""
        if ROTATION_SCOPE not in token.scope.split():
            raise denied(NO_DETAILS)
        self._require_rate(application, "", region, ROTATE)
        if not application.has_rotation_queue:
            raise SpapiRefused(
                400,
                "InvalidInput",
                "Application is not enrolled for rotation notification.",
                None,
            )
        self.world.rotate_secret(application.kind)
        return Reply(204)


def _account(seller: Seller, entries: list[dict[str, object]]) -> dict[str, object]:
    """The shape of Amazon's model with made-up people; there is no seller id in it."""
    address = {
        "addressLine1": "123 Main St",
        "city": "Seattle",
        "stateOrProvinceCode": "WA",
        "postalCode": "98101",
        "countryCode": "US",
    }
    return {
        "businessType": "PRIVATE_LIMITED",
        "sellingPlan": "PROFESSIONAL",
        "marketplaceParticipationList": entries,
        "business": {"name": seller.name, "registeredBusinessAddress": address},
        "primaryContact": {"name": "John Doe", "address": address},
    }
