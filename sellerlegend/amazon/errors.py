"""What can go wrong with Amazon, named by who must act.

Messages carry Amazon's request id and the operation, never a body, a token or a code.
"""

from __future__ import annotations

from enum import StrEnum


class Denial(StrEnum):
    """Why Amazon answered 403 although the access token is good."""

    MISSING_ROLE = "missing_role"
    WRONG_REGION = "wrong_region"
    OTHER = "other"


class AmazonError(Exception):
    """Root of every failure this package raises. `request_id` is empty when Amazon gave none."""

    summary = "failed"

    def __init__(self, request_id: str = "", operation: str = "") -> None:
        super().__init__(request_id, operation)
        self.request_id = request_id
        self.operation = operation

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.operation or 'amazon'}: {self.summary}{request}"


class AmazonUnavailable(AmazonError):
    """Network, timeout, 5xx, 429, or a 200 whose body cannot be used: the same call may work later.

    `retry_after` is in seconds, None when Amazon named no time.
    """

    summary = "not available now"

    def __init__(
        self,
        request_id: str = "",
        operation: str = "",
        retry_after: float | None = None,
        throttled: bool = False,
    ) -> None:
        super().__init__(request_id, operation)
        self.args = (request_id, operation, retry_after, throttled)
        self.retry_after = retry_after
        self.throttled = throttled


class HeldBack(AmazonUnavailable):
    """We did not call: Amazon's allowance is spent, or a breaker is open. Says nothing of Amazon's
    answer to this seller."""

    summary = "not called now"


class GrantInvalid(AmazonError):
    """The refresh token was refused: this seller or advertiser must consent again."""

    summary = "grant refused"


class CodeRejected(AmazonError):
    """The authorization code was used, too old or malformed: this attempt is over, start again."""

    summary = "authorization code refused"


class ClientMisconfigured(AmazonError):
    """Our own LWA client was refused or its secret is too old. Says nothing about any seller."""

    summary = "our client credentials were refused"


class ClientSecretRefused(ClientMisconfigured):
    """LWA does not know this secret of our client: another one may work (RFC 6749, 5.2)."""

    summary = "our client secret was refused"


class ClientSecretExpired(ClientMisconfigured):
    """SP-API refuses access tokens that were got with a secret older than 180 days, although LWA
    still gives them out."""

    summary = "our client secret is too old"


class AccessTokenRejected(AmazonError):
    """The access token is expired, revoked or malformed.

    Callers refresh once and try again; a second refusal, of a fresh token, is for them to judge.
    """

    summary = "access token refused"


class AccessDenied(AmazonError):
    """403 with a good token. `detail` says which kind."""

    summary = "access denied"

    def __init__(
        self, request_id: str = "", operation: str = "", detail: Denial = Denial.OTHER
    ) -> None:
        super().__init__(request_id, operation)
        self.args = (request_id, operation, detail)
        self.detail = detail


class UnexpectedReply(AmazonError):
    """A status or size that no page of Amazon's explains: not retried for ever, a person looks.

    `part` is of Amazon, as a surface and its region: whoever counts the answers of the parts says
    which one gave this one, None where nobody does.
    """

    summary = "unexpected reply"

    def __init__(self, request_id: str = "", operation: str = "", status: int = 0) -> None:
        super().__init__(request_id, operation)
        self.args = (request_id, operation, status)
        self.status = status
        self.part: tuple[str, str] | None = None
