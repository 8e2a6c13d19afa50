from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sellerlegend.amazon.notifications import (
    NewSecret,
    SecretExpiry,
    plain_secret,
    read_notifications,
)
from sellerlegend.amazon.secret import Secret

CLIENT = "amzn1.application-oa2-client.0123456789abcdef"
VALUE = "amzn1.oa2-cs.v1.0123456789abcdef"


def new_secret(**changes: Any) -> dict[str, Any]:
    """The example of Amazon's rotation sample."""
    fields = {
        "clientId": CLIENT,
        "newClientSecret": VALUE,
        "newClientSecretExpiryTime": "2024-07-08T22:05:42.154Z",
        "oldClientSecretExpiryTime": "2024-01-17T22:05:42.154Z",
    }
    return {
        "notificationVersion": "1.0",
        "notificationType": "APPLICATION_OAUTH_CLIENT_NEW_SECRET",
        "payloadVersion": "1.0",
        "eventTime": "2024-01-10T22:05:42.154Z",
        "payload": {"applicationOAuthClientNewSecret": fields | changes},
        "notificationMetadata": {"applicationId": "", "notificationId": "n"},
    }


def expiry() -> dict[str, Any]:
    fields = {
        "clientId": CLIENT,
        "clientSecretExpiryTime": "2024-03-11T22:05:42Z",
        "clientSecretExpiryReason": "PERIODIC_ROTATION",
    }
    return {
        "notificationType": "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY",
        "payload": {"applicationOAuthClientSecretExpiry": fields},
    }


READ = NewSecret(
    CLIENT,
    Secret(VALUE),
    sent_at=datetime(2024, 1, 10, 22, 5, 42, 154000, UTC),
    expires_at=datetime(2024, 7, 8, 22, 5, 42, 154000, UTC),
    old_expires_at=datetime(2024, 1, 17, 22, 5, 42, 154000, UTC),
)
WARNING = SecretExpiry(CLIENT, datetime(2024, 3, 11, 22, 5, 42, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(new_secret()),
        json.dumps(new_secret(), indent=4),
        f"queue:\n{json.dumps(new_secret())}\n",
        json.dumps([new_secret()]),
        json.dumps({"Messages": [{"Body": json.dumps(new_secret())}]}),
        json.dumps({"Body": json.dumps(new_secret()), "ReceiptHandle": "r"}),
    ],
)
def test_a_message_in_every_wrapping(text: str) -> None:
    assert read_notifications(text) == [READ]


def test_lines_are_read_in_their_order() -> None:
    text = "\n".join(json.dumps(message) for message in (expiry(), {"other": 1}, new_secret()))

    assert read_notifications(text) == [WARNING, READ]


@pytest.mark.parametrize(
    "value", [None, 7, "", "short", "with space in it", "line\nbreak-1234", "x" * 513, "nul\0-1234"]
)
def test_a_secret_that_cannot_be_one_is_left_out(value: object) -> None:
    assert read_notifications(json.dumps(new_secret(newClientSecret=value))) == []


@pytest.mark.parametrize("beginning", ["[", '{"a":', "[1,"])
def test_brackets_without_end_are_not_tried_one_by_one(beginning: str) -> None:
    text = beginning * 20_000 + json.dumps(new_secret())

    assert read_notifications(text) == []


def test_times_that_cannot_be_read_are_unknown() -> None:
    [found] = read_notifications(json.dumps(new_secret(newClientSecretExpiryTime="soon")))

    assert isinstance(found, NewSecret)
    assert found.expires_at is None


def test_nothing_shows_the_secret() -> None:
    assert VALUE not in repr(read_notifications(json.dumps(new_secret())))


@given(st.text(alphabet='{}[]":,\\ abn1\n\0', max_size=200))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    read_notifications(text)
    plain_secret(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f" {VALUE}\n", VALUE),
        (f"{VALUE} {VALUE}", None),
        ('{"a":"bcdefgh"}', None),
        ("", None),
        ("short", None),
    ],
)
def test_a_secret_alone(text: str, value: str | None) -> None:
    found = plain_secret(text)

    assert (found.reveal() if found else None) == value
