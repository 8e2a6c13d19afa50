"""The ground the other tests stand on."""

from __future__ import annotations

import pytest

from connections.models import Grant
from marketplaces.models import Marketplace
from sellerlegend.celery import RUN_JOB, ring
from tests import bells, factories
from tests.amazon_emulator import RunningEmulator


@pytest.mark.django_db
def test_a_made_connection_holds_a_sealed_consent() -> None:
    connection = factories.make_connection(
        factories.make_organization(), seller="A1NORTHSTAR001", refresh_token="Atzr|clear"
    )

    grant = factories.grant_of(connection)
    assert connection.selling_partner_id == "A1NORTHSTAR001"
    assert connection.account_confirmed_at is not None
    assert grant.status == Grant.Status.ACTIVE
    assert grant.refresh_token.startswith("v1.")
    assert "clear" not in grant.refresh_token


@pytest.mark.django_db
def test_a_made_link_joins_an_account_and_a_profile() -> None:
    organization = factories.make_organization()
    connection = factories.make_connection(organization)
    profile = factories.make_profile(
        factories.make_ads_grant(organization), seller=str(connection.selling_partner_id)
    )

    link = factories.make_link(factories.make_account(connection), profile)

    assert (link.status, link.profile, link.organization) == ("linked", profile, organization)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("time", ["first", "after a flush"])
def test_the_marketplaces_are_there_in_every_test(time: str) -> None:
    assert Marketplace.objects.count() == 23


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("silence")
def test_a_bell_is_heard_once() -> None:
    ring(RUN_JOB, "some id", "background")

    assert bells.heard() == [("background", RUN_JOB, "some id")]
    assert bells.heard() == []


@pytest.mark.parametrize("time", ["first", "after a reset"])
def test_the_fake_amazon_starts_anew_for_each_test(amazon: RunningEmulator, time: str) -> None:
    assert len(amazon.ledger) == 0
    assert len(amazon.world.grants) == 0

    amazon.world.authorize("A1NORTHSTAR001", "NA")
