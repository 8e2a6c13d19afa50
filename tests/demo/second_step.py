"""The code that an authenticator app would show for the demo's staff: `make code`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time

from tests.demo.people import STAFF_SECRET

PERIOD = 30


def code_for(secret: str, *, periods_ahead: int = 0) -> str:
    """Six digits of RFC 6238."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    moment = struct.pack(">Q", int(time.time()) // PERIOD + periods_ahead)
    digest = hmac.new(key, moment, hashlib.sha1).digest()
    start = digest[-1] & 15
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


if __name__ == "__main__":
    print(code_for(STAFF_SECRET))
