"""Staff open and close an incident by hand: named, with a reason, and recorded."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.models import AuditEvent, User
from tests import factories
from tests.nothing_changed import all_rows
from tests.signing_in import proved_seconds_ago, signed_in_freshly
from tests.staff import act, list_of, make_support, page_of

pytestmark = pytest.mark.django_db
URL = reverse("admin:jobs_incident_open")
FORM = {"part": "sellers.EU", "cause": "refusing", "reason": "Amazon's status page"}


@pytest.fixture
def staff(db: None) -> User:
    return make_support()


@pytest.fixture
def support(staff: User) -> Client:
    return signed_in_freshly(staff)


@pytest.fixture
def incident(db: None) -> Incident:
    found = incidents.open_one(
        surface="lwa",
        region="",
        cause="failing",
        actor=WORKER,
        counted={"calls": 40, "failures": 31, "organizations": 7},
    )
    assert found is not None
    return found


def last_event() -> tuple[Any, ...]:
    event = AuditEvent._base_manager.filter(code__startswith="incident_").latest("pk")
    return event.code, event.actor, event.actor_kind, event.details["reason"]


def test_staff_open_one(support: Client, staff: User) -> None:
    assert "Open an incident" in support.get(list_of(Incident)).content.decode()
    assert support.get(URL).status_code == 200

    answer = support.post(URL, FORM)

    assert answer.headers["Location"] == list_of(Incident).rstrip("?")
    opened = Incident.objects.get()
    assert (opened.surface, opened.region, opened.cause) == ("sellers", "EU", "refusing")
    assert (opened.opened_by, opened.closed_at) == (staff, None)
    assert last_event() == ("incident_opened", staff, "staff", "Amazon's status page")


@pytest.mark.parametrize(
    "change",
    [
        {"reason": ""},
        {"reason": "Atzr|IwEBIN0T4REALTOKEN0123456789abcdefghijklmnop"},
        {"part": "sellers."},
        {"part": "sellers.XX"},
        {"cause": "weather"},
    ],
)
def test_a_form_with_a_mistake_opens_none(support: Client, change: dict[str, str]) -> None:
    before = all_rows()

    assert support.post(URL, FORM | change).status_code == 422

    assert all_rows() == before


def test_a_part_with_an_open_incident_gets_no_second_one(
    support: Client, incident: Incident
) -> None:
    answer = support.post(URL, FORM | {"part": "lwa."}, follow=True)

    assert "has an open incident already" in answer.content.decode()
    assert Incident.objects.get() == incident


def test_staff_close_one_and_say_why(support: Client, staff: User, incident: Incident) -> None:
    asked = act(support, "close", [incident])
    assert asked.status_code == 200
    incident.refresh_from_db()
    assert incident.closed_at is None

    act(support, "close", [incident], reason="a false alarm")

    incident.refresh_from_db()
    assert incident.closed_by == staff
    assert last_event() == ("incident_closed", staff, "staff", "a false alarm")


def test_staff_see_what_was_counted(support: Client, incident: Incident) -> None:
    page = support.get(page_of(incident)).content.decode()

    assert all(number in page for number in ("40", "31", ">7<"))


def test_who_may_not_opens_and_closes_none(incident: Incident) -> None:
    client = signed_in_freshly(factories.make_user(is_staff=True))
    before = all_rows()

    assert client.get(URL).status_code == 403
    assert client.post(URL, FORM).status_code == 403
    assert act(client, "close", [incident], reason="me").status_code == 403
    assert Client().post(URL, FORM).status_code == 302

    assert all_rows() == before


def test_an_old_session_opens_none(staff: User) -> None:
    client = proved_seconds_ago(signed_in_freshly(staff), 3600, "password", "mfa")

    assert "reauthenticate" in client.post(URL, FORM).headers["Location"]
    assert not Incident.objects.exists()
