"""G4: a disconnect at every point of onboarding, linking, reading and reconnecting.

Whatever the order, it ends as one after the other would have: nothing is left working, no job is
left, no row comes late, and the newer fact wins.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from connections import credentials, flows, services
from connections.models import AdsGrant, Connection, Grant
from connections.verdicts import GrantMissing
from marketplaces import onboarding, pausing
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting
from ppc import services as ppc_services
from ppc.disconnecting import Side
from ppc.models import AdsProfile, PpcLink
from sellerlegend.amazon import lwa
from sellerlegend.jobs import claims, ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import US, owner_of
from tests.interleaving import orders, play, seam

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(240),
]

BOTH = frozenset(Side)


def connect(amazon: RunningEmulator) -> Connection:
    seller = f"A{uuid.uuid4().hex[:12].upper()}"
    amazon.world.add_seller(seller, marketplaces=["US"])
    return factories.make_connection(
        factories.make_organization(),
        seller=seller,
        refresh_token=amazon.world.authorize(seller, "NA"),
    )


def actor_of(row: Connection) -> Actor:
    return Actor.person(owner_of(row.organization))


def disconnect(row: Connection) -> frozenset[Side]:
    return disconnecting.disconnect(connection=row, sides=BOTH, actor=actor_of(row))


def reading(row: Connection) -> Job:
    return marketplace_services.begin_reading(connection=row)


def onboarding_of(row: Connection) -> Job:
    account = factories.make_account(row, US)
    onboarding.begin_onboarding(connection=row, account_ids=[account.pk], actor=actor_of(row))
    return Job._base_manager.get(subject_id=account.pk)


def linking(row: Connection) -> Job:
    account = factories.make_account(row, US, onboarding="onboarded")
    factories.make_profile(
        factories.make_ads_grant(row.organization), seller=row.selling_partner_id or ""
    )
    (link,) = ppc_services.begin_linking(
        connection=row, account_ids=[account.pk], actor=actor_of(row)
    )
    return Job._base_manager.get(subject_id=link.pk)


def drain() -> None:
    for queue in ("interactive", "background"):
        ledger.drain(queue)


def nothing_half_done(row: Connection) -> dict[str, Any]:
    organization = row.organization_id
    accounts = MarketplaceAccount.objects.for_organization(organization)
    links = PpcLink.objects.for_organization(organization)
    return {
        "live jobs": Job.objects.for_organization(organization).filter(status__in=Job.LIVE).count(),
        "working": accounts.filter(onboarding="working").count()
        + links.filter(status="working").count(),
        "linked": links.filter(status="linked").count(),
        "tokens": factories.grant_of(row).refresh_token
        + "".join(
            AdsGrant.objects.for_organization(organization).values_list("refresh_token", flat=True)
        ),
        "leases": factories.grant_of(row).refresh_lease_until,
    }


CLEAN = {"live jobs": 0, "working": 0, "linked": 0, "tokens": "", "leases": None}


@pytest.mark.parametrize("begin", [reading, onboarding_of, linking])
def test_a_disconnect_at_each_step_of_a_worker(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch, begin: Callable[[Connection], Job]
) -> None:
    """Before the claim, before Amazon is asked, and before the answer is written."""
    seam(monkeypatch, claims, "_take")
    if begin is linking:
        seam(monkeypatch, ppc_services, "_read_all")
        seam(monkeypatch, ppc_services, "_read_all", after=True)
    else:
        seam(monkeypatch, marketplace_services, "fetch_participations")
        seam(monkeypatch, marketplace_services, "fetch_participations", after=True)
    for order in orders(4, 1):
        row = connect(amazon)
        job = begin(row)

        _, ended = play(order, partial(ledger.run, job.pk), partial(disconnect, row))
        after = _rows_of(row)
        drain()

        assert isinstance(ended, frozenset), (order, ended)
        assert Side.SPAPI in ended, order
        assert nothing_half_done(row) == CLEAN, order
        assert factories.grant_of(row).status == Grant.Status.DISCONNECTED, order
        assert _rows_of(row) == after, order


def _rows_of(row: Connection) -> tuple[int, int]:
    return (
        MarketplaceAccount.objects.for_organization(row.organization_id).count(),
        AdsProfile.objects.for_organization(row.organization_id).count(),
    )


def test_a_pause_at_each_step_of_an_onboarding(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seam(monkeypatch, claims, "_take")
    seam(monkeypatch, marketplace_services, "fetch_participations")
    seam(monkeypatch, marketplace_services, "fetch_participations", after=True)
    for order in orders(4, 1):
        row = connect(amazon)
        job = onboarding_of(row)
        pause = partial(
            pausing.pause, connection=row, account_id=job.subject_id, actor=actor_of(row)
        )

        play(order, partial(ledger.run, job.pk), pause)
        drain()

        account = MarketplaceAccount.objects.for_organization(row.organization_id).get()
        assert account.onboarding == "paused", order
        assert not Job._base_manager.filter(subject_id=account.pk, status__in=Job.LIVE).exists()


def test_a_refresh_and_a_disconnect(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that a refresh brings after the disconnect is neither kept nor handed out."""
    seam(monkeypatch, lwa, "refresh")
    seam(monkeypatch, lwa, "refresh", after=True)
    for order in orders(3, 1):
        row = connect(amazon)

        play(order, partial(credentials.live_token, row), partial(disconnect, row))

        assert nothing_half_done(row) == CLEAN, order
        with pytest.raises(GrantMissing):
            credentials.live_token(row)


def test_a_disconnect_and_the_callback_of_a_trip_from_before_it(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer fact wins: stored before the disconnect, the consent ends with it; after it, the
    consent is not kept."""
    seam(monkeypatch, lwa, "exchange_code")
    seam(monkeypatch, flows, "_store_spapi")
    for order in orders(3, 1):
        row = connect(amazon)
        client = trips.sign_in(owner_of(row.organization))
        back = trips.confirm(trips.leave(client, row), row.selling_partner_id or "")

        outcome, _ = play(order, partial(trips.come_back, client, back), partial(disconnect, row))
        drain()

        assert outcome in {"reconnected", "disconnected_meanwhile"}, (order, outcome)
        assert nothing_half_done(row) == CLEAN, order
        assert factories.grant_of(row).status == Grant.Status.DISCONNECTED, order


def test_an_ads_callback_and_a_disconnect_of_another_row_of_its_consent(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the consent was ended on another row that it fed."""
    seam(monkeypatch, lwa, "exchange_code")
    seam(monkeypatch, flows, "_store_ads")
    for order in orders(3, 1):
        row = connect(amazon)
        other = factories.make_connection(row.organization, seller=f"B{uuid.uuid4().hex[:12]}")
        consent = factories.make_ads_grant(row.organization)
        factories.put_to_use(consent, row)
        factories.put_to_use(consent, other)
        account = factories.make_account(row, factories.CANADA, onboarding="onboarded")
        client = trips.sign_in(owner_of(row.organization))
        leads_to = trips.leave_for_ads(client, row, [account.pk], new_consent="1")
        back = trips.allow(leads_to, "ads@northstar.example")

        outcome, _ = play(order, partial(trips.come_back, client, back), partial(disconnect, other))
        drain()

        grants = AdsGrant.objects.for_organization(row.organization)
        expected = {"disconnected_meanwhile": 1, "ads_connected": 2}[str(outcome)]
        assert grants.count() == expected, order
        consent.refresh_from_db()
        assert (consent.status, consent.refresh_token) == ("disconnected", ""), order
        # A consent that was stored first had shown nothing when the other one was ended.
        is_late = order.index("B") < 3
        assert (outcome == "disconnected_meanwhile") is is_late, order


def test_a_trip_that_begins_after_the_disconnect_connects_again(amazon: RunningEmulator) -> None:
    row = connect(amazon)
    disconnect(row)
    client = trips.sign_in(owner_of(row.organization))
    back = trips.confirm(trips.leave(client, row), row.selling_partner_id or "")
    assert trips.come_back(client, back) == "reconnected"
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    assert services.count_sellers() == 1
