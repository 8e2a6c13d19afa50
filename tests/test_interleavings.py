"""T6: pairs that meet at a barrier, stepped through every order of their parts on PostgreSQL.

Each order begins with rows of its own and must end in a state that one after the other could have
left as well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from connections import authorization, credentials, flows, rotation, services, storing
from connections.models import Connection, SpApiGrant
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from sellerlegend import crypto
from sellerlegend.amazon import lwa
from sellerlegend.crypto import Purpose
from sellerlegend.jobs import claims, ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.interleaving import orders, orders_of_twins, play, seam

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(240),
]

NEWER = (
    b'{"access_token":"Atza|newer","refresh_token":"Atzr|newer","expires_in":3600,'
    b'"token_type":"bearer"}'
)


def connect(amazon: RunningEmulator) -> Connection:
    seller = new_seller(amazon)
    return factories.make_connection(
        factories.make_organization(),
        seller=seller,
        refresh_token=amazon.world.authorize(seller, "NA"),
        confirmed=False,
    )


def new_seller(amazon: RunningEmulator) -> str:
    seller = f"A{uuid.uuid4().hex[:12].upper()}"
    amazon.world.add_seller(seller, marketplaces=["US"])
    return seller


def count(code: str, organization_id: uuid.UUID) -> int:
    return AuditEvent._base_manager.filter(code=code, organization=organization_id).count()


def stored_token(row: Connection) -> str:
    grant = factories.grant_of(row)
    key = Organization.objects.values_list("data_key", flat=True).get(pk=row.organization_id)
    text, place = grant.refresh_token, grant.place()
    return crypto.unseal(text, place, data_key=key, purpose=Purpose.REFRESH).reveal()


def test_two_workers_that_claim_one_job(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between look and claim, and between claim and work."""
    seam(monkeypatch, claims, "_take")
    seam(monkeypatch, marketplace_services, "fetch_participations")
    for order in orders_of_twins(3):
        row = connect(amazon)
        job = marketplace_services.begin_reading(connection=row)

        answers = play(order, lambda: ledger.run(job.pk), lambda: ledger.run(job.pk))

        job.refresh_from_db()
        assert sorted(answers) == [False, True], order
        assert (job.status, job.attempts, job.fence) == ("done", 1, 1), order
        assert amazon.ledger.count(surface="sellers", seller=row.selling_partner_id) == 1, order
        assert count("participations_read", row.organization_id) == 1, order


def test_a_worker_and_the_one_who_took_its_job_over(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5: the lease runs out at whatever point the first one stands; the second one works."""
    seam(monkeypatch, marketplace_services, "fetch_participations")
    seam(monkeypatch, marketplace_services, "fetch_participations", after=True)
    past = timezone.now() - timedelta(seconds=1)

    def take_over(job: Job) -> bool:
        Job._base_manager.filter(pk=job.pk, status="running").update(lease_expires_at=past)
        ledger.recover_lost()
        return ledger.run(job.pk)

    for order in orders_of_twins(3):
        row = connect(amazon)
        job = marketplace_services.begin_reading(connection=row)

        play(order, lambda: ledger.run(job.pk), lambda: take_over(job))
        ledger.drain("interactive")

        job.refresh_from_db()
        assert job.status == "done", order
        assert count("participations_read", row.organization_id) == 1, order


def test_a_refresh_and_a_reconnect(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3, C9: Amazon answers the refresh of the old consent with a newer token of it. Whatever the
    order, that never takes the place of the new consent."""
    seam(monkeypatch, lwa, "refresh")
    seam(monkeypatch, lwa, "refresh", after=True)
    seam(monkeypatch, storing, "_next_grant", after=True)
    for order in orders(3, 2):
        row = connect(amazon)
        fresh = amazon.world.authorize(str(row.selling_partner_id), "NA")
        known = amazon.ledger.last_number
        amazon.faults.clear()
        amazon.faults.add(surface="lwa", status=200, body=NEWER, times=1)

        _, stored = play(
            order,
            lambda: credentials.access_token(factories.grant_of(row)),
            lambda: factories.consent(row, refresh_token=fresh),
        )

        assert isinstance(stored, Connection), order
        first = amazon.ledger.calls(surface="lwa", since=known)[0]
        refreshed_the_new_one = first.token_sha256 == hashlib.sha256(fresh.encode()).hexdigest()
        grant = factories.grant_of(row)
        assert (grant.status, grant.version, grant.refusals) == ("active", 2, 0), order
        assert stored_token(row) == ("Atzr|newer" if refreshed_the_new_one else fresh), order


def test_a_refresh_beyond_its_lease_and_the_one_that_took_it_over(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: A asks, its lease ends, B asks; then A writes before B or behind it. Whatever the order,
    B's access token is the one that stays; of refresh tokens B's, else A's, else the one that both
    asked with."""
    seam(monkeypatch, lwa, "refresh", after=True)
    lease = credentials.LEASE
    for order, rotating in itertools.product(("ABAB", "ABBA"), ("", "A", "B", "AB")):
        row = connect(amazon)
        known = amazon.ledger.last_number
        rotated = rotate_answers(amazon, row, rotating)
        kept = rotated.get("B") or rotated.get("A") or stored_token(row)
        monkeypatch.setattr(credentials, "LEASE", timedelta(seconds=-1))

        early, late = play(
            order, lambda: token_of(row), lambda: take_over(amazon, row, monkeypatch, known, lease)
        )

        case = f"{order}, another token for {rotating or 'nobody'}"
        assert late == token_of(row), case
        assert early == late or ("A" in rotating and early == "Atza|A"), case
        assert stored_token(row) == kept, case
        asked = amazon.ledger.calls(surface="lwa", since=known)
        # When only A's answer had another token, B may have to ask with that.
        assert len(asked) == 2 or (rotating, len(asked)) == ("A", 3), case
        grant = factories.grant_of(row)
        assert (grant.status, grant.version, grant.refusals) == ("active", 1, 0), case
        assert grant.refresh_lease_until is None, case


def rotate_answers(amazon: RunningEmulator, row: Connection, who: str) -> dict[str, str]:
    """The first call is A's, the second B's; the others are answered as Amazon does."""
    amazon.faults.clear()
    rotated = {name: amazon.world.authorize(str(row.selling_partner_id), "NA") for name in who}
    for name, token in rotated.items():
        fields = {"access_token": f"Atza|{name}", "refresh_token": token, "token_type": "bearer"}
        body = json.dumps(fields | {"expires_in": 3600}).encode()
        skip = 1 if who == "B" else 0
        amazon.faults.add(surface="lwa", status=200, body=body, times=1, skip=skip)
    return rotated


def token_of(row: Connection) -> str:
    return credentials.access_token(factories.grant_of(row)).reveal()


def take_over(
    amazon: RunningEmulator,
    row: Connection,
    patch: pytest.MonkeyPatch,
    known: int,
    lease: timedelta,
) -> str:
    """Once the other one has asked under a lease that is over, refresh with one that is not."""
    amazon.ledger.wait_for(1, surface="lwa", since=known)
    patch.setattr(credentials, "LEASE", lease)
    return token_of(row)


def test_a_worker_that_writes_and_a_person_who_undoes_the_connection(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G4: before the write, or inside its transaction; no row appears later."""
    seam(monkeypatch, marketplace_services, "fetch_participations", after=True)
    seam(monkeypatch, marketplace_services, "record_participations", after=True)
    seam(monkeypatch, services, "cancel_work", after=True)
    for order in orders(3, 2):
        row = connect(amazon)
        organization = row.organization_id
        job = marketplace_services.begin_reading(connection=row)
        actor = Actor.person(factories.owner_of(row.organization))

        _, undone = play(
            order,
            lambda: ledger.run(job.pk),
            lambda: services.undo_connection(connection=row, actor=actor),
        )
        ledger.drain("interactive")

        assert undone is None, order
        assert not Connection.objects.for_organization(organization).exists(), order
        assert not MarketplaceAccount.objects.for_organization(organization).exists(), order
        assert not SpApiGrant.objects.for_organization(organization).exists(), order
        live = Job.objects.for_organization(organization).filter(status__in=Job.LIVE)
        assert not live.exists(), order


def test_a_refresh_and_a_rotation_of_the_data_key(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G7: the newer token that a refresh brings is never put back by the rotation, and whatever
    is stored opens afterwards."""
    seam(monkeypatch, lwa, "refresh")
    seam(monkeypatch, lwa, "refresh", after=True)
    seam(monkeypatch, crypto, "add_data_key", after=True)
    seam(monkeypatch, rotation, "_finish_renewal")
    for order in orders(3, 3):
        row = connect(amazon)
        before = stored_token(row)
        amazon.faults.clear()
        amazon.faults.add(surface="lwa", status=200, body=NEWER, times=1)

        token, rotated = play(
            order,
            lambda: credentials.access_token(factories.grant_of(row)).reveal(),
            lambda: rotation.rotate(row.organization_id, renew_since=timezone.now()),
        )

        assert not isinstance(rotated, Exception), order
        # A refresh that was overtaken tried once more, with the token it found.
        assert str(token).startswith("Atza|"), order
        allowed = {"Atzr|newer"} if token == "Atza|newer" else {before, "Atzr|newer"}
        assert stored_token(row) in allowed, order
        assert factories.grant_of(row).status == "active", order


def test_one_callback_in_two_tabs(amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A20: between identify and consume, and between consume and exchange."""
    seam(monkeypatch, authorization, "consume")
    seam(monkeypatch, flows, "_try_exchange")
    for order in orders_of_twins(3):
        organization, seller = factories.make_organization(), new_seller(amazon)
        browser = trips.sign_in(factories.owner_of(organization))
        row = factories.make_waiting_connection(organization)
        callback = trips.confirm(trips.leave(browser, row), seller)

        answers = play(order, lambda: opened(browser, callback), lambda: opened(browser, callback))

        assert answers == (303, 303), order
        assert amazon.ledger.count(surface="lwa", seller=seller) == 1, order
        assert callback.trip.outcome == "connected", order
        assert count("spapi_grant_stored", organization.pk) == 1, order


def opened(browser: Client, callback: trips.Callback) -> int:
    """The status that another tab of this browser sees."""
    tab = Client()
    tab.cookies = browser.cookies
    return tab.get(str(callback)).status_code
