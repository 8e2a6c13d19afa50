""" "Is this right?": who has used the row has answered, and *No, undo* is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone

from connections import question, services
from connections.models import Connection
from marketplaces import onboarding
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting, removing
from ppc import services as ppc_services
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Role
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    """Connected, and not confirmed."""
    organization = factories.make_organization("Northstar Trading")
    return factories.make_connection(organization, name="Northstar", confirmed=False)


def owner(row: Connection) -> Actor:
    return Actor.person(factories.owner_of(row.organization))


def onboard(row: Connection) -> None:
    account = factories.make_account(row)
    onboarding.begin_onboarding(connection=row, account_ids=[account.pk], actor=owner(row))


def link(row: Connection) -> None:
    account = factories.make_account(row)
    ppc_services.begin_linking(connection=row, account_ids=[account.pk], actor=owner(row))


def renew(row: Connection) -> None:
    factories.consent(row, refresh_token="Atzr|made-up-newer")


def disconnect(row: Connection) -> None:
    sides = frozenset({Side.SPAPI})
    disconnecting.disconnect(connection=row, sides=sides, actor=owner(row))


def restore(row: Connection) -> None:
    disconnect(row)
    removing.remove(connection=row, actor=owner(row))
    Connection._base_manager.filter(pk=row.pk).update(account_confirmed_at=None)
    removing.restore(organization_id=row.organization_id, connection_id=row.pk, actor=owner(row))


USES = [onboard, link, renew, disconnect, restore]


@pytest.mark.parametrize("use", USES)
def test_using_the_row_answers_the_question(
    amazon: RunningEmulator, row: Connection, use: Callable[[Connection], None]
) -> None:
    use(row)

    row.refresh_from_db()
    assert row.account_confirmed_at is not None
    events = AuditEvent._base_manager.filter(code="connection_confirmed", connection_id=row.pk)
    assert events.count() == (2 if use is restore else 1)  # that one takes the answer back


@pytest.mark.parametrize("use", USES)
def test_a_member_cannot_undo_what_was_used_before_using_was_an_answer(
    amazon: RunningEmulator, row: Connection, use: Callable[[Connection], None]
) -> None:
    """Rows from before: used, and the column is still empty."""
    use(row)
    Connection._base_manager.filter(pk=row.pk).update(account_confirmed_at=None)
    member = signed_in_freshly(factories.make_member(row.organization, Role.MEMBER))
    path = reverse("connection_undo", args=[row.organization.slug, row.pk])

    with nothing_changes(amazon, events=()):
        answers = [member.get(path), member.post(path)]
        with pytest.raises(services.NotRemovable):
            services.undo_connection(connection=row, actor=owner(row))

    assert [answer.status_code for answer in answers] == [200, 303]
    told = member.get(answers[1].headers["Location"]).text
    for page in (answers[0].text, told):
        assert "An administrator can end its consent with Disconnect" in page
    assert "Undo the connection</button>" not in answers[0].text


def test_the_list_asks_as_long_as_undo_would_be_done(row: Connection) -> None:
    member = signed_in_freshly(factories.make_member(row.organization, Role.MEMBER))
    page = member.get(reverse("account_connections", args=[row.organization.slug])).text
    assert "Is this right?" in page
    assert reverse("connection_undo", args=[row.organization.slug, row.pk]) in page


@pytest.mark.parametrize("use", USES)
def test_the_list_does_not_ask_about_a_row_that_was_used_before_using_was_an_answer(
    amazon: RunningEmulator, row: Connection, use: Callable[[Connection], None]
) -> None:
    """Its undo would be refused, and *Start onboarding* does not wait for an answer."""
    use(row)
    changed = {"account_confirmed_at": None, "participations_read_at": timezone.now()}
    Connection._base_manager.filter(pk=row.pk).update(**changed)
    member = signed_in_freshly(factories.make_member(row.organization, Role.MEMBER))

    page = member.get(reverse("account_connections", args=[row.organization.slug])).text

    assert row.name in page
    assert "Is this right?" not in page
    assert "No, undo" not in page
    url = reverse("marketplaces_onboard_many", args=[row.organization.slug])
    assert (
        "still asks whether it is the right store" not in member.get(url, {"row": str(row.pk)}).text
    )


@pytest.mark.parametrize("state", ["working", "onboarded", "needs_attention", "paused"])
def test_a_marketplace_that_was_begun_without_a_person_counts_too(
    row: Connection, state: str
) -> None:
    factories.make_account(row, onboarding=state, attention_reason="gave_up")
    assert not question.is_open(row)


def test_a_row_that_was_only_read_can_be_undone(row: Connection) -> None:
    account = factories.make_account(row)
    factories.make_link(account)

    services.undo_connection(connection=row, actor=owner(row))

    assert not Connection._base_manager.filter(pk=row.pk).exists()
    assert not MarketplaceAccount._base_manager.filter(pk=account.pk).exists()
    assert not PpcLink._base_manager.filter(account_id=account.pk).exists()


def test_a_linked_marketplace_keeps_the_row(row: Connection) -> None:
    factories.put_to_use(factories.make_ads_grant(row.organization), row)
    assert not question.is_open(row)


def test_an_ended_consent_asks_nothing(row: Connection) -> None:
    """An old row whose question was never answered, after a disconnect."""
    disconnect(row)
    Connection._base_manager.filter(pk=row.pk).update(account_confirmed_at=None)
    client = signed_in_freshly(factories.owner_of(row.organization))
    page = client.get(reverse("account_connections", args=[row.organization.slug])).text
    assert "Is this right?" not in page
    assert "No, undo" not in page
