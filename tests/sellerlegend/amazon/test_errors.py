from __future__ import annotations

import pickle

import pytest

from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    ClientSecretExpired,
    ClientSecretRefused,
    CodeRejected,
    Denial,
    GrantInvalid,
    UnexpectedReply,
)

ALL = [
    AmazonUnavailable("id-1", "lwa.refresh", retry_after=2.5, throttled=True),
    GrantInvalid("id-1", "lwa.refresh"),
    CodeRejected("id-1", "lwa.exchange_code"),
    ClientMisconfigured("id-1", "lwa.refresh"),
    ClientSecretRefused("id-1", "lwa.refresh"),
    ClientSecretExpired("id-1", "sellers"),
    AccessTokenRejected("id-1", "listProfiles"),
    AccessDenied("id-1", "getMarketplaceParticipations", Denial.MISSING_ROLE),
    UnexpectedReply("id-1", "listProfiles", 418),
]


def test_a_message_names_operation_condition_and_request() -> None:
    assert str(GrantInvalid("id-1", "lwa.refresh")) == "lwa.refresh: grant refused (request id-1)"
    assert str(AmazonError()) == "amazon: failed"


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_an_error_crosses_process_borders_whole(error: AmazonError) -> None:
    copied = pickle.loads(pickle.dumps(error))

    assert type(copied) is type(error)
    assert vars(copied) == vars(error)
    assert str(copied) == str(error)


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_every_error_says_something_of_its_own(error: AmazonError) -> None:
    assert error.summary != AmazonError.summary
    assert (error.request_id, bool(error.operation)) == ("id-1", True)


def test_a_denial_is_a_plain_word() -> None:
    assert AccessDenied(detail=Denial.WRONG_REGION).detail == "wrong_region"
