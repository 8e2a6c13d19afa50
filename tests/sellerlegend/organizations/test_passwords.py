"""Amazon's password rule (Data Protection Policy §1.4), through the front door."""

from __future__ import annotations

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from sellerlegend.organizations.models import User
from tests.signing_in import signed_in_freshly

OLIVIA = User(email="olivia.marlowe@northstar.example.com", name="Olivia Marlowe-Grünwald")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("Short-1-pass", None),
        ("Short-1-pas", "password_too_short"),
        ("all-lower-case-77", "password_kinds"),
        ("ALL-UPPER-CASE-77", "password_kinds"),
        ("No-Digits-At-All", "password_kinds"),
        ("NoSpecialChars77", "password_kinds"),
        ("123456789012", "password_entirely_numeric"),
        ("Quite-OLIVIA-long-enough-77", "password_holds_name"),
        ("Quite-marlowe-long-Enough-77", "password_holds_name"),
        ("Quite-NorthStar-long-Enough-77", "password_holds_name"),
        ("A-dot-com-is-no-name-77", None),
    ],
)
def test_amazons_rule(password: str, code: str | None) -> None:
    if code is None:
        validate_password(password, OLIVIA)
        return
    with pytest.raises(ValidationError) as refused:
        validate_password(password, OLIVIA)

    assert code in {error.code for error in refused.value.error_list}


@pytest.mark.django_db
def test_nobody_signs_up_with_their_own_address_in_the_password() -> None:
    answer = Client().post(
        reverse("account_signup"),
        {"email": "marlowe@shop.example", "password1": "Quite-Marlowe-long-77"},
    )

    assert answer.status_code == 200
    assert "no part of your name" in answer.content.decode()
    assert not User.objects.exists()


@pytest.mark.django_db
def test_nor_changes_it_to_one() -> None:
    user = User.objects.create_user("marlowe@shop.example", "Old-Password-2026")
    client = signed_in_freshly(user)
    new = "Quite-Marlowe-long-77"

    client.post(
        reverse("account_change_password"),
        {"oldpassword": "Old-Password-2026", "password1": new, "password2": new},
    )

    user.refresh_from_db()
    assert user.check_password("Old-Password-2026")
