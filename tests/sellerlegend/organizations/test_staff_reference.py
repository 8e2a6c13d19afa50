"""From the reference code of a person's page to the event in the record."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ppc import disconnecting
from ppc.disconnecting import Side
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.signing_in import signed_in_freshly
from tests.staff import make_support

pytestmark = pytest.mark.django_db

NORTHSTAR = "A1NORTHSTAR001"


@pytest.fixture
def staff() -> Client:
    return signed_in_freshly(make_support())


def find(client: Client, code: str) -> Any:
    return client.get(reverse("staff_reference"), {"code": code})


def test_the_code_of_a_refused_callback_leads_to_its_event(
    amazon: RunningEmulator, staff: Client
) -> None:
    person = trips.sign_in(factories.owner_of(factories.make_organization()))
    answer = person.get(
        f"{reverse('spapi_callback')}?state=forged&spapi_oauth_code=x&selling_partner_id={NORTHSTAR}",
        follow=True,
    )
    reference = answer.context["reference"]
    assert reference in answer.content.decode()

    jump = find(staff, f" {reference.lower()} ")
    record = staff.get(jump.headers["Location"])

    [event] = record.context["cl"].result_list
    assert (event.code, event.reference) == ("authorization_refused", reference)
    assert event.details["cause"] == "state_unknown"


def test_the_code_of_a_trip_leads_to_all_its_events(amazon: RunningEmulator, staff: Client) -> None:
    organization = factories.make_organization()
    row = factories.make_connection(organization, seller=NORTHSTAR)
    person = trips.sign_in(factories.owner_of(organization))
    callback = trips.confirm(trips.leave(person, row), "A2BLUEHARBOR02")
    trips.come_back(person, callback)

    record = staff.get(find(staff, callback.trip.reference).headers["Location"])

    codes = {event.code for event in record.context["cl"].result_list}
    assert codes == {"authorization_opened", "authorization_ended"}


def test_the_code_of_a_trip_that_a_colleague_ended_leads_to_what_ended_it(
    amazon: RunningEmulator, staff: Client
) -> None:
    """SL-116."""
    organization = factories.make_organization()
    row = factories.make_connection(organization, seller=NORTHSTAR)
    person = trips.sign_in(factories.owner_of(organization))
    callback = trips.confirm(trips.leave(person, row), NORTHSTAR)
    disconnecting.disconnect(
        connection=row,
        sides=frozenset({Side.SPAPI}),
        actor=Actor.person(factories.make_member(organization, Role.ADMIN)),
    )
    assert trips.come_back(person, callback) == "disconnected_meanwhile"

    record = staff.get(find(staff, callback.trip.reference).headers["Location"])

    [ended] = [e for e in record.context["cl"].result_list if e.code != "authorization_opened"]
    assert (ended.code, ended.details["reason"]) == (
        "authorization_request_expired",
        "disconnected",
    )


@pytest.mark.parametrize("code", ["BCDFGHJK", "x", "SL-107", "\x00", "x" * 5000, "<b>", "AAAAAAAA"])
def test_a_code_without_an_event_is_explained(staff: Client, code: str) -> None:
    answer = find(staff, code)

    assert answer.status_code == 200
    assert "No event has this code." in answer.content.decode()
    assert "request_id" in answer.content.decode()


def test_the_setup_page_has_the_field(staff: Client) -> None:
    page = staff.get(reverse("staff_setup")).content.decode()

    assert re.search(rf'<form[^>]*method="get"[^>]*action="{reverse("staff_reference")}"', page)


def test_nobody_else_learns_whether_a_code_exists() -> None:
    record_event("something", actor=WORKER, reference="BCDFGHJK")
    person = trips.sign_in(factories.make_user())

    known, unknown = find(person, "BCDFGHJK"), find(person, "BCDFGHJM")

    assert known.status_code == unknown.status_code == 404
    assert AuditEvent._base_manager.count() == 1


def test_staff_open_the_event_from_the_persons_page(staff: Client) -> None:
    """A person sends the address of the page: to staff it is a stranger's trip, with a link."""
    page = staff.get(reverse("authorization_outcome", args=["BCDFGHJK"])).content.decode()

    assert f'href="{reverse("staff_reference")}?code=BCDFGHJK"' in page
