"""`advance()`: one winner for each step, the table obeyed, an event with every change."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from connections.models import AdsGrant, AuthorizationRequest, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import PpcLink
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.transitions import IllegalTransition, StaleState, advance, advance_many
from tests import factories
from tests.threads import run_many

Onboarding = MarketplaceAccount.Onboarding
MACHINES: list[Any] = [SpApiGrant, AdsGrant, AuthorizationRequest, MarketplaceAccount, PpcLink]


@pytest.fixture
def account(db: None) -> MarketplaceAccount:
    return factories.make_account(factories.make_connection(factories.make_organization()))


def events(account: MarketplaceAccount) -> list[AuditEvent]:
    mine = AuditEvent.objects.for_organization(account.organization_id)
    return list(mine.filter(subject_id=account.pk).order_by("id"))


def stored(account: MarketplaceAccount) -> MarketplaceAccount:
    accounts = MarketplaceAccount.objects.for_organization(account.organization_id)
    found: MarketplaceAccount = accounts.get(pk=account.pk)
    return found


def test_a_step_changes_the_row_in_hand_and_in_the_database(account: MarketplaceAccount) -> None:
    now = timezone.now()

    advance(account, to=Onboarding.WORKING, actor=WORKER, chosen_at=now)

    for row in (account, stored(account)):
        assert (row.onboarding, row.chosen_at) == (Onboarding.WORKING, now)


def test_a_step_writes_one_event(account: MarketplaceAccount) -> None:
    person = factories.make_user()
    advance(account, to=Onboarding.WORKING, actor=Actor.person(person))

    advance(
        account,
        to=Onboarding.NEEDS_ATTENTION,
        actor=WORKER,
        reason="grant_invalid",
        attention_reason="grant_invalid",
    )

    first, second = events(account)
    assert (first.code, first.actor, first.details) == (
        "onboarding_working",
        person,
        {"from": "pending", "to": "working"},
    )
    assert (second.code, second.actor_kind, second.details) == (
        "onboarding_needs_attention",
        "worker",
        {"from": "working", "to": "needs_attention", "reason": "grant_invalid"},
    )


def test_whoever_saw_an_older_state_changes_nothing(account: MarketplaceAccount) -> None:
    late = stored(account)
    advance(account, to=Onboarding.WORKING, actor=WORKER)

    with pytest.raises(StaleState):
        advance(late, to=Onboarding.WORKING, actor=WORKER, store_name="overwritten")

    assert late.onboarding == Onboarding.PENDING
    assert stored(account).store_name != "overwritten"
    assert len(events(account)) == 1


def test_a_step_the_table_forbids_is_a_mistake(account: MarketplaceAccount) -> None:
    with pytest.raises(IllegalTransition, match="MarketplaceAccount: pending to onboarded"):
        advance(account, to=Onboarding.ONBOARDED, actor=WORKER, onboarded_at=timezone.now())

    assert stored(account).onboarding == Onboarding.PENDING
    assert events(account) == []


def test_a_state_that_does_not_exist_is_a_mistake(account: MarketplaceAccount) -> None:
    with pytest.raises(IllegalTransition):
        advance(account, to="nonsense", actor=WORKER)


def test_a_row_that_is_gone_is_stale(account: MarketplaceAccount) -> None:
    late = stored(account)
    account.delete()

    with pytest.raises(StaleState):
        advance(late, to=Onboarding.WORKING, actor=WORKER)


def test_columns_that_contradict_the_state_leave_no_event(account: MarketplaceAccount) -> None:
    """The database says again what a state implies: attention has a reason."""
    advance(account, to=Onboarding.WORKING, actor=WORKER)

    with pytest.raises(IntegrityError), transaction.atomic():
        advance(account, to=Onboarding.NEEDS_ATTENTION, actor=WORKER)

    assert account.onboarding == stored(account).onboarding == Onboarding.WORKING
    assert len(events(account)) == 1


def test_a_rollback_takes_step_and_event_back(account: MarketplaceAccount) -> None:
    with transaction.atomic():
        advance(account, to=Onboarding.WORKING, actor=WORKER)
        transaction.set_rollback(True)

    assert stored(account).onboarding == Onboarding.PENDING
    assert events(account) == []


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_one_wins() -> None:
    row = factories.make_account(factories.make_connection(factories.make_organization()))

    def step() -> str:
        advance(stored(row), to=Onboarding.WORKING, actor=WORKER)
        return "won"

    results = run_many(12, step)

    assert results.count("won") == 1
    assert all(one == "won" or isinstance(one, StaleState | IllegalTransition) for one in results)
    assert len(events(row)) == 1


# The tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_a_table_speaks_of_known_states_only(machine: Any) -> None:
    states = {value for value, _ in machine._meta.get_field(machine.STATUS_FIELD).choices}
    targets = {to for row in machine.TRANSITIONS.values() for to in row}

    assert set(machine.TRANSITIONS) | targets == states


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_the_database_knows_the_same_states(machine: Any) -> None:
    """One check constraint lists the states, word for word."""
    field = machine.STATUS_FIELD
    states = {value for value, _ in machine._meta.get_field(field).choices}
    listed = [
        set(dict(constraint.condition.children)[f"{field}__in"])
        for constraint in machine._meta.constraints
        if constraint.name.endswith("_status_known")
    ]

    assert listed == [states]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_no_state_is_a_dead_end_by_oversight(machine: Any) -> None:
    ends = {
        value
        for value, _ in machine._meta.get_field(machine.STATUS_FIELD).choices
        if not machine.TRANSITIONS.get(value)
    }

    expected = {"consumed", "expired"} if machine is AuthorizationRequest else set()
    assert ends == expected


# Many at once ------------------------------------------------------------------------------


def accounts_of(account: MarketplaceAccount) -> Any:
    return MarketplaceAccount.objects.for_organization(account.organization_id)


@pytest.fixture
def three(account: MarketplaceAccount) -> list[MarketplaceAccount]:
    others = [
        factories.make_account(account.connection, marketplace_id=marketplace)
        for marketplace in ("A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8")
    ]
    return [account, *others]


def test_many_rows_move_with_an_event_each(three: list[MarketplaceAccount]) -> None:
    advance(three[2], to=Onboarding.WORKING, actor=WORKER)

    moved = advance_many(
        accounts_of(three[0]),
        seen=Onboarding.PENDING,
        to=Onboarding.WORKING,
        actor=WORKER,
        reason="bulk",
        store_name="Moved",
    )

    assert moved == 2
    assert [stored(row).onboarding for row in three] == [Onboarding.WORKING] * 3
    assert [stored(row).store_name == "Moved" for row in three] == [True, True, False]
    for row in three[:2]:
        (event,) = events(row)
        assert (event.code, event.connection_id, event.organization_id) == (
            "onboarding_working",
            row.connection_id,
            row.organization_id,
        )
        assert event.details == {"from": "pending", "to": "working", "reason": "bulk"}
    assert len(events(three[2])) == 1


def test_many_stop_at_the_limit(three: list[MarketplaceAccount]) -> None:
    def move() -> int:
        return advance_many(
            accounts_of(three[0]).order_by("pk"),
            seen=Onboarding.PENDING,
            to=Onboarding.WORKING,
            actor=WORKER,
            limit=2,
        )

    assert [move(), move(), move()] == [2, 1, 0]


def test_the_table_is_the_law_for_many_too(three: list[MarketplaceAccount]) -> None:
    with pytest.raises(IllegalTransition):
        advance_many(
            accounts_of(three[0]),
            seen=Onboarding.PENDING,
            to=Onboarding.ONBOARDED,
            actor=WORKER,
        )

    assert [stored(row).onboarding for row in three] == [Onboarding.PENDING] * 3
    assert [events(row) for row in three] == [[], [], []]


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_row_somebody_is_at_is_left_alone(three: list[MarketplaceAccount]) -> None:
    moved = {}

    def others() -> None:
        moved["meanwhile"] = advance_many(
            accounts_of(three[0]), seen=Onboarding.PENDING, to=Onboarding.WORKING, actor=WORKER
        )

    with transaction.atomic():
        accounts_of(three[0]).select_for_update().get(pk=three[0].pk)
        run_many(1, others)

    assert moved == {"meanwhile": 2}
    assert stored(three[0]).onboarding == Onboarding.PENDING
    assert events(three[0]) == []


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_who_is_patient_waits_for_it_and_moves_it_then(three: list[MarketplaceAccount]) -> None:
    moved: dict[str, int] = {}

    def patiently() -> None:
        moved["after"] = advance_many(
            accounts_of(three[0]),
            seen=Onboarding.PENDING,
            to=Onboarding.WORKING,
            actor=WORKER,
            is_patient=True,
        )
        connection.close()

    waiting = threading.Thread(target=patiently)
    with transaction.atomic():
        accounts_of(three[0]).filter(pk=three[1].pk).update(store_name="Taken back")
        waiting.start()
        waiting.join(0.5)
        assert moved == {}
        transaction.set_rollback(True)
    waiting.join(10)

    assert moved == {"after": 3}
    assert [stored(row).onboarding for row in three] == [Onboarding.WORKING] * 3
