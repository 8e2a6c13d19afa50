"""A page with a mistake says so in its title, and the first mistake has the focus."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from sellerlegend.organizations.models import Organization, Role
from tests import factories
from tests.page_titles import title
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Agency")


@pytest.fixture
def admin(organization: Organization) -> Client:
    return signed_in_freshly(factories.make_member(organization, Role.ADMIN))


def focused(page: str) -> str:
    [tag] = re.findall(r"<\w+[^>]*\sautofocus[^>]*>", page)
    return str(tag)


def test_a_page_without_a_mistake_focuses_nothing(
    admin: Client, organization: Organization
) -> None:
    page = admin.get(reverse("connection_new", args=[organization.slug])).text

    assert title(page) == "Add New Connection · Agency · SellerLegend"
    assert "autofocus" not in page


def test_the_first_field_with_a_mistake_has_the_focus(
    admin: Client, organization: Organization
) -> None:
    facts = {"name": "", "marketplace": "nowhere"}

    page = admin.post(reverse("connection_new", args=[organization.slug]), facts).text

    assert title(page).startswith("Error: Add New Connection")
    assert 'name="name"' in focused(page)


def test_a_refused_sign_in_focuses_what_is_wrong() -> None:
    answer = Client().post(
        reverse("account_login"), {"login": "nobody@example.com", "password": "wrong"}
    )

    assert title(answer.text) == "Error: Sign in · SellerLegend"
    assert 'class="form-errors' in focused(answer.text)


def test_a_group_of_choices_focuses_its_words(admin: Client, organization: Organization) -> None:
    facts = {"email": "new@example.com", "role": "emperor"}

    page = admin.post(reverse("member_invite", args=[organization.slug]), facts).text

    assert 'id="id_role_error"' in focused(page)


def test_whom_to_invite_is_wrong_at_the_address(admin: Client, organization: Organization) -> None:
    colleague = factories.make_member(organization, Role.VIEWER)
    facts = {"email": colleague.email, "role": Role.MEMBER}

    page = admin.post(reverse("member_invite", args=[organization.slug]), facts).text

    assert title(page).startswith("Error: Invite somebody")
    assert 'name="email"' in focused(page)
    assert "id_email_error" in focused(page)


@pytest.mark.parametrize("name", ["client_list_new", "token_import_new"])
def test_what_is_wrong_with_a_table_is_said_at_both_its_fields(
    name: str, admin: Client, organization: Organization
) -> None:
    page = admin.post(reverse(name, args=[organization.slug])).text

    assert title(page).startswith("Error: ")
    assert 'id="table-error"' in focused(page)
    for field in ("file", "text"):
        [tag] = re.findall(rf'<(?:input|textarea)[^>]*name="{field}"[^>]*>', page)
        assert 'aria-describedby="table-error"' in tag
        assert " required" not in tag
    assert "(optional)" not in page
