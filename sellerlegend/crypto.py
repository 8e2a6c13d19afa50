"""The vault: AES-256-GCM under a data key per organization, wrapped by the key ring.

Text form `v1.<kid>.<nonce>.<ciphertext>` (URL-safe base64 without padding). Associated data is
format, table, column, organization, row and key id, so a ciphertext copied to another row,
column or organization does not decrypt. Decryption is always an explicit call; a value that
cannot be decrypted raises `Undecryptable` and is never returned as it stands. Keys and plain text
are `SecretBytes` wherever they have a name: a frame may be printed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from sellerlegend.amazon.secret import Secret, SecretBytes

logger = logging.getLogger(__name__)

FORMAT = "v1"
NONCE_BYTES = 12
KEY_BYTES = 32
KID_BYTES = 8
DATA_KEY_PLACE = ("organizations_organization", "data_key")
CANARY_PLACE = ("organizations_vaultkey", "canary")
CANARY = b"canary"
# No id of a key: they are letters and digits.
UNKNOWN_KID = "?"


class Purpose(StrEnum):
    """Why a secret is opened: a closed list, counted by `organizations.custody`."""

    CALL = "call"  # an access token, for a call to Amazon
    REFRESH = "refresh"  # a refresh token, for a new access token
    EXCHANGE = "exchange"  # the code verifier of a trip that came back
    CLIENT = "client"  # one of our own client secrets, which belong to no organization
    SECOND_STEP = "second_step"  # what a person's code is checked against; of no organization
    REENCRYPT = "reencrypt"  # any of them, to be sealed under a newer data key
    PROBE = "probe"  # a text of our own making, to see that the keys work


class Undecryptable(RuntimeError):
    """Wrong place, wrong key, damaged or unknown format. Carries no part of the value."""


class DataKeyUnreadable(Undecryptable):
    """The data key itself does not open: a wrong key under the right id, or a damaged column.
    Our fault, so nobody's row changes."""


class KeyNotLoaded(DataKeyUnreadable):
    """The key ring lacks the key of this organization's data key."""


@dataclass(frozen=True)
class Place:
    """Where a ciphertext lives; part of what it is authenticated against."""

    table: str
    column: str
    organization_id: UUID
    row_id: UUID

    def associated_data(self, kid: str) -> bytes:
        parts = (FORMAT, self.table, self.column, self.organization_id.hex, self.row_id.hex, kid)
        return "\x1f".join(parts).encode()


def new_data_key(organization_id: UUID) -> str:
    """A fresh random key for an organization, wrapped by the first key of the ring.

    The wrapped text holds the key's own id beside it, so rewrapping keeps every token readable.
    """
    kid = secrets.token_hex(KID_BYTES // 2).encode()
    return _wrap(SecretBytes(kid + secrets.token_bytes(KEY_BYTES)), organization_id)


def rewrap_data_key(data_key: str, organization_id: UUID) -> str:
    """The same data keys wrapped by the first key of the ring: rotation touches one row for each
    organization, and no token. Raises Undecryptable.
    """
    return " ".join(
        _wrap(_open_wrapped(text, organization_id), organization_id) for text in data_key.split(" ")
    )


def add_data_key(data_key: str, organization_id: UUID) -> str:
    """A fresh key before the present ones: it seals from now on, and all of them open."""
    return f"{new_data_key(organization_id)} {rewrap_data_key(data_key, organization_id)}"


def newest_data_key(data_key: str) -> str:
    """Only the key that seals: what is sealed under the older ones is unreadable without them."""
    return data_key.split(" ", maxsplit=1)[0]


def wrapping_kids(data_key: str) -> set[str]:
    """The ids of the ring's keys that wrap these data keys; empty for a destroyed one, with
    UNKNOWN_KID for a text that names none."""
    if not data_key:
        return set()
    return {_kid_of(text) or UNKNOWN_KID for text in data_key.split(" ")}


def is_readable(data_key: str, organization_id: UUID) -> bool:
    """Whether the keys that are loaded open every data key of this text."""
    try:
        _unwrap(data_key, organization_id)
    except DataKeyUnreadable:
        return False
    return True


def seal_canary(kid: str) -> str:
    """A text of our own making, by which a key of the ring is known again. Says nothing of it."""
    return _seal(CANARY, settings.TOKEN_ENCRYPTION_KEYS[kid], kid, _canary_place())


def opens_canary(text: str, kid: str) -> bool:
    """Whether the key that is loaded under this id is the one that the canary was sealed with."""
    try:
        return _open(text, {kid: settings.TOKEN_ENCRYPTION_KEYS[kid]}, _canary_place()) == CANARY
    except Undecryptable:
        return False


def first_kid() -> str:
    """The id of the ring's key that wraps from now on."""
    return next(iter(settings.TOKEN_ENCRYPTION_KEYS))


def newest_kid(data_key: str, organization_id: UUID) -> str:
    """The id of the data key that seals. Raises Undecryptable."""
    return next(iter(_unwrap(data_key, organization_id)))


def is_sealed_under(text: str, kid: str) -> bool:
    return _kid_of(text) == kid


def seal(value: Secret, place: Place, *, data_key: str) -> str:
    """Encrypt a secret for one place under the newest of the organization's `data_key`."""
    kid, key = next(iter(_unwrap(data_key, place.organization_id).items()))
    return _seal(SecretBytes(value.reveal().encode()), key, kid, place)


def unseal(text: str, place: Place, *, data_key: str, purpose: Purpose) -> Secret:
    """Decrypt the ciphertext of one place. `purpose` is logged, the value never is.

    Long-lived secrets are opened through `organizations.custody`, which keeps the count.
    Raises Undecryptable; DataKeyUnreadable when the fault is ours and says nothing of the text.
    """
    plain = _open(text, _unwrap(data_key, place.organization_id), place)
    logger.debug("secret_unsealed", extra={"table": place.table, "purpose": purpose.value})
    return Secret(plain.decode())


def unseal_many(
    sealed: Iterable[tuple[str, Place]], organization_id: UUID, *, data_key: str, purpose: Purpose
) -> list[Secret | None]:
    """Many of one organization, whose data key is unwrapped once; None for what does not open.

    Raises DataKeyUnreadable.
    """
    keys = _unwrap(data_key, organization_id)
    opened = [_opened_or_none(text, keys, place) for text, place in sealed]
    logger.debug("secrets_unsealed", extra={"count": len(opened), "purpose": purpose.value})
    return opened


def _opened_or_none(text: str, keys: dict[str, bytes], place: Place) -> Secret | None:
    try:
        return Secret(_open(text, keys, place).decode())
    except Undecryptable:
        return None


def seal_many(
    values: Iterable[tuple[Secret, Place]], organization_id: UUID, *, data_key: str
) -> list[str]:
    """`seal` for many of one organization, whose data key is unwrapped once."""
    kid, key = next(iter(_unwrap(data_key, organization_id).items()))
    return [_seal(SecretBytes(value.reveal().encode()), key, kid, place) for value, place in values]


def fingerprint(value: Secret) -> str:
    """First 8 hex digits of SHA-256: tells two secrets apart on screen without showing either."""
    return digest(value.reveal())[:8]


def digest(value: str) -> str:
    """How a value of 256 random bits is kept that somebody will show again: there is nothing to
    guess, so plain SHA-256 does it, without a work factor."""
    return hashlib.sha256(value.encode()).hexdigest()


def _data_key_place(organization_id: UUID) -> Place:
    return Place(*DATA_KEY_PLACE, organization_id, organization_id)


def _canary_place() -> Place:
    return Place(*CANARY_PLACE, UUID(int=0), UUID(int=0))


def _unwrap(data_key: str, organization_id: UUID) -> dict[str, bytes]:
    """By id, the one that seals first. While a data key is replaced there are two of them."""
    opened = [_open_wrapped(text, organization_id) for text in data_key.split(" ")]
    return {plain[:KID_BYTES].decode(): SecretBytes(plain[KID_BYTES:]) for plain in opened}


def _open_wrapped(text: str, organization_id: UUID) -> bytes:
    ring = settings.TOKEN_ENCRYPTION_KEYS
    kid = _kid_of(text)
    if kid and kid not in ring:
        raise KeyNotLoaded(f"the key {kid} of the ring is not loaded")
    try:
        return _open(text, ring, _data_key_place(organization_id))
    except Undecryptable as error:
        raise DataKeyUnreadable(f"the data key is unreadable: {error}") from None


def _wrap(plain: bytes, organization_id: UUID) -> str:
    kid, key = next(iter(settings.TOKEN_ENCRYPTION_KEYS.items()))
    return _seal(plain, key, kid, _data_key_place(organization_id))


def _kid_of(text: str) -> str:
    parts = text.split(".")
    is_ours = len(parts) == 4 and parts[0] == FORMAT and parts[1].isascii() and parts[1].isalnum()
    return parts[1] if is_ours else ""


def _seal(plain: bytes, key: bytes, kid: str, place: Place) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plain, place.associated_data(kid))
    return ".".join((FORMAT, kid, _encode(nonce), _encode(sealed)))


def _open(text: str, keys: dict[str, bytes], place: Place) -> bytes:
    parts = text.split(".")
    if len(parts) != 4 or parts[0] != FORMAT:
        raise Undecryptable("unknown format")
    kid, nonce, sealed = parts[1], parts[2], parts[3]
    if kid not in keys:
        raise Undecryptable("the key it was made with is not loaded")
    try:
        opened = AESGCM(keys[kid]).decrypt
        return SecretBytes(opened(_decode(nonce), _decode(sealed), place.associated_data(kid)))
    except (InvalidTag, ValueError, binascii.Error):
        raise Undecryptable("damaged, or moved from another place") from None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
