"""Asking for one item of a kind, to learn whether our application may: only the status is read.

200 says that the role is granted and 403 with empty details that it is missing; everything else
(a refused token, 429, 5xx, a page instead of JSON, other words) says nothing about the role.
https://developer-docs.amazon.com/sp-api/docs/resolve-common-http-and-authorization-error-codes
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from sellerlegend.amazon.classify import spapi_error, unusable_body
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AccessDenied, Denial
from sellerlegend.amazon.http import USER_AGENT, parse_json, send
from sellerlegend.amazon.reading import is_identifier
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

WINDOW = timedelta(days=1)


class ProbeKind(StrEnum):
    """What is asked for, each with an operation and a role of its own at Amazon."""

    ORDERS = "orders"
    INVENTORY = "inventory"
    FINANCES = "finances"
    LISTINGS = "listings"
    REPORTS = "reports"


OPERATIONS = {
    ProbeKind.ORDERS: "orders.searchOrders",
    ProbeKind.INVENTORY: "fbaInventory.getInventorySummaries",
    ProbeKind.FINANCES: "finances.listFinancialEventGroups",
    ProbeKind.LISTINGS: "listings.searchListingsItems",
    ProbeKind.REPORTS: "reports.getReports",
}


@dataclass(frozen=True)
class _Request:
    path: str
    params: dict[str, str]


def has_role(
    kind: ProbeKind,
    *,
    endpoints: Endpoints,
    region: Region,
    access_token: Secret,
    selling_partner_id: str,
    marketplace_id: str,
) -> bool:
    """Whether Amazon lets us have one item of this kind.

    For LISTINGS the path names the seller: True is also the proof that the token is that
    seller's, and False may mean a missing role or another seller. Raises AccessTokenRejected,
    AccessDenied, ClientMisconfigured, AmazonUnavailable, UnexpectedReply, ValueError for an id
    that is none.
    """
    wanted = _request(kind, selling_partner_id, marketplace_id)
    operation = OPERATIONS[kind]
    reply = send(
        "GET",
        f"{endpoints.spapi(region)}{wanted.path}",
        endpoints=endpoints,
        operation=operation,
        params=wanted.params,
        headers={
            "User-Agent": USER_AGENT,
            "x-amz-access-token": access_token,
            "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        },
    )
    if reply.status == HTTPStatus.OK:
        if not isinstance(parse_json(reply.body), dict):
            raise unusable_body(reply, operation=operation)
        return True
    error = spapi_error(reply, operation=operation)
    if isinstance(error, AccessDenied) and error.detail == Denial.MISSING_ROLE:
        return False
    raise error


def _request(kind: ProbeKind, selling_partner_id: str, marketplace_id: str) -> _Request:
    """As in Amazon's API models of 2026-08-05, for one item."""
    if not (is_identifier(selling_partner_id) and is_identifier(marketplace_id)):
        raise ValueError("no id of Amazon's")
    since = (datetime.now(UTC) - WINDOW).strftime("%Y-%m-%dT%H:%M:%SZ")
    requests = {
        ProbeKind.ORDERS: _Request(
            "/orders/2026-01-01/orders",
            {
                "createdAfter": since,
                "marketplaceIds": marketplace_id,
                "maxResultsPerPage": "1",
            },
        ),
        ProbeKind.INVENTORY: _Request(
            "/fba/inventory/v1/summaries",
            {
                "granularityType": "Marketplace",
                "granularityId": marketplace_id,
                "marketplaceIds": marketplace_id,
            },
        ),
        ProbeKind.FINANCES: _Request(
            "/finances/v0/financialEventGroups", {"MaxResultsPerPage": "1"}
        ),
        ProbeKind.LISTINGS: _Request(
            f"/listings/2021-08-01/items/{selling_partner_id}",
            {"marketplaceIds": marketplace_id, "pageSize": "1"},
        ),
        ProbeKind.REPORTS: _Request(
            "/reports/2021-06-30/reports",
            {"reportTypes": "GET_SALES_AND_TRAFFIC_REPORT", "pageSize": "1"},
        ),
    }
    return requests[kind]
