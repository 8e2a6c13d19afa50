"""The two messages that Amazon sends about an application's client secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sellerlegend.amazon import reading
from sellerlegend.amazon.secret import Secret

NEW_SECRET = "APPLICATION_OAUTH_CLIENT_NEW_SECRET"  # noqa: S105  # Amazon's name of the message
SECRET_EXPIRY = "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY"  # noqa: S105  # the same
LONGEST_MESSAGE = 256 * 1024

_SECRET = re.compile(r"[\x21-\x7e]{8,512}")
_BEGINNING = re.compile(r"[{\[]")


@dataclass(frozen=True)
class NewSecret:
    """The times are Amazon's, None where it sent none that can be read."""

    client_id: str
    secret: Secret
    sent_at: datetime | None = None
    expires_at: datetime | None = None
    old_expires_at: datetime | None = None


@dataclass(frozen=True)
class SecretExpiry:
    """Amazon's own warning, 90 days before."""

    client_id: str
    expires_at: datetime | None


Notification = NewSecret | SecretExpiry


def read_notifications(text: str) -> list[Notification]:
    """In the order of the text: JSON values one after another (one a line, or one in many lines),
    each a message, a list of them, or what `aws sqs receive-message` prints. Anything else in it
    is left out, and so is what stands behind a value of a thousand levels. Never raises, and never
    repeats what it could not read.
    https://developer-docs.amazon.com/sp-api/docs/rotating-your-apps-lwa-credentials
    """
    values = _json_values(text)
    return [found for message in _messages(values) if (found := _notification(message))]


def plain_secret(text: str) -> Secret | None:
    """The secret alone, as somebody copies it from the console; None for anything else."""
    value = text.strip()
    return Secret(value) if _SECRET.fullmatch(value) and value[0] not in "{[\"'" else None


def _json_values(text: str) -> Iterator[object]:
    decoder = json.JSONDecoder()
    at = 0
    while True:
        start = _BEGINNING.search(text, at)
        if start is None:
            return
        try:
            value, at = decoder.raw_decode(text, start.start())
        except RecursionError:
            return  # nothing of Amazon's, and to try each of its brackets takes long
        except ValueError:
            at = start.end()
            continue
        yield value


def _messages(values: Iterable[object]) -> Iterator[object]:
    """Unpacks lists, SQS answers and SQS messages, whose body is JSON in a string."""
    for value in values:
        if isinstance(value, list):
            yield from _messages(value)
        elif isinstance(value, dict) and isinstance(value.get("Messages"), list):
            yield from _messages(value["Messages"])
        elif isinstance(value, dict) and isinstance(value.get("Body"), str):
            yield from _messages(_json_values(value["Body"]))
        else:
            yield value


def _notification(message: object) -> Notification | None:
    try:
        payload = reading.mapping(message, "payload")
        kind = reading.identifier(message, "notificationType")
        if kind == NEW_SECRET:
            return _new_secret(reading.mapping(payload, "applicationOAuthClientNewSecret"), message)
        if kind == SECRET_EXPIRY:
            fields = reading.mapping(payload, "applicationOAuthClientSecretExpiry")
            return SecretExpiry(_client_id(fields), _moment(fields.get("clientSecretExpiryTime")))
    except reading.Malformed:
        return None
    return None


def _new_secret(fields: object, message: object) -> NewSecret | None:
    known = fields if isinstance(fields, dict) else {}
    value = known.get("newClientSecret")
    if not isinstance(value, str) or not _SECRET.fullmatch(value):
        return None
    envelope = message if isinstance(message, dict) else {}
    return NewSecret(
        client_id=_client_id(known),
        secret=Secret(value),
        sent_at=_moment(envelope.get("eventTime")),
        expires_at=_moment(known.get("newClientSecretExpiryTime")),
        old_expires_at=_moment(known.get("oldClientSecretExpiryTime")),
    )


def _client_id(fields: object) -> str:
    return reading.text(fields, "clientId", 200)


def _moment(value: object) -> datetime | None:
    """ISO 8601; a time without a zone is Amazon's, which is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
