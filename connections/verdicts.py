"""What each kind of Amazon failure means for a job: decided once, for every entrance."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from django.utils import timezone

from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    Denial,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.jobs import incidents
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import staff_notices

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 900.0
# What our own staff have to mend: never sooner than this, and then ever less often.
SHORTEST_OF_OURS = (45.0, 75.0)


class GrantDoubted(AmazonError):
    """Amazon refused the grant a moment ago; it is asked again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(operation="lwa.refresh")
        self.retry_after = retry_after


class GrantMissing(AmazonError):
    """There is no consent to act with: never given, or disconnected."""


class GrantUnreadable(AmazonError):
    """The vault refused to open the stored consent, so Amazon was not asked."""


class VaultKeyMissing(AmazonError):
    """A key is missing, wrong or damaged: our own fault, so no seller's row changes."""


class Quarantined(AmazonError):
    """A restored backup, not yet released: no consent is used."""


@dataclass(frozen=True)
class Verdict:
    """`waits`: tried again by itself. Otherwise a person is needed, for `reason`."""

    reason: str
    waits: bool
    retry_after: float | None = None


NEEDS_A_PERSON: dict[type[AmazonError], str] = {
    GrantMissing: "grant_missing",
    GrantInvalid: "grant_invalid",
    GrantUnreadable: "vault_locked",
    AccessDenied: "permission_missing",
}

# What says nothing of the consent that met it.
NOT_OF_THE_CONSENT = (AmazonUnavailable, ClientMisconfigured, VaultKeyMissing, Quarantined)


def verdict(error: AmazonError, job: Job) -> Verdict:
    """Sort an Amazon failure. Outages and rate limits wait for ever and count as no attempt."""
    if isinstance(error, AmazonUnavailable):
        reason = "amazon_throttled" if error.throttled else "amazon_unavailable"
        return Verdict(reason, waits=True, retry_after=error.retry_after or patience(job))
    if isinstance(error, GrantDoubted):
        return Verdict("grant_doubted", waits=True, retry_after=error.retry_after)
    if isinstance(error, ClientMisconfigured):
        # Ours, never the seller's: no row changes state, staff are told.
        logger.error("client_misconfigured", extra={"operation": error.operation})
        return Verdict("client_misconfigured", waits=True, retry_after=patience_with_us(job))
    if isinstance(error, AccessDenied) and error.detail == Denial.WRONG_REGION:
        # A new consent would not help: the region that we wrote down is wrong.
        logger.error("consent_of_another_region", extra={"row": job.connection_id})
        return Verdict("wrong_region", waits=False)
    if isinstance(error, VaultKeyMissing | Quarantined):
        reason = "quarantined" if isinstance(error, Quarantined) else "vault_key_missing"
        return Verdict(reason, waits=True, retry_after=patience_with_us(job))
    if _is_of_an_incident(error):
        return Verdict("amazon_unavailable", waits=True, retry_after=patience(job))
    reasons = (reason for kind, reason in NEEDS_A_PERSON.items() if isinstance(error, kind))
    return Verdict(next(reasons, "unexpected_reply"), waits=False)


def _is_of_an_incident(error: AmazonError) -> bool:
    """What nobody can explain is no row's own while that part of Amazon fails for many."""
    if not isinstance(error, UnexpectedReply) or error.part is None:
        return False
    return incidents.is_open_at(error.part)


def patience(job: Job) -> float:
    """Full jitter over a span that grows with the age of the job: 5 s at first, 15 min at most."""
    age = (timezone.now() - job.created_at).total_seconds()
    longest = min(LONGEST_WAIT_SECONDS, 5.0 + age)
    return max(2.0, random.uniform(0, longest))  # noqa: S311  # jitter, not a secret


def patience_with_us(job: Job) -> float:
    """Until staff have mended what is ours: a minute at first, then as `patience`."""
    shortest = random.uniform(*SHORTEST_OF_OURS)  # noqa: S311  # jitter, not a secret
    return max(shortest, patience(job))


def wait_or_reason(claim: Claim, error: AmazonError) -> str | None:
    """Put the job down when waiting helps and return None; else the reason a person is needed."""
    decided = verdict(error, claim.job)
    if decided.reason in staff_notices.CAUSES:
        staff_notices.tell(decided.reason)
    if not decided.waits:
        return decided.reason
    wait = decided.retry_after
    if isinstance(error, AmazonUnavailable) and (not error.throttled or incidents.open_now()):
        # The longer it lasts, the fewer ask: the breaker's probes tell when it is over. A plan
        # that is spent says itself when there is room.
        wait = max(wait or 0.0, patience(claim.job))
    claim.wait(reason=decided.reason, retry_after=wait, counted=False)
    return None
