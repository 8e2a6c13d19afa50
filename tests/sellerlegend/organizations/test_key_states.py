"""The staff page knows every key by its id and age, and shows none."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from sellerlegend import crypto
from sellerlegend.organizations import custody
from sellerlegend.organizations.key_states import key_states
from sellerlegend.organizations.models import Organization, VaultKey
from tests.factories import make_organization, make_user
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db


@pytest.fixture
def ring(settings: Settings) -> Mapping[str, bytes]:
    """A newer key in front of the one that the organizations are under, which is lost for one."""
    old = dict(settings.TOKEN_ENCRYPTION_KEYS)
    for _ in range(2):
        make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {"lost": bytes(range(32))} | old
    make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {"new-2026": bytes(range(1, 33))} | old
    custody.remember_keys(["gone"])
    ages = {"new-2026": 400, next(iter(old)): 500, "gone": 900}
    for kid, days in ages.items():
        VaultKey.objects.filter(pk=kid).update(first_seen_at=timezone.now() - timedelta(days=days))
    VaultKey.objects.filter(pk="gone").update(retired_at=timezone.now())
    return settings.TOKEN_ENCRYPTION_KEYS  # type: ignore[no-any-return]  # of the fixture


def test_each_key_has_its_id_age_count_and_word(ring: Mapping[str, bytes]) -> None:
    found = [(key.kid, key.age_days, key.wraps, key.label, key.tone) for key in key_states()]

    assert found == [
        ("new-2026", 400, 0, "Encrypts", "warning"),
        ("tests", 500, 2, "Still needed", "neutral"),
        ("gone", 900, 0, "Retired", "neutral"),
        ("lost", 0, 1, "Not loaded: locked", "danger"),
    ]


def test_a_key_that_wraps_nothing_may_go(ring: Mapping[str, bytes]) -> None:
    Organization.objects.update(data_key="")

    assert [key.label for key in key_states()][:2] == ["Encrypts", "May be retired"]


def test_staff_read_ids_and_no_key(ring: Mapping[str, bytes]) -> None:
    """In no form: neither the ring's nor the wrapped ones."""
    staff = make_user(is_staff=True)

    page = signed_in_freshly(staff).get(reverse("staff_setup"))

    text = page.content.decode()
    assert page.status_code == 200
    assert "2 data keys" in text
    assert "500 days" in text
    for kid in ("new-2026", "tests", "gone", "lost"):
        assert f'<span class="mono">{kid}</span>' in text
    for key in ring.values():
        for form in (
            key.hex(),
            base64.b64encode(key).decode(),
            base64.urlsafe_b64encode(key).decode(),
        ):
            assert form.rstrip("=") not in text
    assert f"{crypto.FORMAT}." not in text
    assert page.headers["Cache-Control"] == "no-store"


def test_nobody_else_learns_of_them(ring: Mapping[str, bytes]) -> None:
    client = Client()
    client.force_login(make_user())

    page = client.get(reverse("staff_setup"))

    assert page.status_code == 404
    assert "new-2026" not in page.content.decode()
