"""The many rows of the demo: what they share outlives a *Check now*."""

from __future__ import annotations

import json

import pytest
import requests
from django.urls import reverse

from connections import health
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.queue_models import ReconnectItem
from marketplaces import verification as proofs
from ppc import checking
from ppc.models import AdsProfile, PpcLink
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import ledger
from sellerlegend.organizations.models import Organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR
from tests.demo.seed_many import LOGINS, seed_many

pytestmark = pytest.mark.django_db
ROWS = 60
STORES, BREAK_AFTER = 40, 12


def test_a_check_of_what_many_rows_share_succeeds(amazon: RunningEmulator) -> None:
    organization = factories.make_organization("Agency")
    factories.make_member(organization)

    assert seed_many(organization.pk, ROWS, amazon.url) == ROWS
    for grant in AdsGrant.objects.for_organization(organization):
        ledger.run_here(
            ledger.enqueue(checking.CHECK, organization=organization.pk, subject_id=grant.pk)
        )

    grants = AdsGrant.objects.for_organization(organization)
    states = list(grants.values_list("status", "last_error_code", "refusals"))
    assert states == [("active", "", 0)] * LOGINS
    assert not AdsProfile.objects.for_organization(organization).filter(is_listed=False).exists()
    links = PpcLink.objects.for_organization(organization)
    assert links.count() > ROWS
    assert set(links.values_list("status", flat=True)) == {"linked"}
    assert Connection.objects.for_organization(organization).count() == ROWS


def test_a_check_ends_no_consent_and_revives_none(amazon: RunningEmulator) -> None:
    """Also not after a start that keeps the data, which is not filled again."""
    organization = factories.make_organization("Agency")
    factories.make_member(organization)
    seed_many(organization.pk, ROWS, amazon.url)
    before = spapi_states(organization)
    assert {"connected", "revoked", "disconnected", "expired", "doubted"} <= set(before.values())
    amazon.world.load(json.loads(json.dumps(amazon.world.as_dict())))

    assert seed_many(organization.pk, ROWS, amazon.url) == 0
    for row in Connection.objects.for_organization(organization).exclude(selling_partner_id=None):
        ledger.run_here(proofs.begin_check(row))

    after = spapi_states(organization)
    lasting = {"connected", "expiring", "expired", "revoked", "disconnected", "waiting"}
    lost = {name: after[name] for name, state in before.items() if state in lasting}
    assert lost == {name: state for name, state in before.items() if state in lasting}
    assert not [name for name in after if before[name] == "doubted" and after[name] == "revoked"]
    assert AdsGrant.objects.for_organization(organization).count() == LOGINS


def spapi_states(organization: Organization) -> dict[str, str]:
    state = health.health_of(
        LwaApplication.SPAPI, health.moments(), prefix="spapi_grant__", region="region"
    )
    rows = Connection.objects.for_organization(organization)
    return dict(rows.annotate(state=state).values_list("name", "state"))


def test_what_amazon_lets_in_is_proved_within_a_day(amazon: RunningEmulator) -> None:
    organization = factories.make_organization("Agency")
    factories.make_member(organization)
    seed_many(organization.pk, ROWS, amazon.url)

    grants = SpApiGrant.objects.for_organization(organization)
    well = grants.filter(last_failure_at=None)
    assert well.count() > ROWS / 2
    assert {(grant.verify_due_at - grant.verified_at).days for grant in well} == {0}


def test_sellers_of_the_visitor_are_still_let_in(amazon: RunningEmulator) -> None:
    """The application is not listed, so Amazon counts its sellers."""
    organization = factories.make_organization("Agency")
    factories.make_member(organization)
    seed_many(organization.pk, ROWS, amazon.url)

    row = factories.make_waiting_connection(organization)
    browser = trips.sign_in(factories.owner_of(organization))
    back = trips.confirm(trips.leave(browser, row), BLUE_HARBOR)
    assert trips.come_back(browser, back) == "connected"


def test_forty_stores_are_reconnected_with_a_break_after_twelve(amazon: RunningEmulator) -> None:
    organization = factories.make_organization("Agency")
    person = factories.make_member(organization)
    seed_many(organization.pk, ROWS, amazon.url)
    add, open_next = (
        reverse(name, args=[organization.slug])
        for name in ("reconnect_queue_add", "reconnect_queue_open")
    )
    browser = trips.sign_in(person)
    able = browser.get(add, {"all": "1"}).context["able"]
    assert len(able) >= STORES
    browser.post(add, {"row": [str(one.id) for one in able[:STORES]]})
    items = ReconnectItem.objects.for_organization(organization).order_by("position")

    for number, item in enumerate(items.select_related("connection"), start=1):
        if number == BREAK_AFTER + 1:
            browser = trips.sign_in(person)
        consent_url = browser.post(open_next, {"item": str(item.pk)}).headers["Location"]
        shown = requests.get(consent_url, timeout=10).text
        assert f'value="{item.connection.selling_partner_id}"' in shown
        back = trips.confirm(consent_url, item.connection.selling_partner_id or "")
        assert trips.come_back(browser, back) == "reconnected", (number, item.connection.name)

    assert items.filter(status=ReconnectItem.Status.RECONNECTED).count() == STORES
