"""The question of a bulk action as a form: about more rows than an address can carry."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections.bulk_actions import ACTIONS
from connections.models import Connection
from sellerlegend.organizations.models import Allowance, Organization
from tests import factories
from tests.amazon_emulator.running import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

ROWS = 120


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def rows(organization: Organization) -> list[str]:
    made: list[Connection] = [
        factories.make_connection(organization, name=f"Store {number}") for number in range(ROWS)
    ]
    return [str(row.pk) for row in made]


@pytest.mark.parametrize("action", [action.url_name for action in ACTIONS])
def test_it_is_a_look_at_the_same_question(
    amazon: RunningEmulator, organization: Organization, rows: list[str], action: str
) -> None:
    browser = signed_in_freshly(factories.owner_of(organization))
    url = reverse(action, args=[organization.slug])
    at_address = browser.get(url, {"row": rows})
    known = Allowance.objects.count()

    with nothing_changes(amazon, events=()):
        by_form = browser.post(url, {"ask": "1", "row": rows})

    assert by_form.status_code == 200
    assert by_form.templates[0].name == at_address.templates[0].name
    told = by_form.content.decode()
    assert told.count('name="row"') == at_address.content.decode().count('name="row"')
    assert Allowance.objects.count() == known


def test_a_stale_sign_in_is_led_back_to_the_list_and_never_to_all_rows(
    amazon: RunningEmulator, organization: Organization, rows: list[str]
) -> None:
    """The address of the export alone would be the whole list."""
    browser: Client = signed_in_long_ago(factories.owner_of(organization))
    listed = reverse("account_connections", args=[organization.slug])

    with nothing_changes(amazon, events=()):
        answer = browser.post(
            reverse("connections_export", args=[organization.slug]),
            {"ask": "1", "row": rows},
            headers={"HX-Request": "true", "HX-Current-URL": f"http://testserver{listed}?page=2"},
        )

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"].endswith(f"?next={listed.replace('/', '%2F')}%3Fpage%3D2")


def test_ticks_are_kept_for_one_session_in_one_organization(organization: Organization) -> None:
    owner = factories.owner_of(organization)
    first, second = signed_in_freshly(owner), signed_in_freshly(owner)

    owners = {
        browser.get(reverse("account_connections", args=[organization.slug])).context["ticks_owner"]
        for browser in (first, first, second)
    }

    assert len(owners) == 2
