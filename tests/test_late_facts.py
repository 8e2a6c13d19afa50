"""What arrives late says nothing of what is newer: an old consent's success, failure or refusal
against a reconnect, a job against a disconnect, through every order of their parts (C3, G4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from connections import credentials, observations, refusals, storing
from connections.models import Connection, SpApiGrant
from connections.verdicts import GrantDoubted
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting
from ppc.disconnecting import Side, disconnect
from sellerlegend.amazon.errors import AccessDenied, AmazonUnavailable, Denial, GrantInvalid
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import consent, grant_of
from tests.interleaving import orders, play, seam

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(240),
]

LONG_AGO = timedelta(hours=40)
FACTS = (
    "status",
    "version",
    "refusals",
    "last_error_code",
    "last_failure_at",
    "last_failure_code",
    "throttled_since",
    "permission_missing_since",
    "verified_at",
    "verify_due_at",
)
FRESH = ("active", 2, 0, "", None, "", None, None, None, None)

Note = Callable[[SpApiGrant], object]
NOTES: dict[str, Note] = {
    "a success": observations.note_success,
    "an outage": lambda old: observations.note_failure(old, AmazonUnavailable()),
    "a 429": lambda old: observations.note_failure(old, AmazonUnavailable(throttled=True)),
    "a missing role": lambda old: observations.note_failure(
        old, AccessDenied(detail=Denial.MISSING_ROLE)
    ),
    "a refusal": lambda old: refusals.refused(old, refusals.REFUSED),
    "an end of refusals": lambda old: refusals.trust_again(old, "call_succeeded"),
}


def connect(amazon: RunningEmulator, **facts: Any) -> Connection:
    seller = f"A{uuid.uuid4().hex[:12].upper()}"
    amazon.world.add_seller(seller, marketplaces=["US"])
    row = factories.make_connection(
        factories.make_organization(),
        seller=seller,
        refresh_token=amazon.world.authorize(seller, "NA"),
    )
    if facts:
        SpApiGrant.objects.for_organization(row.organization_id).update(**facts)
    return row


def in_trouble() -> dict[str, Any]:
    """A consent of which everything bad is known, and one more refusal would end it."""
    long_ago = timezone.now() - LONG_AGO
    return {
        "status": "doubted",
        "refusals": 3,
        "first_refused_at": long_ago,
        "last_refused_at": long_ago,
        "last_error_code": refusals.REFUSED,
        "last_success_at": long_ago,
        "last_failure_at": long_ago,
        "last_failure_code": "amazon_throttled",
        "throttled_since": long_ago,
        "permission_missing_since": long_ago,
        "verified_at": long_ago,
        "verify_due_at": long_ago,
    }


@pytest.mark.parametrize("name", NOTES)
def test_what_an_old_consent_met_and_a_reconnect(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Between the call and its note, inside the note, and on either side of the new consent."""
    seam(monkeypatch, observations, "current")
    seam(monkeypatch, refusals, "_current")
    seam(monkeypatch, storing, "_next_grant")
    for order in orders(2, 2):
        row = connect(amazon, **in_trouble())
        old = grant_of(row)

        def reconnect(row: Connection = row) -> object:
            consent(row, refresh_token="Atzr|newer")
            return grant_of(row).last_success_at

        noted, since = play(order, partial(NOTES[name], old), reconnect)

        grant = grant_of(row)
        assert noted is None or isinstance(noted, Exception), order
        assert tuple(getattr(grant, fact) for fact in FACTS) == FRESH, order
        assert grant.last_success_at == since, order


def test_a_call_that_was_on_its_way_when_the_seller_reconnected(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole calls: the old token is refused, the new one is good. Never the other way round."""
    seam(monkeypatch, credentials, "_ask_lwa", after=False)
    seam(monkeypatch, refusals, "refused")
    seam(monkeypatch, storing, "_next_grant")
    for order in orders(3, 2):
        row = connect(amazon, **in_trouble())
        amazon.world.revoke(str(row.selling_partner_id))
        fresh = amazon.world.authorize(str(row.selling_partner_id), "NA")

        called, _ = play(
            order,
            partial(credentials.spapi_call, row, lambda _token: "answer"),
            partial(consent, row, refresh_token=fresh),
        )

        grant = grant_of(row)
        assert (grant.status, grant.version, grant.refusals) == ("active", 2, 0), order
        assert called == "answer" or isinstance(called, GrantInvalid | GrantDoubted)
        assert credentials.spapi_call(row, lambda _token: "again") == "again", order


@pytest.mark.parametrize("trouble", [None, "outage", "throttled"])
def test_a_job_and_a_disconnect(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch, trouble: str | None
) -> None:
    """The call is answered, its note is on its way, its rows are: nothing is written any more
    after the disconnect, and nothing of it comes back."""
    seam(monkeypatch, observations, "current")
    seam(monkeypatch, marketplace_services, "fetch_participations", after=True)
    seam(monkeypatch, disconnecting, "_end_trips")
    for order in orders(3, 2):
        amazon.faults.clear()
        if trouble:
            amazon.scenario(trouble, surface="sellers")
        row = connect(amazon, last_success_at=timezone.now() - LONG_AGO)
        organization = row.organization_id
        job = marketplace_services.begin_reading(connection=row)
        actor = Actor.person(factories.owner_of(row.organization))

        _, ended = play(
            order,
            partial(ledger.run, job.pk),
            partial(disconnect, connection=row, sides=frozenset(Side), actor=actor),
        )
        gone = grant_of(row)
        facts = {name: getattr(gone, name) for name in (*FACTS, "last_success_at")}
        ledger.drain("interactive")

        assert ended == {Side.SPAPI}, order
        assert (gone.status, gone.refresh_token) == ("disconnected", ""), order
        assert {name: getattr(grant_of(row), name) for name in facts} == facts, order
        live = Job.objects.for_organization(organization).filter(status__in=Job.LIVE)
        assert not live.exists(), order
        codes = list(
            AuditEvent._base_manager.filter(organization=organization)
            .order_by("pk")
            .values_list("code", flat=True)
        )
        after = codes[codes.index("connection_disconnected") :]
        assert "participations_read" not in after, order
        known = MarketplaceAccount.objects.for_organization(organization).exists()
        assert known is ("participations_read" in codes), order
