"""The vault: what it writes, and everything it refuses to read."""

from __future__ import annotations

import base64
import logging
import re
import secrets
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place, Purpose, Undecryptable

ORGANIZATION = UUID("11111111-1111-4111-8111-111111111111")
ROW = UUID("22222222-2222-4222-8222-222222222222")
PLACE = Place("connections_spapigrant", "refresh_token", ORGANIZATION, ROW)
TOKEN = "Atzr|IQEBLzAtAhRPpMJxdwVz2Nn6f2y-tpJX2DeX"
OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)


@pytest.fixture
def data_key(settings: Settings) -> str:
    settings.TOKEN_ENCRYPTION_KEYS = {"old": OLD}
    return crypto.new_data_key(ORGANIZATION)


def opened(text: str, data_key: str, place: Place = PLACE) -> str:
    return crypto.unseal(text, place, data_key=data_key, purpose=Purpose.REFRESH).reveal()


def test_a_secret_comes_back_where_it_was_put(data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    assert opened(sealed, data_key) == TOKEN


def test_the_text_form_is_version_key_nonce_and_ciphertext(data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    version, kid, nonce, ciphertext = sealed.split(".")
    assert version == "v1"
    assert re.fullmatch(r"[0-9a-f]{8}", kid)
    assert len(base64.urlsafe_b64decode(nonce)) == 12
    # AES-GCM adds a tag of 16 bytes and nothing else.
    assert len(base64.urlsafe_b64decode(ciphertext + "==")) == len(TOKEN) + 16
    assert "=" not in sealed
    assert TOKEN not in sealed


def documented(plain: bytes, key: bytes, kid: str, *place: str) -> str:
    """`v1.<kid>.<nonce>.<ciphertext>`, written down once more without the product's help."""
    nonce = bytes(range(12))
    associated = "\x1f".join(("v1", *place, kid)).encode()
    parts = (nonce, AESGCM(key).encrypt(nonce, plain, associated))
    return ".".join(
        ("v1", kid, *(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts))
    )


def test_a_known_text_stays_readable_for_ever(settings: Settings) -> None:
    """Rows outlive releases: whatever this test wrote by hand must open after any change."""
    settings.TOKEN_ENCRYPTION_KEYS = {"old": OLD}
    organization, row = "11111111111141118111111111111111", "22222222222242228222222222222222"
    key = bytes(range(32))
    wrapped = documented(
        b"0a1b2c3d" + key, OLD, "old", "organizations_organization", "data_key", *[organization] * 2
    )
    sealed = documented(
        TOKEN.encode(),
        key,
        "0a1b2c3d",
        "connections_spapigrant",
        "refresh_token",
        organization,
        row,
    )

    assert opened(sealed, wrapped) == TOKEN


def test_the_same_secret_never_looks_the_same_twice(data_key: str) -> None:
    texts = {crypto.seal(Secret(TOKEN), PLACE, data_key=data_key) for _ in range(50)}

    assert len(texts) == 50


@pytest.mark.parametrize(
    "moved",
    [
        replace(PLACE, row_id=uuid4()),
        replace(PLACE, column="access_token"),
        replace(PLACE, table="connections_adsgrant"),
    ],
    ids=["another row", "another column", "another table"],
)
def test_a_ciphertext_does_not_open_in_another_place(moved: Place, data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    with pytest.raises(Undecryptable):
        opened(sealed, data_key, moved)


def test_a_ciphertext_does_not_open_in_another_organization(data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)
    other = replace(PLACE, organization_id=uuid4())

    with pytest.raises(Undecryptable):
        opened(sealed, crypto.new_data_key(other.organization_id), other)
    with pytest.raises(Undecryptable):
        opened(sealed, data_key, other)


def test_the_organization_alone_is_enough_to_keep_a_ciphertext_shut() -> None:
    """Also where two organizations had one key by mistake: a column copied to a row of the same id
    under another organization."""
    key, other = secrets.token_bytes(32), replace(PLACE, organization_id=uuid4())

    sealed = AESGCM(key).encrypt(b"0" * 12, b"token", PLACE.associated_data("one"))
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(b"0" * 12, sealed, other.associated_data("one"))


def test_a_data_key_does_not_open_for_another_organization(data_key: str) -> None:
    """Copying one organization's wrapped key to another does not open its tokens there."""
    with pytest.raises(Undecryptable):
        crypto.seal(Secret(TOKEN), replace(PLACE, organization_id=uuid4()), data_key=data_key)


@given(st.data())
def test_one_flipped_bit_is_enough(data: st.DataObject) -> None:
    data_key = crypto.new_data_key(ORGANIZATION)
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)
    *head, ciphertext = sealed.split(".")
    raw = bytearray(base64.urlsafe_b64decode(ciphertext + "=="))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    flipped = ".".join((*head, base64.urlsafe_b64encode(raw).decode().rstrip("=")))

    with pytest.raises(Undecryptable):
        opened(flipped, data_key)


@given(st.integers(min_value=0, max_value=90))
def test_a_cut_text_does_not_open(length: int) -> None:
    data_key = crypto.new_data_key(ORGANIZATION)
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    with pytest.raises(Undecryptable):
        opened(sealed[:length], data_key)


@given(st.text(max_size=80))
def test_nonsense_does_not_open(text: str) -> None:
    data_key = crypto.new_data_key(ORGANIZATION)

    for wrong in (text, f"v1.{text}", f"v1.a.{text}.b", f"v1.a.b.{text}"):
        with pytest.raises(Undecryptable):
            opened(wrong, data_key)
        with pytest.raises(Undecryptable):
            opened(wrong, wrong)


@pytest.mark.parametrize("version", ["v0", "v2", "", "V1"])
def test_another_format_does_not_open(version: str, data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    with pytest.raises(Undecryptable, match="unknown format"):
        opened(version + sealed.removeprefix("v1"), data_key)


def test_the_key_id_is_part_of_what_is_authenticated(data_key: str, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"old": OLD, "same": OLD}
    renamed = data_key.replace("v1.old.", "v1.same.")

    with pytest.raises(Undecryptable):
        crypto.seal(Secret(TOKEN), PLACE, data_key=renamed)


def test_a_missing_key_is_said_without_the_value(data_key: str, settings: Settings) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}

    with pytest.raises(Undecryptable, match="not loaded") as refused:
        opened(sealed, data_key)

    assert sealed not in str(refused.value)
    assert data_key not in str(refused.value)


def test_a_wrong_key_of_the_right_name_does_not_open(data_key: str, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"old": NEW}

    with pytest.raises(Undecryptable, match="damaged, or moved"):
        crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)


def test_an_error_keeps_no_trace_of_what_it_tried(data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    with pytest.raises(Undecryptable) as refused:
        opened(sealed[:-2], data_key)

    assert refused.value.__suppress_context__
    assert sealed[:-2] not in repr(refused.value)


# Rotation and destruction ------------------------------------------------------------------


def test_rewrapping_the_data_key_keeps_tokens_readable(data_key: str, settings: Settings) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}

    rewrapped = crypto.rewrap_data_key(data_key, ORGANIZATION)

    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}
    assert rewrapped.startswith("v1.new.")
    assert opened(sealed, rewrapped) == TOKEN
    with pytest.raises(Undecryptable):
        opened(sealed, data_key)


def test_while_keys_overlap_the_first_one_encrypts_and_all_decrypt(
    data_key: str, settings: Settings
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    assert crypto.new_data_key(ORGANIZATION).startswith("v1.new.")
    assert opened(sealed, data_key) == TOKEN


def test_rewrapping_does_not_move_a_key_to_another_organization(data_key: str) -> None:
    with pytest.raises(Undecryptable):
        crypto.rewrap_data_key(data_key, uuid4())


def test_without_its_data_key_a_backup_is_unreadable(data_key: str) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    for destroyed in ("", crypto.new_data_key(ORGANIZATION)):
        with pytest.raises(Undecryptable):
            opened(sealed, destroyed)


def test_a_new_data_key_is_a_new_key(data_key: str) -> None:
    assert crypto.new_data_key(ORGANIZATION) != data_key


# Seeing ------------------------------------------------------------------------------------


def test_what_comes_out_of_the_vault_prints_stars(data_key: str) -> None:
    secret = crypto.unseal(
        crypto.seal(Secret(TOKEN), PLACE, data_key=data_key),
        PLACE,
        data_key=data_key,
        purpose=Purpose.REFRESH,
    )

    assert f"{secret} {secret!r} {secret!s}" == "********** ********** **********"


def test_opening_is_logged_with_its_purpose_and_without_the_value(
    data_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = crypto.seal(Secret(TOKEN), PLACE, data_key=data_key)

    with caplog.at_level(logging.DEBUG, "sellerlegend.crypto"):
        opened(sealed, data_key)

    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["purpose"]) == ("secret_unsealed", "refresh")
    assert not {TOKEN, sealed} & set(map(str, vars(record).values()))


def test_a_fingerprint_tells_secrets_apart() -> None:
    assert crypto.fingerprint(Secret("abc")) == "ba7816bf"
    assert crypto.fingerprint(Secret("abd")) != "ba7816bf"
