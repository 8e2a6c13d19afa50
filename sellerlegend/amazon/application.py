"""The Application Management API through python-amazon-sp-api: asking for a new client secret.

As in `sellers`, the library keeps the request; ours are the access token (its grantless cache is
shared by different applications of one process), the wire and the judgement of the answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from sp_api.api import ApplicationManagement

from sellerlegend.amazon.classify import spapi_error
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.amazon.http import USER_AGENT, Reply, send
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

OPERATION = "rotateApplicationClientSecret"
ROTATION_SCOPE = "sellingpartnerapi::client_credential:rotation"


class RotationNotPossible(AmazonError):
    """No queue is registered for the new secret, or it is a sandbox application: register one in
    the Developer Console, Notification Preferences."""

    summary = "the application is not enrolled for rotation"


def rotate_client_secret(*, endpoints: Endpoints, region: Region, access_token: Secret) -> None:
    """Make Amazon issue a new client secret, which it sends to the registered queue alone.

    The old one works for 7 more days. `access_token` is a grantless one with ROTATION_SCOPE. Plan:
    0.0167 requests/s, burst 1. Raises RotationNotPossible, AccessTokenRejected, AccessDenied,
    ClientMisconfigured, AmazonUnavailable (it may have been rotated all the same),
    UnexpectedReply.
    https://developer-docs.amazon.com/sp-api/docs/rotate-your-application-client-secret
    """
    client = _ApplicationClient(endpoints=endpoints, region=region, access_token=access_token)
    reply: Reply = client.rotate_application_client_secret()
    if reply.status == HTTPStatus.BAD_REQUEST:
        raise RotationNotPossible(reply.request_id, OPERATION)
    if reply.status != HTTPStatus.NO_CONTENT:
        raise spapi_error(reply, operation=OPERATION)


class _Wire:
    """Stands where the library keeps its httpx transport."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def request(
        self, method: str, url: str, *, headers: dict[str, str | Secret], **_content: object
    ) -> Reply:
        return send(method, url, endpoints=self.endpoints, operation=OPERATION, headers=headers)


class _ApplicationClient(ApplicationManagement):  # type: ignore[misc]  # the library has no types
    def __init__(self, *, endpoints: Endpoints, region: Region, access_token: Secret) -> None:
        # Not super().__init__(), for the reasons given in `sellers`.
        self.endpoint = endpoints.spapi(region)
        self.marketplace_id = ""
        self._access_token = access_token
        self._transport = _Wire(endpoints)

    @property
    def headers(self) -> dict[str, str | Secret]:
        return {
            "User-Agent": USER_AGENT,
            "x-amz-access-token": self._access_token,
            "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        }

    def _request_grantless_operation(self, path: str, *, data: dict[str, str]) -> Reply:
        """The library would add a marketplace to the body, which Amazon wants empty."""
        reply: Reply = self._request(path, data=data, add_marketplace=False)
        return reply

    def _check_response(self, res: Reply, *_options: object) -> Reply:
        return res
