"""Reading the registered SQS queue, for those who have installed boto3 (the extra `sqs`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

_QUEUE_URL = re.compile(
    r"(?P<endpoint>https://sqs\.(?P<region>[a-z0-9-]{2,32})\.amazonaws\.com)/\d{12}/[\w-]{1,80}"
)
WAIT_SECONDS = 20
MESSAGES_AT_ONCE = 10


class QueueUnreachable(RuntimeError):
    """Says what to do; holds no message."""


class Queue:
    """A standard queue. Only an address at Amazon is accepted, whatever the environment says."""

    def __init__(self, url: str) -> None:
        """Raises QueueUnreachable for an address that is no SQS queue, or without boto3."""
        found = _QUEUE_URL.fullmatch(url)
        if found is None:
            raise QueueUnreachable("That is not the address of an SQS queue at Amazon.")
        try:
            boto3 = import_module("boto3")
        except ImportError:
            raise QueueUnreachable(
                "boto3 is not installed: docs/rotation.md says how. Or give --message-file."
            ) from None
        self._url = url
        # Named, so that AWS_ENDPOINT_URL cannot lead elsewhere.
        self._sqs: Any = boto3.client(
            "sqs", region_name=found["region"], endpoint_url=found["endpoint"]
        )

    def receive(self) -> Iterator[tuple[str, str]]:
        """Body and receipt of what is there within 20 s. Raises QueueUnreachable."""
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MESSAGES_AT_ONCE,
                WaitTimeSeconds=WAIT_SECONDS,
            )
        except Exception as error:  # noqa: BLE001  # botocore's have no common public root here
            raise QueueUnreachable(f"The queue did not answer: {type(error).__name__}.") from None
        for message in answer.get("Messages", []):
            yield str(message.get("Body", "")), str(message.get("ReceiptHandle", ""))

    def delete(self, receipt: str) -> None:
        """Once the secret is stored. A message that stays is read again and changes nothing.
        Raises QueueUnreachable."""
        try:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
        except Exception as error:  # noqa: BLE001  # as above
            raise QueueUnreachable(f"The queue did not answer: {type(error).__name__}.") from None
