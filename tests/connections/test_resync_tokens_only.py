"""`resync_tokens --tokens-only`: many consents at once, each ends as it would alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from connections import bulk_refresh, credentials, token_cache
from connections.management.commands import resync_tokens
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from sellerlegend import crypto
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs.models import Breaker, Job
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Organization, VaultUse
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR, NORTHSTAR_LOGIN, SAKURA
from tests.operators import Run, run_command
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, reply

pytestmark = pytest.mark.django_db
MOMENTS = (
    "last_refreshed_at",
    "last_refused_at",
    "first_refused_at",
    "refusals_counted_from",
    "status_changed_at",
    "last_success_at",
    "last_failure_at",
)
OWN = ("id", "connection_id", "refresh_token", "fingerprint", "authorized_at", "verify_due_at")


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def rows(amazon: RunningEmulator, organization: Organization) -> list[Connection]:
    other = factories.make_organization("Other")
    made = [
        connected(amazon, organization, NORTHSTAR, factories.US, "NA"),
        connected(amazon, organization, BLUE_HARBOR, factories.US, "NA"),
        connected(amazon, other, SAKURA, factories.JAPAN, "FE"),
    ]
    amazon.ledger.clear()
    return sorted(made, key=lambda row: row.pk)


def connected(
    amazon: RunningEmulator, organization: Organization, seller: str, marketplace: str, region: str
) -> Connection:
    return factories.make_connection(
        organization,
        seller=seller,
        marketplace_id=marketplace,
        refresh_token=amazon.world.authorize(seller, region),  # type: ignore[arg-type]  # NA or FE
    )


def grant_of(seller: str) -> SpApiGrant:
    return SpApiGrant._base_manager.get(connection__selling_partner_id=seller)


def tokens_only(*options: object) -> Run:
    return run_command("resync_tokens", "--tokens-only", "--json", *options)


def endings(run: Run) -> dict[str, tuple[str, str]]:
    return {line["seller_id"]: (line["outcome"], line["reason"]) for line in run.objects}


def columns(grant: Grant) -> dict[str, Any]:
    grant.refresh_from_db()
    found = {f.attname: getattr(grant, f.attname) for f in grant._meta.concrete_fields}
    return {
        name: value is not None if name in MOMENTS else value
        for name, value in found.items()
        if name not in OWN
    }


def events_of(grant: Grant) -> list[tuple[str, Any]]:
    """Since its consent came, which names a fingerprint of its own."""
    events = AuditEvent._base_manager.filter(subject_id=grant.pk).order_by("id")
    events = events.exclude(code="spapi_grant_stored")
    return [(event.code, event.details) for event in events]


def calls(amazon: RunningEmulator, surface: str) -> int:
    return sum(call.surface == surface for call in amazon.ledger.calls())


def test_every_consent_of_both_kinds_is_refreshed_and_nothing_is_read(
    amazon: RunningEmulator, organization: Organization, rows: list[Connection]
) -> None:
    ads = factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )
    amazon.ledger.clear()
    jobs = Job._base_manager.count()

    run = tokens_only()

    assert run.code == 0
    assert [line["id"] for line in run.objects] == [str(row.pk) for row in rows]
    assert {line["outcome"] for line in run.objects} == {"done"}
    assert (calls(amazon, "lwa"), calls(amazon, "sellers"), calls(amazon, "ads")) == (4, 0, 0)
    assert Job._base_manager.count() == jobs
    for grant in [*SpApiGrant._base_manager.all(), AdsGrant._base_manager.get(pk=ads.pk)]:
        assert grant.last_refreshed_at is not None
        assert grant.refresh_lease_until is None
    counted = VaultUse._base_manager.filter(purpose="refresh")
    assert sorted(counted.values_list("count", flat=True)) == [1, 3]
    # Whoever needs a token now finds it.
    amazon.ledger.clear()
    for row in rows:
        credentials.prove(row)
    assert calls(amazon, "lwa") == 0


@pytest.mark.parametrize("case", ["accepted", "revoked", "down", "secret", "invalid", "damaged"])
def test_a_consent_ends_as_it_would_alone(
    amazon: RunningEmulator, rows: list[Connection], case: str
) -> None:
    alone, many = grant_of(NORTHSTAR), grant_of(BLUE_HARBOR)
    both = SpApiGrant._base_manager.filter(pk__in=[alone.pk, many.pk])
    if case == "revoked":
        amazon.world.revoke(NORTHSTAR)
        amazon.world.revoke(BLUE_HARBOR)
    elif case == "down":
        amazon.scenario("throttled")
    elif case == "invalid":
        both.update(status="invalid", last_error_code="invalid_grant", refusals=3)
    elif case == "damaged":
        both.update(refresh_token="v1.damaged")
    elif case == "secret":
        both.update(client_id="another-client")
    alone.refresh_from_db()

    with suppress(AmazonError):  # what it leaves behind is compared
        credentials.access_token(alone, force=True)
    tokens_only("--seller-id", BLUE_HARBOR)

    assert columns(many) == columns(alone)
    assert events_of(many) == events_of(alone)


def test_a_newer_consent_that_comes_meanwhile_wins(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    grant = grant_of(SAKURA)
    with bulk_refresh.submitting(1) as submit:
        batch = bulk_refresh.begin(SpApiGrant, [grant.pk], submit)
        newer = credentials.seal_refresh_token(
            grant, Secret(amazon.world.authorize(SAKURA, "FE")), batch.data_keys[grant.owner_id()]
        )
        SpApiGrant._base_manager.filter(pk=grant.pk).update(version=grant.version + 1, **newer)
        SpApiGrant._base_manager.filter(pk=grant.pk).update(refresh_lease_until=None)
        amazon.ledger.clear()
        results = bulk_refresh.finish(batch, submit)

    assert results == {grant.pk: None}
    # Of the old one's answer nothing is left, not even where nobody looks for it.
    assert cache.get(token_cache.key_of(grant)) is None
    grant.refresh_from_db()
    assert (grant.version, grant.fingerprint) == (2, newer["fingerprint"])
    assert grant.refresh_lease_until is None
    # The newer one was proved by itself.
    assert calls(amazon, "lwa") == 1


def test_a_run_that_comes_back_after_its_leases_caches_nothing(
    amazon: RunningEmulator, rows: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: a neighbour's newer token may be there by then."""
    monkeypatch.setattr(credentials, "LEASE", timedelta(seconds=-1))
    grant = grant_of(SAKURA)

    with bulk_refresh.submitting(1) as submit:
        batch = bulk_refresh.begin(SpApiGrant, [grant.pk], submit)
        results = bulk_refresh.finish(batch, submit)

    assert results == {grant.pk: None}
    assert cache.get(token_cache.key_of(grant)) is None
    assert calls(amazon, "lwa") == 1
    grant.refresh_from_db()
    assert grant.last_refreshed_at is not None
    assert grant.refresh_lease_until is None


def test_two_runs_at_once_ask_for_each_consent_once(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    ids = [grant.pk for grant in SpApiGrant._base_manager.all()]
    with bulk_refresh.submitting(1) as submit:
        first = bulk_refresh.begin(SpApiGrant, ids, submit)
        second = bulk_refresh.finish(bulk_refresh.begin(SpApiGrant, ids, submit), submit)
        results = bulk_refresh.finish(first, submit)

    assert results == dict.fromkeys(ids)
    assert {type(error) for error in second.values()} == {bulk_refresh.NeighbourAtIt}
    assert calls(amazon, "lwa") == len(ids)


def test_a_killed_run_leaves_leases_of_seconds_and_loses_nothing(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    before = dict(SpApiGrant._base_manager.values_list("pk", "refresh_token"))
    with bulk_refresh.submitting(1) as submit:
        bulk_refresh.begin(SpApiGrant, list(before), submit)

    latest = timezone.now() + timedelta(seconds=30)
    leases = SpApiGrant._base_manager.values_list("refresh_lease_until", flat=True)
    assert all(lease is not None and lease <= latest for lease in leases)
    assert dict(SpApiGrant._base_manager.values_list("pk", "refresh_token")) == before
    assert {line["reason"] for line in tokens_only().objects} == {"refresh_under_way"}
    SpApiGrant._base_manager.update(refresh_lease_until=timezone.now() - timedelta(seconds=1))
    assert tokens_only().code == 0


def test_a_refused_consent_waits_for_its_next_check_alone(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    amazon.world.revoke(BLUE_HARBOR)

    run = tokens_only()

    assert run.code == 3
    assert endings(run) == {
        NORTHSTAR: ("done", ""),
        SAKURA: ("done", ""),
        BLUE_HARBOR: ("waiting", "grant_doubted"),
    }
    assert calls(amazon, "lwa") == 3
    assert grant_of(BLUE_HARBOR).status == Grant.Status.DOUBTED


def test_no_secret_is_printed(amazon: RunningEmulator, rows: list[Connection]) -> None:
    amazon.world.revoke(BLUE_HARBOR)
    stored = list(SpApiGrant._base_manager.values_list("refresh_token", flat=True))

    run = run_command("resync_tokens", "--tokens-only", "--verbosity=3", is_terminal=True)

    printed = run.out + run.err
    assert [secret for secret in [*amazon.issued_secrets(), *stored] if secret in printed] == []


def test_another_refresh_token_in_an_answer_is_kept(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    """Amazon does not rotate today; losing a rotated token would lose the seller (C7)."""
    rotated = amazon.world.authorize(SAKURA, "FE")
    fields = {"access_token": "Atza|one", "refresh_token": rotated, "token_type": "bearer"}
    body = json.dumps(fields | {"expires_in": 3600}).encode()
    amazon.faults.add(surface="lwa", status=200, body=body, times=1)
    before = grant_of(SAKURA)

    run = tokens_only("--seller-id", SAKURA)

    grant = grant_of(SAKURA)
    assert endings(run) == {SAKURA: ("done", "")}
    assert calls(amazon, "lwa") == 1
    assert grant.fingerprint == crypto.fingerprint(Secret(rotated)) != before.fingerprint
    assert (grant.version, grant.refresh_lease_until) == (before.version, None)
    assert grant.last_refreshed_at is not None
    [row] = [row for row in rows if row.selling_partner_id == SAKURA]
    assert credentials.live_token(row) == Secret("Atza|one")


@pytest.mark.parametrize(
    ("trouble", "asked", "words"),
    [("breaker", 0, "amazon_unavailable"), ("wrong_secret", 1, "client_misconfigured")],
)
def test_what_every_further_one_would_meet_stops_the_run(
    amazon: RunningEmulator, rows: list[Connection], trouble: str, asked: int, words: str
) -> None:
    before = [columns(grant) for grant in SpApiGrant._base_manager.order_by("pk")]
    if trouble == "breaker":
        now = timezone.now()
        later = now + timedelta(seconds=30)
        Breaker.objects.create(name="lwa", window_started_at=now, open_until=later)
    else:
        amazon.scenario(trouble)

    run = tokens_only()

    assert (run.code, run.objects) == (3, [])
    assert f"Stopped: {words}." in run.err
    assert run.err.endswith("Stopped before the end.")
    # One answer is enough: our own client's breaker holds the others back.
    assert calls(amazon, "lwa") == asked
    assert [columns(grant) for grant in SpApiGrant._base_manager.order_by("pk")] == before


def test_a_signal_ends_it_behind_what_runs_and_after_resumes_there(
    amazon: RunningEmulator, rows: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync_tokens, "ROWS_OF_A_BATCH", 1)
    monkeypatch.setattr(resync_tokens, "BATCHES_AT_ONCE", 1)
    ask = credentials.ask

    def ask_while_told_to_stop(*told: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return ask(*told)

    with monkeypatch.context() as patch:
        patch.setattr(credentials, "ask", ask_while_told_to_stop)
        run = tokens_only()
    rest = tokens_only("--after", rows[0].pk)

    assert run.code == 3
    assert [(line["id"], line["outcome"]) for line in run.objects] == [(str(rows[0].pk), "done")]
    assert run.err.endswith(f"Stopped before the end. Continue with --after {rows[0].pk}.")
    assert rest.code == 0
    assert [line["id"] for line in rest.objects] == [str(row.pk) for row in rows[1:]]
    assert calls(amazon, "lwa") == len(rows)
    assert not SpApiGrant._base_manager.exclude(refresh_lease_until=None).exists()


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_sixty_four_at_once_are_so_many_at_amazon(
    organization: Organization, settings: Settings
) -> None:
    """Nobody is answered before the last of them has asked."""
    together = 40
    for number in range(together):
        seller = f"ATOGETHER{number:04d}"
        factories.make_connection(organization, seller=seller, refresh_token=f"Atzr|{number}")
    all_asked = threading.Barrier(together)

    def answer(connection: socket.socket) -> None:
        all_asked.wait(timeout=60)
        fields = {"access_token": "Atza|x", "token_type": "bearer", "expires_in": 3600}
        reply(200, fields)(connection)

    with ScriptedServer() as server:
        server.answer = answer
        settings.AMAZON_ENDPOINTS = Endpoints.emulator(server.url)
        run = tokens_only("--concurrency", 64)

    assert (run.code, len(run.objects)) == (0, together)
    assert not all_asked.broken


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_threads_refresh_each_consent_once(amazon: RunningEmulator, rows: list[Connection]) -> None:
    run = tokens_only("--concurrency", 4)

    assert run.code == 0
    assert [line["id"] for line in run.objects] == [str(row.pk) for row in rows]
    assert calls(amazon, "lwa") == 3


def test_quarantine_stops_it_in_words_and_asks_nobody(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    quarantine.begin(actor=COMMAND, reason="a drill")

    run = tokens_only()

    assert run.objects == []
    assert calls(amazon, "lwa") == 0
    assert "In quarantine: ordered. Nothing was done." in run.err
    quarantine.release(actor=COMMAND, ended_again=0)
