"""The switch of supported marketplaces."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Connection
from marketplaces.models import Marketplace
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.staff import make_support, page_of, signed_in

pytestmark = pytest.mark.django_db


def brazil() -> Marketplace:
    return Marketplace.objects.get(pk=factories.BRAZIL)


def test_a_superuser_switches_a_marketplace_off_and_every_row_of_the_region_shows_it(
    django_capture_on_commit_callbacks: Any,
) -> None:
    american = factories.make_connection(factories.make_organization())
    european = factories.make_connection(
        factories.make_organization(), marketplace_id=factories.GERMANY
    )
    boss = factories.make_user(is_staff=True, is_superuser=True)

    with django_capture_on_commit_callbacks(execute=True):
        response = signed_in(boss).post(page_of(brazil()), {"reason": "not ready"})

    assert response.status_code == 302
    assert not brazil().is_supported
    event = AuditEvent._base_manager.get(code="marketplace_unsupported")
    assert (event.actor, event.actor_kind) == (boss, "staff")
    assert event.details == {"marketplace": factories.BRAZIL, "reason": "not ready"}
    assert Connection._base_manager.get(pk=american.pk).revision > american.revision
    assert Connection._base_manager.get(pk=european.pk).revision == european.revision


def test_saving_without_a_change_writes_nothing() -> None:
    boss = factories.make_user(is_staff=True, is_superuser=True)

    signed_in(boss).post(page_of(brazil()), {"is_supported": "on", "reason": "just looking"})

    assert not AuditEvent._base_manager.filter(code__startswith="marketplace_").exists()


def test_a_reason_is_required() -> None:
    boss = factories.make_user(is_staff=True, is_superuser=True)

    response = signed_in(boss).post(page_of(brazil()), {"reason": " "})

    assert response.status_code == 200
    assert brazil().is_supported


def test_support_looks_and_does_not_switch() -> None:
    client = signed_in(make_support())

    page = client.get(page_of(brazil()))
    response = client.post(page_of(brazil()), {"reason": "I want to"})

    assert page.status_code == 200
    assert b'name="is_supported"' not in page.content
    assert response.status_code == 403
    assert brazil().is_supported
