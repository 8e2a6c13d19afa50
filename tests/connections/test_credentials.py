"""The one reader of refresh tokens, against the fake Amazon. Races: `tests/test_races.py`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.core.cache import cache
from django.db import DatabaseError, IntegrityError, transaction
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from connections import credentials, grants, refusals, services, superseding, token_cache
from connections.credentials import access_token, ads_call, spapi_call
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.verdicts import (
    GrantDoubted,
    GrantMissing,
    GrantUnreadable,
    VaultKeyMissing,
    verdict,
)
from sellerlegend import crypto
from sellerlegend.amazon import lwa
from sellerlegend.amazon.errors import (
    AccessTokenRejected,
    AmazonUnavailable,
    ClientMisconfigured,
    GrantInvalid,
    HeldBack,
)
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import AuditEvent, Organization, VaultUse
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.threads import run_many, run_together

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
LOGIN = "ads@northstar.example"

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return connected(amazon, NORTHSTAR)


def connected(
    amazon: RunningEmulator, seller: str, organization: Organization | None = None
) -> Connection:
    return factories.make_connection(
        organization or factories.make_organization(),
        seller=seller,
        refresh_token=amazon.world.authorize(seller, "NA"),
    )


@pytest.fixture
def ads_grant(amazon: RunningEmulator) -> AdsGrant:
    return factories.make_ads_grant(
        factories.make_organization(), refresh_token=amazon.world.authorize_ads(LOGIN)
    )


def refreshes(amazon: RunningEmulator) -> int:
    return amazon.ledger.count(surface="lwa", operation="refresh_token")


def token_of(connection: Connection, *, force: bool = False) -> str:
    """What a worker gets that has just loaded the row."""
    return access_token(factories.grant_of(connection), force=force).reveal()


def refused(connection: Connection, *, force: bool = False) -> Exception:
    with pytest.raises((GrantDoubted, GrantInvalid)) as caught:
        access_token(factories.grant_of(connection), force=force)
    return caught.value


def write(connection: Connection, **columns: Any) -> None:
    SpApiGrant._base_manager.filter(connection=connection).update(**columns)


def time_passes(connection: Connection, **units: float) -> None:
    """The past of the row is moved back: moving our clock would age Amazon's tokens too."""
    grant = factories.grant_of(connection)
    assert grant.first_refused_at is not None
    write(connection, first_refused_at=grant.first_refused_at - timedelta(**units))


def snapshot(connection: Connection) -> dict[str, Any]:
    return dict(SpApiGrant._base_manager.filter(connection=connection).values().get())


def expire_cached_token(connection: Connection) -> None:
    grant = factories.grant_of(connection)
    token_cache.drop(token_cache.key_of(grant))


# One refresh, then the cache ---------------------------------------------------------------


def test_a_token_is_refreshed_once_and_then_cached(
    amazon: RunningEmulator, connection: Connection
) -> None:
    tokens = {token_of(connection) for _ in range(5)}

    assert len(tokens) == 1
    assert refreshes(amazon) == 1
    grant = factories.grant_of(connection)
    assert grant.last_refreshed_at is not None
    assert grant.refresh_lease_until is None


def test_seller_central_and_ads_use_their_own_application(
    amazon: RunningEmulator, connection: Connection, ads_grant: AdsGrant, settings: Settings
) -> None:
    token_of(connection)
    access_token(ads_grant)

    clients = [entry.client_id for entry in amazon.ledger.calls(surface="lwa")]
    assert clients == [settings.SPAPI_CLIENT.client_id, settings.ADS_CLIENT.client_id]


def test_the_cached_token_is_sealed_and_bound_to_its_grant(
    amazon: RunningEmulator, connection: Connection
) -> None:
    token = token_of(connection)
    grant = factories.grant_of(connection)

    sealed = cache.get(f"access-token:{grant.pk}:{grant.version}")

    assert sealed.startswith("v1.")
    assert token not in json.dumps(sealed)
    other = connected(amazon, BLUE_HARBOR, connection.organization)
    foreign = factories.grant_of(other)
    cache.set(f"access-token:{foreign.pk}:{foreign.version}", sealed)
    assert token_of(other) != token
    assert refreshes(amazon) == 2


@pytest.mark.parametrize("rubbish", ["", "v1.x.y.z", 7, ["a"], None])
def test_rubbish_in_the_cache_is_a_miss(
    amazon: RunningEmulator, connection: Connection, rubbish: object
) -> None:
    grant = factories.grant_of(connection)
    cache.set(f"access-token:{grant.pk}:{grant.version}", rubbish)

    assert token_of(connection).startswith("Atza|")
    assert refreshes(amazon) == 1


def test_a_token_leaves_the_cache_five_minutes_before_amazon_ends_it(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, float] = {}
    monkeypatch.setattr(cache, "set", lambda key, value, timeout: kept.update({key: timeout}))

    token_of(connection)

    assert list(kept.values()) == [3300]


def test_force_refreshes_in_any_case(amazon: RunningEmulator, connection: Connection) -> None:
    first = token_of(connection)

    second = token_of(connection, force=True)

    assert second != first
    assert token_of(connection) == second
    assert refreshes(amazon) == 2


def test_a_cache_that_is_down_costs_refreshes_and_nothing_else(
    amazon: RunningEmulator,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down(*_args: object, **_options: object) -> None:
        raise ConnectionError

    for name in ("get", "set", "delete"):
        monkeypatch.setattr(cache, name, down)

    first = token_of(connection)
    assert token_of(connection) == first
    token_cache._own.clear()  # as another process would find it
    assert token_of(connection) != first
    assert refreshes(amazon) == 2
    assert "cache_unavailable" in caplog.messages


def test_a_process_keeps_a_sealed_copy_that_ends_with_the_consent_it_came_from(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """The row decides each time; the copy is only what the row says is in force."""
    first = token_of(connection)
    grant = factories.grant_of(connection)
    with patch.object(cache, "get", side_effect=AssertionError("the shared cache was asked")):
        assert token_of(connection) == first
    assert first not in repr(token_cache._own)

    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))
    second = token_of(connection)
    assert second != first
    with transaction.atomic():
        superseding.destroy(factories.grant_of(connection), actor=WORKER, reason="disconnected")
    with pytest.raises(GrantMissing):
        credentials.live_token(connection)
    assert token_cache.read(grant, "") is None


def test_a_copy_that_amazon_rejects_gives_way_to_what_a_neighbour_got(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Another process has replaced the rejected token: ours finds it, and asks Amazon nothing."""
    rejected = token_of(connection)
    grant = factories.grant_of(connection)
    data_key = connection.organization.data_key
    mine = dict(token_cache._own)
    token_cache.remember(grant, Secret("Atza|of-a-neighbour"), 3600, data_key)
    token_cache._own.update(mine)
    known = refreshes(amazon)

    def call(token: Secret) -> str:
        if token.reveal() == rejected:
            raise AccessTokenRejected(operation="test")
        return token.reveal()

    assert credentials.spapi_call(connection, call) == "Atza|of-a-neighbour"
    assert refreshes(amazon) == known


@pytest.mark.needs_redis
def test_while_the_cache_is_gone_a_process_keeps_its_own_sealed_token(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "sellerlegend.shared_cache.SharedCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }

    first = token_of(connection)

    assert token_of(connection) == first
    assert refreshes(amazon) == 1
    assert first not in repr(token_cache._own)
    # A rejected one is forgotten, and a newer consent never meets an older one's.
    grant = factories.grant_of(connection)
    token_cache.forget(grant, Secret(first), connection.organization.data_key)
    assert token_of(connection) != first
    assert refreshes(amazon) == 2


# One refresh among many --------------------------------------------------------------------


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_readers_of_a_cold_cache_make_one_refresh(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.faults.add(surface="lwa", delay=0.3)

    tokens = run_many(50, lambda: token_of(connection))

    assert {type(token) for token in tokens} == {str}
    assert len(set(map(str, tokens))) == 1
    assert refreshes(amazon) == 1


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_consent_that_comes_during_a_refresh_is_the_one_that_is_used(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """The old token's answer comes late: it is neither cached nor handed out."""
    amazon.faults.add(surface="lwa", delay=1, times=1)
    newer = amazon.world.authorize(NORTHSTAR, "NA")

    def reconnect() -> str:
        amazon.ledger.wait_for(1, surface="lwa")
        factories.consent(connection, refresh_token=newer)
        return token_of(connection)

    early, late = run_together(lambda: token_of(connection), reconnect)

    assert early == late == token_of(connection)
    assert factories.grant_of(connection).version == 2


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_undone_during_a_refresh_gives_no_token(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.faults.add(surface="lwa", delay=1, times=1)
    Connection._base_manager.filter(pk=connection.pk).update(account_confirmed_at=None)
    owner = factories.owner_of(connection.organization)

    def undo() -> None:
        amazon.ledger.wait_for(1, surface="lwa")
        services.undo_connection(connection=connection, actor=Actor.person(owner))

    answer, undone = run_together(lambda: token_of(connection), undo)

    assert isinstance(answer, GrantMissing)
    assert undone is None
    assert not SpApiGrant._base_manager.filter(connection=connection).exists()


def test_whoever_waits_gets_the_token_that_came_meanwhile(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """A lease that nobody freed: its holder died after it had cached the token."""
    token = token_of(connection)
    write(connection, refresh_lease_until=timezone.now() + timedelta(seconds=20))

    assert token_of(connection) == token


def test_a_refresh_is_four_statements_and_a_look_is_one(
    amazon: RunningEmulator, connection: Connection, django_assert_num_queries: Any
) -> None:
    """The row, the lease that gives it back, the vault's count, and the acceptance that frees the
    lease."""
    token_of(connection)  # what a process reads once
    expire_cached_token(connection)

    with django_assert_num_queries(4):
        credentials.live_token(connection)
    with django_assert_num_queries(1):
        credentials.live_token(connection)

    grant = factories.grant_of(connection)
    assert grant.refresh_lease_until is None
    assert refreshes(amazon) == 2


def test_a_database_without_returning_reads_the_row_again(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.features, "can_return_columns_from_insert", False)

    assert token_of(connection) == token_of(connection)

    assert refreshes(amazon) == 1
    assert factories.grant_of(connection).refresh_lease_until is None


def test_what_a_neighbour_got_between_our_look_and_our_lease_is_found(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He had it all in that moment: the lease, the token, and the lease free again."""
    take_lease = credentials._take_lease
    got: list[str] = []

    def take_after_a_neighbour(grant: SpApiGrant) -> Any:
        if not got:
            got.append("")
            got.append(token_of(connection))
            token_cache._own.clear()
        return take_lease(grant)

    monkeypatch.setattr(credentials, "_take_lease", take_after_a_neighbour)

    assert token_of(connection) == got[1]
    assert refreshes(amazon) == 1
    assert factories.grant_of(connection).refresh_lease_until is None


def test_the_cache_is_not_asked_for_a_token_that_the_row_says_has_ended(
    amazon: RunningEmulator, connection: Connection
) -> None:
    token_of(connection)
    token_cache._own.clear()
    over = timezone.now() - token_cache.LONGEST_LIFE - timedelta(seconds=1)
    write(connection, last_refreshed_at=over)

    with patch.object(cache, "get", side_effect=AssertionError("the shared cache was asked")):
        token_of(connection)

    assert refreshes(amazon) == 2


def test_whoever_dies_between_the_cache_and_the_acceptance_loses_nothing(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """His token is good, although the row knows of none that young, and his lease is still there;
    also when that has ended."""
    grant, data_key = factories.grant_of(connection), connection.organization.data_key
    token_cache.remember(grant, Secret("Atza|of-a-dead-worker"), 3600, data_key)
    token_cache._own.clear()
    long_ago = timezone.now() - timedelta(hours=5)
    for lease in (timedelta(seconds=20), timedelta(seconds=-1)):
        write(connection, last_refreshed_at=long_ago, refresh_lease_until=timezone.now() + lease)

        assert token_of(connection) == "Atza|of-a-dead-worker"

    assert refreshes(amazon) == 0


@pytest.mark.parametrize("what", ["replaced", "ended", "fails"])
def test_an_acceptance_that_fails_leaves_no_token_in_the_cache(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    grant = factories.grant_of(connection)
    note_refresh = grants.note_refresh

    def note_late(late: SpApiGrant, **columns: Any) -> bool:
        monkeypatch.setattr(grants, "note_refresh", note_refresh)
        assert cache.get(token_cache.key_of(grant)) is not None
        if what == "fails":
            raise DatabaseError
        if what == "replaced":
            factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))
        else:
            with transaction.atomic():
                superseding.destroy(factories.grant_of(connection), actor=WORKER, reason="test")
        return note_refresh(late, **columns)

    monkeypatch.setattr(grants, "note_refresh", note_late)
    expected = {"replaced": None, "ended": GrantMissing, "fails": DatabaseError}[what]
    with pytest.raises(expected) if expected else nullcontext():
        credentials.live_token(connection)

    assert cache.get(token_cache.key_of(grant)) is None
    assert token_cache.key_of(grant) not in token_cache._own
    assert factories.grant_of(connection).refresh_lease_until is None
    assert refreshes(amazon) == (2 if what == "replaced" else 1)


def test_the_lease_of_a_dead_worker_ends_by_itself(
    amazon: RunningEmulator, connection: Connection
) -> None:
    write(connection, refresh_lease_until=timezone.now() - timedelta(seconds=1))

    token_of(connection)

    assert refreshes(amazon) == 1


def test_nobody_waits_for_ever(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LONGEST_WAIT_SECONDS", 0.2)
    write(connection, refresh_lease_until=timezone.now() + timedelta(seconds=20))

    with pytest.raises(AmazonUnavailable):
        token_of(connection)

    assert refreshes(amazon) == 0


def after_the_first_reply(patch: pytest.MonkeyPatch, happens: Callable[[str], None]) -> None:
    """Amazon has answered with this access token, and the one who asked is frozen for a moment."""
    refresh = lwa.refresh

    def refresh_and_freeze(**asked: Any) -> lwa.TokenReply:
        patch.setattr(lwa, "refresh", refresh)
        reply = refresh(**asked)
        happens(reply.access_token.reveal())
        return reply

    patch.setattr(lwa, "refresh", refresh_and_freeze)


def test_only_ones_own_lease_is_freed(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker comes back while another one, who took its lease over, is still at it."""
    monkeypatch.setattr(credentials, "LONGEST_WAIT_SECONDS", 0.2)
    others = timezone.now() + timedelta(seconds=25)
    after_the_first_reply(monkeypatch, lambda _token: write(connection, refresh_lease_until=others))

    with pytest.raises(HeldBack):
        token_of(connection)

    grant = factories.grant_of(connection)
    assert (grant.refresh_lease_until, grant.last_refreshed_at) == (others, None)
    assert cache.get(token_cache.key_of(grant)) is None
    assert refreshes(amazon) == 1


def test_who_lost_its_lease_to_a_clock_that_is_ahead_keeps_nothing(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9. By its own clock it was in time, so it cached its token over the neighbour's newer one:
    both are gone then, and Amazon is asked once more."""
    seen: list[str] = []

    def a_neighbour_refreshes(late: str) -> None:
        write(connection, refresh_lease_until=timezone.now() - timedelta(seconds=1))
        seen.extend([late, token_of(connection)])

    after_the_first_reply(monkeypatch, a_neighbour_refreshes)

    token = token_of(connection)

    assert token not in seen
    assert token_of(connection) == token
    assert refreshes(amazon) == 3
    assert factories.grant_of(connection).refresh_lease_until is None


def test_a_token_that_comes_after_its_lease_is_for_its_caller_alone(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LEASE", timedelta(seconds=-1))

    token = token_of(connection)

    grant = factories.grant_of(connection)
    assert token.startswith("Atza|")
    assert cache.get(token_cache.key_of(grant)) is None
    assert token_cache.key_of(grant) not in token_cache._own
    assert grant.refresh_lease_until is None
    assert grant.last_refreshed_at is not None
    assert refreshes(amazon) == 1


@pytest.mark.parametrize(
    ("scenario", "options"),
    [("server_error", {"surface": "lwa"}), ("wrong_secret", {}), ("revoked_grant", {})],
)
def test_every_failure_frees_the_lease(
    amazon: RunningEmulator, connection: Connection, scenario: str, options: dict[str, str]
) -> None:
    amazon.scenario(scenario, **options)

    with pytest.raises((AmazonUnavailable, ClientMisconfigured, GrantDoubted)):
        token_of(connection)

    assert factories.grant_of(connection).refresh_lease_until is None


# Refusals: three over a quarter of an hour (C1, C2) ----------------------------------------


def test_one_refusal_is_a_doubt_and_amazon_is_left_in_peace(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.world.revoke(NORTHSTAR)

    first = refused(connection)
    second = refused(connection)

    assert isinstance(first, GrantDoubted)
    assert isinstance(second, GrantDoubted)
    assert 110 < second.retry_after <= 120
    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals, grant.last_error_code) == (
        Grant.Status.DOUBTED,
        1,
        "invalid_grant",
    )
    assert refreshes(amazon) == 1


def test_three_refusals_over_a_quarter_of_an_hour_are_believed(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.world.revoke(NORTHSTAR)

    refused(connection)
    time_passes(connection, minutes=2)
    second = refused(connection)
    time_passes(connection, minutes=12, seconds=50)
    waiting = refused(connection)
    time_passes(connection, seconds=10)
    third = refused(connection)
    fourth = refused(connection)

    assert isinstance(second, GrantDoubted)
    assert second.retry_after == pytest.approx(13 * 60, abs=5)
    assert isinstance(waiting, GrantDoubted)
    assert [type(third), type(fourth)] == [GrantInvalid, GrantInvalid]
    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals) == (Grant.Status.INVALID, 3)
    assert refreshes(amazon) == 3


def test_impatient_operators_do_not_condemn_a_consent(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Three refusals within a minute are one opinion of Amazon's."""
    amazon.world.revoke(NORTHSTAR)

    for _ in range(4):
        assert isinstance(refused(connection, force=True), GrantDoubted)

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals) == (Grant.Status.DOUBTED, 4)
    time_passes(connection, minutes=15)
    assert isinstance(refused(connection), GrantInvalid)


def test_a_false_refusal_is_forgotten_after_a_success(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("false_invalid_grant", times=1)
    refused(connection)
    time_passes(connection, minutes=2)

    assert token_of(connection).startswith("Atza|")

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals, grant.first_refused_at, grant.last_error_code) == (
        Grant.Status.ACTIVE,
        0,
        None,
        "",
    )


def test_each_change_of_state_is_an_event_and_moves_the_screen(
    amazon: RunningEmulator, connection: Connection
) -> None:
    before = Connection._base_manager.get(pk=connection.pk).revision
    amazon.scenario("false_invalid_grant", times=1)

    refused(connection)
    time_passes(connection, minutes=2)
    token_of(connection)

    grant = factories.grant_of(connection)
    events = AuditEvent.objects.for_organization(connection.organization_id)
    steps = events.filter(subject_id=grant.pk).order_by("id").values_list("code", "details")
    assert list(steps)[-2:] == [
        ("spapi_grant_doubted", {"from": "active", "to": "doubted", "reason": "invalid_grant"}),
        ("spapi_grant_active", {"from": "doubted", "to": "active", "reason": "refresh_succeeded"}),
    ]
    assert Connection._base_manager.get(pk=connection.pk).revision == before + 2


def test_a_success_of_a_healthy_consent_does_not_move_the_screen(
    amazon: RunningEmulator, connection: Connection
) -> None:
    before = Connection._base_manager.get(pk=connection.pk).revision

    token_of(connection)

    assert Connection._base_manager.get(pk=connection.pk).revision == before


def test_an_operator_can_bring_an_invalid_consent_back(
    amazon: RunningEmulator, connection: Connection
) -> None:
    write(
        connection,
        status=Grant.Status.INVALID,
        refusals=3,
        first_refused_at=timezone.now() - timedelta(days=1),
    )

    assert token_of(connection, force=True).startswith("Atza|")
    assert factories.grant_of(connection).status == Grant.Status.ACTIVE


def test_a_cached_token_of_a_doubted_consent_is_still_used(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """An operator's refresh was refused once by mistake; nobody else should notice."""
    token = token_of(connection)
    amazon.scenario("false_invalid_grant", times=1)
    refused(connection, force=True)

    assert token_of(connection) == token


def test_the_cached_token_of_an_invalid_consent_is_not_used(
    amazon: RunningEmulator, connection: Connection
) -> None:
    token_of(connection)
    write(connection, status=Grant.Status.INVALID)

    assert isinstance(refused(connection), GrantInvalid)


# Rejected access tokens --------------------------------------------------------------------


def whoami(token: Secret) -> str:
    return token.reveal()


class Rejecting:
    """A Selling Partner API that rejects so many access tokens."""

    def __init__(self, times: float) -> None:
        self.times = times
        self.seen: list[str] = []

    def __call__(self, token: Secret) -> str:
        self.seen.append(token.reveal())
        if len(self.seen) <= self.times:
            raise AccessTokenRejected(operation="test")
        return token.reveal()


def test_a_rejected_access_token_is_replaced_once(
    amazon: RunningEmulator, connection: Connection
) -> None:
    cached = token_of(connection)
    call = Rejecting(times=1)

    answer = spapi_call(connection, call)

    assert call.seen == [cached, answer]
    assert answer == token_of(connection) != cached
    assert factories.grant_of(connection).status == Grant.Status.ACTIVE


def test_a_neighbours_new_token_is_not_thrown_away(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Many workers hold the token that is rejected: one refresh serves them all."""
    token_of(connection)
    newer = ""

    def call(token: Secret) -> str:
        nonlocal newer
        if not newer:
            newer = token_of(connection, force=True)
            raise AccessTokenRejected(operation="test")
        return token.reveal()

    assert spapi_call(connection, call) == newer
    assert refreshes(amazon) == 2


def test_a_consent_whose_tokens_are_always_rejected_is_doubted_and_then_believed(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Login with Amazon goes on refreshing what the API no longer accepts."""
    call = Rejecting(times=float("inf"))

    outcomes = []
    for minutes in (0, 2, 13):
        if minutes:
            time_passes(connection, minutes=minutes)
        with pytest.raises((GrantDoubted, GrantInvalid)) as caught:
            spapi_call(connection, call)
        outcomes.append((type(caught.value), factories.grant_of(connection).status))
        calls = len(call.seen)
        with pytest.raises((GrantDoubted, GrantInvalid)):
            spapi_call(connection, call)
        assert len(call.seen) == calls

    assert outcomes == [
        (GrantDoubted, Grant.Status.DOUBTED),
        (GrantDoubted, Grant.Status.DOUBTED),
        (GrantInvalid, Grant.Status.INVALID),
    ]
    assert factories.grant_of(connection).last_error_code == "access_token_rejected"


def test_a_call_that_succeeds_clears_the_doubt(
    amazon: RunningEmulator, connection: Connection
) -> None:
    with pytest.raises(GrantDoubted):
        spapi_call(connection, Rejecting(times=2))
    time_passes(connection, minutes=2)

    spapi_call(connection, whoami)

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals, grant.last_error_code) == (Grant.Status.ACTIVE, 0, "")


def test_other_failures_of_the_call_are_not_the_grants(
    amazon: RunningEmulator, connection: Connection
) -> None:
    def fail(token: Secret) -> None:
        raise AmazonUnavailable(operation="test")

    with pytest.raises(AmazonUnavailable):
        spapi_call(connection, fail)

    assert factories.grant_of(connection).status == Grant.Status.ACTIVE
    assert refreshes(amazon) == 1


def test_ads_calls_use_the_same_rules(amazon: RunningEmulator, ads_grant: AdsGrant) -> None:
    assert ads_call(ads_grant, whoami).startswith("Atza|")

    amazon.world.revoke(LOGIN)
    with pytest.raises(GrantDoubted):
        ads_call(ads_grant, Rejecting(times=1))

    ads_grant.refresh_from_db()
    assert ads_grant.status == Grant.Status.DOUBTED


# A newer consent wins (C3) -----------------------------------------------------------------


@pytest.mark.parametrize("comes_again", [False, True], ids=["another token", "the same token"])
def test_a_late_refusal_of_the_old_consent_does_not_touch_the_new_one(
    amazon: RunningEmulator, connection: Connection, comes_again: bool
) -> None:
    old, other = (amazon.world.authorize(NORTHSTAR, "NA") for _ in range(2))
    factories.consent(connection, refresh_token=old)
    late = factories.grant_of(connection)
    factories.consent(connection, refresh_token=old if comes_again else other)
    after = snapshot(connection)

    error = refusals.refused(late, "invalid_grant")

    assert isinstance(error, GrantDoubted)
    assert snapshot(connection) == after
    assert (after["status"], after["version"], after["refusals"]) == ("active", 3, 0)
    assert (after["fingerprint"] == late.fingerprint) == comes_again


def test_a_late_refusal_of_a_token_that_was_replaced_is_not_counted(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """C9: a neighbour got another refresh token of the same consent meanwhile."""
    late = factories.grant_of(connection)
    amazon.faults.add(
        surface="lwa",
        status=200,
        body=b'{"access_token":"Atza|x","refresh_token":"Atzr|x","token_type":"bearer"}',
    )
    token_of(connection)
    after = snapshot(connection)

    assert isinstance(refusals.refused(late, "invalid_grant"), GrantDoubted)

    assert snapshot(connection) == after
    assert (after["status"], after["version"], after["refusals"]) == ("active", 1, 0)


def test_a_late_success_of_the_old_consent_does_not_touch_the_new_one(
    amazon: RunningEmulator, connection: Connection
) -> None:
    late = factories.grant_of(connection)
    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))
    write(connection, status=Grant.Status.DOUBTED, refusals=1, first_refused_at=timezone.now())
    after = snapshot(connection)

    token = credentials._refresh(late, connection.organization.data_key, timezone.now())

    assert token is None
    assert snapshot(connection) == after


def test_a_new_consent_starts_with_a_clean_slate_and_no_old_token(
    amazon: RunningEmulator, connection: Connection
) -> None:
    old = token_of(connection)
    amazon.world.revoke(NORTHSTAR)
    expire_cached_token(connection)
    refused(connection)

    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals, grant.version) == (Grant.Status.ACTIVE, 0, 2)
    assert token_of(connection) not in ("", old)


# What a refresh may write ------------------------------------------------------------------


@pytest.mark.parametrize("blank", [None, "", "   "])
def test_a_blank_refresh_token_never_overwrites(
    amazon: RunningEmulator, connection: Connection, blank: str | None
) -> None:
    before = snapshot(connection)
    body = {"access_token": "Atza|new", "token_type": "bearer", "expires_in": 3600}
    if blank is not None:
        body["refresh_token"] = blank
    amazon.faults.add(surface="lwa", status=200, body=json.dumps(body).encode())

    token_of(connection)

    after = snapshot(connection)
    assert after["refresh_token"] == before["refresh_token"]
    assert after["fingerprint"] == before["fingerprint"]


def test_a_rotated_refresh_token_is_kept_and_used(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Amazon does not rotate today; losing a rotated token would lose the seller (C7)."""
    rotated = amazon.world.authorize(NORTHSTAR, "NA")
    body = {"access_token": "Atza|one", "refresh_token": rotated, "token_type": "bearer"}
    amazon.faults.add(
        surface="lwa", status=200, body=json.dumps(body | {"expires_in": 3600}).encode(), times=1
    )
    token_of(connection)
    grant = factories.grant_of(connection)
    amazon.world.revoke(NORTHSTAR)
    last = amazon.world.authorize(NORTHSTAR, "NA")

    assert grant.fingerprint == crypto.fingerprint(Secret(rotated))
    assert grant.version == 1
    assert last not in grant.refresh_token
    expire_cached_token(connection)
    refused(connection)
    sent = amazon.ledger.calls(surface="lwa")[-1].token_sha256
    assert sent.startswith(grant.fingerprint)


def test_an_answer_without_a_token_is_an_outage(
    amazon: RunningEmulator, connection: Connection
) -> None:
    before = snapshot(connection)
    amazon.faults.add(surface="lwa", status=200, body=b"{}")

    with pytest.raises(AmazonUnavailable):
        token_of(connection)

    assert snapshot(connection) == before


def test_a_wrong_client_secret_changes_no_grant(
    amazon: RunningEmulator, ads_grant: AdsGrant
) -> None:
    """C4: our own fault, whatever the number of sellers."""
    rows = [connected(amazon, NORTHSTAR) for _ in range(5)]
    before = [snapshot(row) for row in rows]
    amazon.scenario("wrong_secret")
    amazon.scenario("wrong_secret", application="ads")

    for row in rows:
        for force in (False, True):
            with pytest.raises(ClientMisconfigured):
                token_of(row, force=force)
    with pytest.raises(ClientMisconfigured):
        access_token(ads_grant)

    assert [snapshot(row) for row in rows] == before
    ads_grant.refresh_from_db()
    assert ads_grant.status == Grant.Status.ACTIVE


# The vault is locked (C12, C13) ------------------------------------------------------------


def swapped_in_one_organization(amazon: RunningEmulator, one: Connection) -> None:
    other = connected(amazon, BLUE_HARBOR, one.organization)
    write(one, refresh_token=snapshot(other)["refresh_token"])


def swapped_between_organizations(amazon: RunningEmulator, one: Connection) -> None:
    other = connected(amazon, BLUE_HARBOR)
    write(one, refresh_token=snapshot(other)["refresh_token"])


def with_another_organizations_key(one: Connection, settings: Settings) -> None:
    other = factories.make_organization()
    Organization.objects.filter(pk=one.organization_id).update(data_key=other.data_key)


def damaged(amazon: RunningEmulator, one: Connection) -> None:
    text = snapshot(one)["refresh_token"]
    write(one, refresh_token=text[:-4] + ("AAAA" if text[-4:] != "AAAA" else "BBBB"))


def cut(amazon: RunningEmulator, one: Connection) -> None:
    write(one, refresh_token=snapshot(one)["refresh_token"][:-10])


def in_the_clear(amazon: RunningEmulator, one: Connection) -> None:
    write(one, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))


def without_a_data_key(one: Connection, settings: Settings) -> None:
    Organization.objects.filter(pk=one.organization_id).update(data_key="")


@pytest.mark.parametrize(
    "tamper",
    [
        swapped_in_one_organization,
        swapped_between_organizations,
        damaged,
        cut,
        in_the_clear,
    ],
)
def test_a_consent_the_vault_does_not_open_is_never_used(
    amazon: RunningEmulator,
    connection: Connection,
    tamper: Callable[[RunningEmulator, Connection], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tamper(amazon, connection)
    before = snapshot(connection)

    with caplog.at_level(logging.ERROR), pytest.raises(GrantUnreadable) as refusal:
        token_of(connection)

    assert refreshes(amazon) == 0
    locked = snapshot(connection)
    assert locked["refresh_token"] == before["refresh_token"]
    assert (locked["status"], locked["last_error_code"]) == (Grant.Status.INVALID, "vault_locked")
    assert before["refresh_token"] not in str(refusal.value)
    assert [record.getMessage() for record in caplog.records] == ["grant_unreadable"]
    alert = AuditEvent.objects.for_organization(connection.organization).get(code="vault_locked")
    assert (alert.subject_id, alert.connection_id) == (locked["id"], connection.pk)
    assert before["refresh_token"] not in str(alert.details)
    decided = verdict(refusal.value, Job())
    assert (decided.reason, decided.waits) == ("vault_locked", False)


def without_the_key(one: Connection, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"other": b"o" * 32}


def with_another_key_under_its_id(one: Connection, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"tests": b"o" * 32}


def with_a_damaged_data_key(one: Connection, settings: Settings) -> None:
    text = one.organization.data_key
    Organization.objects.filter(pk=one.organization_id).update(data_key=text[:-9] + "A" * 9)


def with_a_cut_data_key(one: Connection, settings: Settings) -> None:
    Organization.objects.filter(pk=one.organization_id).update(data_key="v1.tests.AAAA")


@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        without_the_key,
        with_another_key_under_its_id,
        with_another_organizations_key,
        with_a_damaged_data_key,
        with_a_cut_data_key,
        without_a_data_key,
    ],
)
def test_a_fault_of_our_own_keys_changes_no_sellers_row(
    amazon: RunningEmulator,
    connection: Connection,
    settings: Settings,
    spoil: Callable[[Connection, Settings], None],
    is_forced: bool,
) -> None:
    before = snapshot(connection)
    spoil(connection, settings)

    with pytest.raises(VaultKeyMissing) as refusal:
        token_of(connection, force=is_forced)

    decided = verdict(refusal.value, Job())
    assert (decided.reason, decided.waits) == ("vault_key_missing", True)
    assert snapshot(connection) == before | {"refresh_lease_until": None}
    assert refreshes(amazon) == 0
    assert not AuditEvent._base_manager.filter(code="vault_locked").exists()


def test_whole_rows_swapped_between_organizations_lock_both(amazon: RunningEmulator) -> None:
    """C12: every column of the consent, and the row's own organization with it."""
    one, other = connected(amazon, NORTHSTAR), connected(amazon, BLUE_HARBOR)
    token_of(one)
    columns = ("refresh_token", "fingerprint", "authorized_at", "version", "last_refreshed_at")
    mine, theirs = snapshot(one), snapshot(other)
    write(one, **{name: theirs[name] for name in columns})
    write(other, **{name: mine[name] for name in columns})
    known = amazon.ledger.last_number

    for row in (one, other):
        with pytest.raises(GrantUnreadable):
            token_of(row, force=True)
        with pytest.raises(GrantUnreadable):
            token_of(row)

    assert len(amazon.ledger.calls(since=known)) == 0
    alerts = AuditEvent._base_manager.filter(code="vault_locked")
    assert {alert.organization_id for alert in alerts} == {
        one.organization_id,
        other.organization_id,
    }


def test_a_lock_opens_when_the_text_is_right_again(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """An operator put back what was moved, and re-syncs."""
    right = snapshot(connection)["refresh_token"]
    damaged(amazon, connection)
    with pytest.raises(GrantUnreadable):
        token_of(connection)
    write(connection, refresh_token=right)

    token_of(connection, force=True)

    now = snapshot(connection)
    assert (now["status"], now["last_error_code"]) == (Grant.Status.ACTIVE, "")


def test_each_opening_of_a_refresh_token_is_counted_by_purpose_and_day(
    amazon: RunningEmulator, connection: Connection
) -> None:
    for _ in range(3):
        token_of(connection, force=True)
    token_of(connection)

    uses = VaultUse.objects.for_organization(connection.organization)
    assert list(uses.values_list("purpose", "day", "count")) == [
        ("refresh", timezone.now().date(), 3)
    ]


# The end of a consent (C22) ----------------------------------------------------------------


def test_without_a_consent_there_is_nothing_to_call_with(amazon: RunningEmulator) -> None:
    waiting = factories.make_waiting_connection(factories.make_organization())

    with pytest.raises(GrantMissing):
        spapi_call(waiting, whoami)


def test_a_destroyed_consent_is_overwritten_and_unusable(
    amazon: RunningEmulator, connection: Connection
) -> None:
    token_of(connection)
    grant = factories.grant_of(connection)
    key = f"access-token:{grant.pk}:{grant.version}"
    amazon.ledger.clear()

    with transaction.atomic():
        superseding.destroy(
            grant, actor=Actor.person(factories.owner_of(connection.organization)), reason="undone"
        )

    after = snapshot(connection)
    assert (after["refresh_token"], after["status"], after["version"]) == ("", "disconnected", 2)
    for force in (False, True):
        with pytest.raises(GrantMissing):
            token_of(connection, force=force)
    assert len(amazon.ledger) == 0
    # Even a cache that forgot to forget does not help: the version moved.
    assert key != f"access-token:{grant.pk}:{after['version']}"


@pytest.mark.django_db(transaction=True)
def test_undoing_a_connection_leaves_no_token_anywhere(amazon: RunningEmulator) -> None:
    row = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
        confirmed=False,
    )
    token_of(row)
    grant = factories.grant_of(row)

    services.undo_connection(
        connection=row, actor=Actor.person(factories.owner_of(row.organization))
    )

    assert not SpApiGrant._base_manager.filter(pk=grant.pk).exists()
    assert cache.get(f"access-token:{grant.pk}:{grant.version}") is None
    events = AuditEvent.objects.for_organization(row.organization_id)
    assert events.filter(code="spapi_grant_disconnected", subject_id=grant.pk).count() == 1


def test_the_database_holds_no_active_consent_without_a_token(
    connection: Connection,
) -> None:
    for columns in (
        {"refresh_token": ""},
        {"status": Grant.Status.DISCONNECTED},
        {"status": "nonsense"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            write(connection, **columns)
