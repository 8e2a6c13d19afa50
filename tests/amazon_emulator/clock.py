"""The emulator's own time: real time plus what people and tests added to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

HOUR = 3600
DAY = 24 * HOUR
ACCESS_TOKEN_SECONDS = HOUR
AUTHORIZATION_CODE_SECONDS = 300
# "A flow taking more than 10 minutes in total can break and must be restarted."
APPSTORE_STATE_SECONDS = 600
GRANT_SECONDS = 365 * DAY
SECRET_SECONDS = 180 * DAY
SECRET_OVERLAP_SECONDS = 7 * DAY
SECRET_NOTICE_SECONDS = 90 * DAY


class Clock:
    def __init__(self, offset: float = 0) -> None:
        self.offset = offset

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += seconds

    def iso(self) -> str:
        return iso(self.now())


def iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
