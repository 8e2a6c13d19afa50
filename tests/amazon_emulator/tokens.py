"""Access tokens that carry their own facts, signed, so that none has to be stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

PREFIX = "Atza|"
_SIGNATURE_BYTES = 32
# Production tokens were seen with 353 characters: the prefix and 261 bytes.
_PAYLOAD_BYTES = 261 - _SIGNATURE_BYTES


@dataclass(frozen=True)
class AccessToken:
    """Belongs to one client and one grant; a grantless one has a scope and no grant."""

    client_id: str
    secret_id: str
    grant_id: str
    scope: str
    issued_at: float


class TokenSigner:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, token: AccessToken) -> str:
        facts = [token.client_id, token.secret_id, token.grant_id, token.scope, token.issued_at]
        payload = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
        payload += secrets.token_bytes(max(16, _PAYLOAD_BYTES - len(payload)))
        signed = payload + self._signature(payload)
        return PREFIX + base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def read(self, value: str) -> AccessToken | None:
        """None for anything this world did not sign."""
        encoded = value.removeprefix(PREFIX)
        if encoded == value:
            return None
        try:
            signed = base64.b64decode(
                encoded.encode() + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, UnicodeEncodeError):
            return None
        payload, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            return None
        client_id, secret_id, grant_id, scope, issued_at = json.loads(payload.partition(b"\n")[0])
        return AccessToken(client_id, secret_id, grant_id, scope, issued_at)

    def _signature(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()
