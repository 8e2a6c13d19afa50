"""The page on which a trip to Amazon ends when it did not end on the list."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections import reasons
from connections.models import AuthorizationRequest, Connection
from sellerlegend.organizations.models import Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"


def page_of(browser: Client, callback: trips.Callback) -> tuple[int, str]:
    """Status and text of the page that the callback leads to."""
    response = browser.get(str(callback), follow=True)
    return response.status_code, response.content.decode()


def test_another_sellers_return_is_told_with_both_names(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    callback = trips.confirm(trips.leave(browser, connection), BLUE_HARBOR)

    status, page = page_of(browser, callback)

    assert status == 200
    assert NORTHSTAR in page
    assert BLUE_HARBOR in page
    assert reverse("connection_add_as_new", args=[organization.slug, connection.pk]) in page
    assert callback.trip.reference in page


def test_a_second_tab_with_another_seller_is_told_with_both_names_too(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    second = trips.confirm(trips.leave(browser, waiting), BLUE_HARBOR)
    trips.come_back(browser, trips.confirm(trips.leave(browser, waiting), NORTHSTAR))

    _, page = page_of(browser, second)

    assert NORTHSTAR in page
    assert BLUE_HARBOR in page


@pytest.mark.parametrize("outcome", sorted(reasons.OUTCOMES))
def test_every_outcome_has_a_page_with_its_words_and_its_reference(
    amazon: RunningEmulator, browser: Client, waiting: Connection, outcome: str
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    AuthorizationRequest._base_manager.update(
        status="expired" if outcome == "expired" else "consumed",
        consumed_at=callback.trip.created_at,
        outcome=outcome,
    )

    response = browser.get(str(callback), follow=True)

    words = reasons.OUTCOMES[outcome]
    assert response.status_code == 200
    assert response.context["words"] == words
    assert callback.trip.reference in response.content.decode()


@pytest.mark.parametrize(
    "params",
    [
        {"state": "forged"},
        {"state": None},
        {"state": "<script>alert(1)</script>", "spapi_oauth_code": "<img src=x>"},
    ],
)
def test_all_that_is_not_this_persons_trip_ends_on_one_neutral_page(
    amazon: RunningEmulator, browser: Client, waiting: Connection, params: dict[str, str | None]
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)

    response = browser.get(str(callback.with_params(**params)), follow=True)

    page = response.content.decode()
    assert response.status_code == 400
    assert response.context["words"] == reasons.REFUSED
    assert NORTHSTAR not in page
    assert waiting.name not in page
    assert "src=x" not in page
    assert "alert(1)" not in page


def test_a_stranger_with_the_reference_sees_the_same_as_for_a_made_up_one(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    trips.come_back(browser, callback.with_params(spapi_oauth_code=None))
    reference = callback.trip.reference
    stranger = trips.sign_in(factories.make_user())

    foreign, unknown = (
        stranger.get(reverse("authorization_outcome", args=[code]))
        for code in (reference, "BCDFGHJK")
    )

    assert (foreign.status_code, unknown.status_code) == (400, 400)
    assert foreign.context["words"] == unknown.context["words"] == reasons.REFUSED
    assert foreign.context["trip"] is None


@pytest.mark.parametrize("reference", ["short", "AAAAAAAA", "BCDFGHJKL", "bcdfghjk", "%00BCDFGH"])
def test_what_is_no_reference_has_no_page(browser: Client, reference: str) -> None:
    assert browser.get(f"/amazon/outcome/{reference}").status_code == 404


def test_the_outcome_of_a_success_leads_to_the_row(
    amazon: RunningEmulator, browser: Client, member: User, waiting: Connection
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    trips.come_back(browser, callback)

    response = browser.get(reverse("authorization_outcome", args=[callback.trip.reference]))

    assert response.status_code == 303
    assert response.headers["Location"].endswith(f"#connection-{waiting.pk}")


def test_after_a_failure_starting_again_works(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    response = browser.get(str(callback.with_params(spapi_oauth_code=None)), follow=True)

    start = getattr(browser, response.context["restart_method"])(response.context["restart_url"])
    if start.status_code == 200:  # the checklist before the trip
        start = browser.post(response.context["restart_url"])
    ending = trips.come_back(browser, trips.confirm(start.headers["Location"], NORTHSTAR))

    assert ending == "connected"
