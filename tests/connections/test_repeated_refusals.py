"""Really revoked consents are asked again and again, and make no incident of Amazon's by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from connections import credentials, repeated_refusals
from connections.models import Connection, SpApiGrant
from sellerlegend.amazon.errors import AccessTokenRejected, AmazonError
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import incident_watch, incidents, outcomes
from sellerlegend.jobs.incident_counts import Refused
from sellerlegend.jobs.models import CallWindow, Incident
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import grant_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def revoked(amazon: RunningEmulator) -> list[Connection]:
    """Twelve sellers of four organizations; each took its consent back."""
    rows: list[Connection] = []
    for number in range(12):
        seller = f"A{number}REVOKED00"
        amazon.world.add_seller(seller, marketplaces=["US"])
        organization = factories.make_organization() if number % 3 == 0 else rows[-1].organization
        token = amazon.world.authorize(seller, "NA")
        rows.append(factories.make_connection(organization, seller=seller, refresh_token=token))
        amazon.world.revoke(seller)
    return rows


def ask(rows: list[Connection]) -> None:
    for row in rows:
        with suppress(AmazonError):
            credentials.access_token(grant_of(row), force=True)


def test_refusals_all_at_once_are_an_incident_and_the_same_ones_later_are_none(
    clock: time_machine.Traveller, revoked: list[Connection]
) -> None:
    ask(revoked)
    incident_watch.look()
    incident = Incident.objects.get()
    assert (incident.surface, incident.cause, incident.failures) == ("lwa", "refusing", 12)
    Incident.objects.all().delete()

    clock.shift(timedelta(hours=1))
    ask(revoked)
    incident_watch.look()

    windows = CallWindow.objects.filter(minute__gte=timezone.now() - timedelta(minutes=1))
    assert sum(windows.values_list("refused", flat=True)) == 12
    assert not Incident.objects.exists()


def test_a_sellers_own_revocation_is_found_while_staff_say_that_amazon_refuses_all(
    clock: time_machine.Traveller, amazon: RunningEmulator, revoked: list[Connection]
) -> None:
    staff = Actor.staff(factories.make_user(is_staff=True))
    incidents.open_one(surface="lwa", region="", cause="refusing", actor=staff, reason="status")
    others = []
    for number in range(3):
        seller = f"A{number}WORKS00000"
        amazon.world.add_seller(seller, marketplaces=["US"])
        token = amazon.world.authorize(seller, "NA")
        row = factories.make_connection(
            factories.make_organization(), seller=seller, refresh_token=token
        )
        others.append(row)

    for minutes in (0, 3, 13):
        clock.shift(timedelta(minutes=minutes))
        ask([*others, revoked[0]])
        outcomes.flush()

    assert [grant_of(row).status for row in others] == ["active"] * 3
    assert grant_of(revoked[0]).status == "invalid"


def test_a_rejected_access_token_repeats_only_for_who_is_in_doubt(
    clock: time_machine.Traveller, amazon: RunningEmulator, organization: Organization
) -> None:
    """Rejected tokens of consents in order are news: a call each, and no event."""
    seller = "A1NORTHSTAR001"
    token = amazon.world.authorize(seller, "NA")
    row = factories.make_connection(organization, seller=seller, refresh_token=token)
    minute = timezone.now().replace(second=0, microsecond=0)
    once = [Refused(organization.pk, minute, 1)]
    assert repeated_refusals.repeats("sellers", "NA", once) == [0]

    def rejected(_token: Secret) -> None:
        with outcomes.counted("sellers.NA"):
            raise AccessTokenRejected

    with suppress(AmazonError):
        credentials.spapi_call(row, rejected)
    assert grant_of(row).status == SpApiGrant.Status.DOUBTED
    twice = [Refused(organization.pk, minute, 2)]
    assert repeated_refusals.repeats("sellers", "NA", twice) == [0]

    later = [Refused(organization.pk, minute + timedelta(minutes=15), 2)]
    assert repeated_refusals.repeats("sellers", "NA", later) == [2]
