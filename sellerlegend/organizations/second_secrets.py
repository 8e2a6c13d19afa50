"""What a second step is checked against (the key of an authenticator app, the seed of recovery
codes) is sealed like a token: under a data key of its own, which the key ring wraps.

allauth hands over a text without its row, so these are not bound to one. Who can write rows could
put a second step of their own there just as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.db import transaction

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place, Purpose
from sellerlegend.organizations import custody

SECRETS = ("secret", "seed")
PLACE = Place("mfa_authenticator", "data", UUID(int=0), UUID(int=0))


def seal(text: str) -> str:
    data_key = custody.new_data_key(PLACE.organization_id)
    return f"{data_key} {crypto.seal(Secret(text), PLACE, data_key=data_key)}"


def opened(text: str) -> str:
    """Raises Undecryptable, also for a text that was never sealed."""
    data_key, _, sealed = text.partition(" ")
    secret = crypto.unseal(sealed, PLACE, data_key=data_key, purpose=Purpose.SECOND_STEP)
    return secret.reveal()


def wrapped_data_keys() -> Iterator[str]:
    """For the count of what a key of the ring still wraps."""
    for data in Authenticator.objects.values_list("data", flat=True):
        for name in SECRETS:
            if data.get(name):
                yield data[name].partition(" ")[0]


def seal_anew(*, is_new_data_key: bool = False) -> tuple[int, int]:
    """Under the ring's first key, and each under a fresh data key. Returns how many were written,
    and how many do not open."""
    written = unreadable = 0
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        try:
            written += _seal_row_anew(pk, is_new_data_key=is_new_data_key)
        except crypto.Undecryptable:
            unreadable += 1
    return written, unreadable


@transaction.atomic
def _seal_row_anew(pk: int, *, is_new_data_key: bool) -> int:
    row = Authenticator.objects.select_for_update().filter(pk=pk).first()
    outdated = [
        name
        for name in (SECRETS if row else ())
        if name in row.data and (is_new_data_key or not _is_current(row.data[name]))
    ]
    if not outdated:
        return 0
    for name in outdated:
        row.data[name] = seal(opened(row.data[name]))
    row.save(update_fields=["data"])
    return 1


def _is_current(text: str) -> bool:
    return crypto.wrapping_kids(text.partition(" ")[0]) == {crypto.first_kid()}
