"""A role that our application got: staff write it down, and older consents ask for renewal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections import health
from connections.models import Connection
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.organizations.models import AuditEvent, Organization, User
from tests import factories
from tests.demo.seed_people import seed_people
from tests.signing_in import signed_in_freshly
from tests.staff import make_support

pytestmark = pytest.mark.django_db

ADD = "admin:applications_applicationrole_add"


def form() -> dict[str, str]:
    now = timezone.localtime()
    return {
        "application": "spapi",
        "name": "Brand Analytics",
        "added_at_0": f"{now:%Y-%m-%d}",
        "added_at_1": f"{now:%H:%M:%S}",
    }


def state_of(row: Connection) -> str:
    later = timezone.now() + timedelta(minutes=1)
    state = health.health_of(
        LwaApplication.SPAPI, health.moments(later), prefix="spapi_grant__", region="region"
    )
    rows = Connection.objects.for_organization(row.organization_id).filter(pk=row.pk)
    return str(rows.annotate(state=state).values_list("state", flat=True)[0])


def test_a_role_is_written_down_recorded_and_shown_to_everybody() -> None:
    rows = [factories.make_connection(factories.make_organization()) for _ in range(2)]
    revisions = [Organization.objects.get(pk=row.organization_id).revision for row in rows]
    staff = factories.make_user(is_staff=True, is_superuser=True)
    from connections.models import SpApiGrant

    SpApiGrant._base_manager.update(authorized_at=timezone.now() - timedelta(days=1))

    response = signed_in_freshly(staff).post(reverse(ADD), form())

    assert response.status_code == 302
    role = ApplicationRole.objects.get()
    assert (role.application, role.name) == ("spapi", "Brand Analytics")
    event = AuditEvent._base_manager.get(code="application_role_added")
    assert (event.actor_kind, event.actor_id) == ("staff", staff.pk)
    assert event.details["role"] == "Brand Analytics"
    assert [state_of(row) for row in rows] == ["permission_missing"] * 2
    after = [Organization.objects.get(pk=row.organization_id).revision for row in rows]
    assert [new > old for new, old in zip(after, revisions, strict=True)] == [True, True]


def test_a_role_of_tomorrow_is_refused() -> None:
    staff = factories.make_user(is_staff=True, is_superuser=True)
    tomorrow = timezone.localtime() + timedelta(days=1)

    response = signed_in_freshly(staff).post(
        reverse(ADD), form() | {"added_at_0": f"{tomorrow:%Y-%m-%d}"}
    )

    assert "This lies in the future." in response.content.decode()
    assert not ApplicationRole.objects.exists()


def test_support_may_not_add_a_role() -> None:
    response = signed_in_freshly(make_support()).post(reverse(ADD), form())

    assert response.status_code == 403
    assert not ApplicationRole.objects.exists()
    assert not AuditEvent._base_manager.filter(code="application_role_added").exists()


def test_a_role_that_stands_there_is_neither_changed_nor_removed() -> None:
    role = ApplicationRole.objects.create(application="spapi", name="Brand Analytics")
    client = signed_in_freshly(factories.make_user(is_staff=True, is_superuser=True))

    for page in ("change", "delete"):
        url = reverse(f"admin:applications_applicationrole_{page}", args=[role.pk])
        assert client.post(url, form() | {"name": "Other"}).status_code == 403

    assert ApplicationRole.objects.get().name == "Brand Analytics"


def test_staff_without_the_permission_are_told_in_words_for_staff() -> None:
    staff = signed_in_freshly(make_support())

    answer = staff.get(reverse(ADD))

    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Your staff account may not do that" in page
    assert "Your role in this organization" not in page


def test_the_demos_staff_may_write_a_role_down() -> None:
    make_support("somebody@example.com")
    seed_people()

    response = signed_in_freshly(User.objects.get(email="staff@example.com")).post(
        reverse(ADD), form()
    )

    assert response.status_code == 302
    assert ApplicationRole.objects.exists()
