"""Disconnecting, deleting and erasing (C22, G4, G5, G12): gone is gone, and nothing else is."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.credentials import access_token, ads_call
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.verdicts import GrantMissing
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting, erasure, farewell
from ppc.disconnecting import Side
from ppc.models import AdsProfile, PpcLink
from sellerlegend import crypto
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import US, owner_of
from tests.nothing_changed import nothing_changes
from tests.operators import run_command
from tests.signing_in import signed_in_freshly, signed_in_long_ago

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
BOTH = frozenset(Side)

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    """Connected, one marketplace onboarded and linked."""
    connection = factories.make_connection(
        factories.make_organization("Northstar Trading"),
        name="Northstar",
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    account = factories.make_account(connection, US, onboarding="onboarded")
    grant = factories.make_ads_grant(connection.organization)
    factories.make_link(account, factories.make_profile(grant, seller=NORTHSTAR))
    return connection


def ads_grant_of(connection: Connection) -> AdsGrant:
    grant: AdsGrant = AdsGrant.objects.for_organization(connection.organization_id).get()
    return grant


def end(connection: Connection, sides: frozenset[Side] = BOTH) -> frozenset[Side]:
    actor = Actor.person(owner_of(connection.organization))
    return disconnecting.disconnect(connection=connection, sides=sides, actor=actor)


def page_of(connection: Connection, name: str = "connection_disconnect") -> str:
    return reverse(name, args=[connection.organization.slug, connection.pk])


def everything_stored() -> str:
    """Every column of every row of the database, as text."""
    tables = database.introspection.table_names()
    found = []
    with database.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [str(values) for values in cursor.fetchall()]
    return "\n".join(found)


# Disconnecting -----------------------------------------------------------------------------


def test_both_tokens_are_destroyed_in_the_same_moment(
    amazon: RunningEmulator, row: Connection
) -> None:
    """C22: no ciphertext is left, and what a worker had cached opens nothing."""
    grant, ads = factories.grant_of(row), ads_grant_of(row)
    access_token(grant)
    texts = [grant.refresh_token, ads.refresh_token]
    known = amazon.ledger.last_number

    assert end(row) == BOTH

    grant.refresh_from_db()
    assert (grant.status, grant.refresh_token, grant.version) == ("disconnected", "", 2)
    stored = everything_stored()
    assert [text for text in texts if text in stored] == []
    with pytest.raises(GrantMissing):
        access_token(grant)
    with pytest.raises(GrantMissing):
        ads_call(ads_grant_of(row), lambda token: None)
    assert len(amazon.ledger.calls(since=known)) == 0
    link = PpcLink.objects.for_organization(row.organization_id).get()
    assert link.status == PpcLink.Status.UNLINKED
    event = AuditEvent._base_manager.get(code="connection_disconnected")
    assert (event.connection_id, event.details["sides"]) == (row.pk, ["ppc", "spapi"])
    assert [
        (consent["side"], consent["fingerprint"], consent["marketplaces"])
        for consent in event.details["destroyed"]
    ] == [("ppc", ads.fingerprint, 1), ("spapi", grant.fingerprint, 1)]


def test_one_side_leaves_the_other_alone(row: Connection) -> None:
    assert end(row, frozenset({Side.SPAPI})) == {Side.SPAPI}
    assert ads_grant_of(row).status == Grant.Status.ACTIVE
    assert PpcLink.objects.for_organization(row.organization_id).get().status == "linked"

    assert end(row) == {Side.PPC}
    assert ads_grant_of(row).status == Grant.Status.DISCONNECTED
    assert end(row) == frozenset()


def test_the_page_names_every_row_the_ads_consent_feeds(row: Connection) -> None:
    other = factories.make_connection(row.organization, name="Blue Harbor", seller=BLUE_HARBOR)
    profile = factories.make_profile(ads_grant_of(row), seller=BLUE_HARBOR)
    linked = factories.make_link(
        factories.make_account(other, US),
        profile,
        status="needs_attention",
        attention_reason="ads_view_only",
    )
    client = signed_in_freshly(owner_of(row.organization))

    page = client.get(page_of(row)).content.decode()
    assert "PPC ends for:" in page
    assert "Blue Harbor (NA): 1 marketplace" in page
    assert "Northstar (NA): 1 marketplace" in page

    answer = client.post(page_of(row), {"side": ["ppc"]}, follow=True)
    linked.refresh_from_db()
    assert linked.status == PpcLink.Status.UNLINKED
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    # Nobody is told to end the consent that lives on.
    assert "under Login with Amazon" in answer.content.decode()
    assert "Manage Your Apps" not in answer.content.decode()
    proof = client.get(page_of(row, "disconnect_proof")).content.decode()
    assert "Login with Amazon" in proof
    assert "Manage Your Apps" not in proof
    story = client.get(page_of(row, "connection_timeline")).content.decode()
    assert page_of(row, "disconnect_proof") in story


def test_nothing_ticked_is_a_mistake_and_an_old_sign_in_is_asked_again(
    amazon: RunningEmulator, row: Connection
) -> None:
    owner = owner_of(row.organization)
    fresh, old = signed_in_freshly(owner), signed_in_long_ago(owner)
    with nothing_changes(amazon, events=()):
        assert fresh.post(page_of(row)).status_code == 422
        asked = old.post(page_of(row), {"side": ["spapi", "ppc"]})

    assert asked.status_code == 302
    assert "reauthenticate" in asked.headers["Location"]


def test_the_row_says_disconnected_and_offers_to_reconnect(row: Connection) -> None:
    end(row)
    client = trips.sign_in(owner_of(row.organization))

    page = client.get(reverse("account_connections", args=[row.organization.slug]))

    text = page.content.decode()
    assert "Disconnected" in text
    assert page_of(row, "connection_authorize") in text
    assert page_of(row, "connection_remove") in text
    assert page_of(row) not in text
    assert "Consent ends" not in text


def trip_events() -> list[tuple[str, str, dict[str, str]]]:
    found = AuditEvent._base_manager.filter(code="authorization_request_expired")
    return [(event.actor_kind, str(event.actor_id), event.details) for event in found]


def test_the_end_of_a_trip_is_a_step_with_an_event(row: Connection) -> None:
    """By whoever disconnected; the other side's trip and another row's go on."""
    owner = owner_of(row.organization)
    client = trips.sign_in(owner)
    other = factories.make_connection(row.organization, name="Other", seller=BLUE_HARBOR)
    account = factories.make_account(row, factories.CANADA, onboarding="onboarded")
    trips.leave(client, row)
    trips.leave_for_ads(client, row, [account.pk], another="1")
    trips.leave(client, other)

    end(row, frozenset({Side.SPAPI}))

    told = [("person", str(owner.pk), {"from": "open", "to": "expired", "reason": "disconnected"})]
    assert trip_events() == told
    statuses = AuthorizationRequest._base_manager.order_by("created_at").values_list(
        "kind", "status", "outcome"
    )
    assert list(statuses) == [
        ("spapi", "expired", "disconnected_meanwhile"),
        ("ads", "open", ""),
        ("spapi", "open", ""),
    ]

    erasure.delete_organization(organization=row.organization, actor=Actor.person(owner))

    reasons = [details["reason"] for _, _, details in trip_events()]
    assert sorted(reasons) == ["disconnected", "organization_deleted", "organization_deleted"]
    left = set(AuthorizationRequest._base_manager.values_list("status", "code_verifier"))
    assert left == {("expired", "")}


def test_a_trip_from_before_does_not_connect_again(
    amazon: RunningEmulator, row: Connection
) -> None:
    member = factories.make_member(row.organization, Role.MEMBER)
    client = trips.sign_in(member)
    callback = trips.confirm(trips.leave(client, row), NORTHSTAR)
    end(row)
    known = amazon.ledger.last_number

    assert trips.come_back(client, callback) == "disconnected_meanwhile"
    assert len(amazon.ledger.calls(since=known)) == 0
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED


def test_a_trip_to_amazon_ads_of_any_row_that_the_consent_fed_ends(
    amazon: RunningEmulator, row: Connection
) -> None:
    """PPC is ended on one row; a trip is under way for another one, and for one it never saw."""
    consent = ads_grant_of(row)
    linked = factories.make_connection(row.organization, name="Linked", seller=BLUE_HARBOR)
    factories.put_to_use(consent, linked)
    seen = factories.make_connection(row.organization, name="Seen", seller="A4ALPINEGEAR04")
    factories.make_profile(consent, seller="A4ALPINEGEAR04")
    apart = factories.make_connection(row.organization, name="Apart", seller="A3VENDOR000003")
    client = trips.sign_in(factories.make_member(row.organization, Role.MEMBER))
    back = {}
    for other in (linked, seen, apart):
        account = factories.make_account(other, factories.CANADA, onboarding="onboarded")
        leads_to = trips.leave_for_ads(client, other, [account.pk], new_consent="1")
        back[other.name] = trips.allow(leads_to, "ads@northstar.example")

    end(row, frozenset({Side.PPC}))

    event = AuditEvent._base_manager.get(code="connection_disconnected")
    assert event.details["fed"] == sorted(str(each.pk) for each in (row, linked, seen))
    known = amazon.ledger.last_number
    with nothing_changes(amazon, events=()):
        for name in ("Linked", "Seen"):
            assert trips.come_back(client, back[name]) == "disconnected_meanwhile"
    assert len(amazon.ledger.calls(since=known)) == 0
    assert ads_grant_of(row).status == Grant.Status.DISCONNECTED
    assert trips.come_back(client, back["Apart"]) == "ads_connected"


def test_a_trip_of_a_row_that_another_consent_feeds_goes_on(
    amazon: RunningEmulator, row: Connection
) -> None:
    """The ended one only saw its seller."""
    seen = factories.make_connection(row.organization, name="Seen", seller=BLUE_HARBOR)
    factories.put_to_use(factories.make_ads_grant(row.organization), seen)
    first = PpcLink.objects.for_organization(row.organization_id).get(account__connection=row)
    assert first.profile is not None
    factories.make_profile(first.profile.grant, seller=BLUE_HARBOR)
    client = trips.sign_in(factories.make_member(row.organization, Role.MEMBER))
    account = factories.make_account(seen, factories.CANADA, onboarding="onboarded")
    leads_to = trips.leave_for_ads(client, seen, [account.pk], new_consent="1")
    back = trips.allow(leads_to, "ads@northstar.example")

    end(row, frozenset({Side.PPC}))

    event = AuditEvent._base_manager.get(code="connection_disconnected")
    assert event.details["fed"] == [str(row.pk)]
    assert trips.come_back(client, back) == "ads_connected"


@pytest.mark.django_db(transaction=True)
def test_a_disconnect_during_onboarding_leaves_nothing_behind(
    amazon: RunningEmulator, row: Connection
) -> None:
    """G4: the worker hangs in its call to Amazon, and comes back too late."""
    account = factories.make_account(row, factories.CANADA)
    actor = Actor.person(owner_of(row.organization))
    onboarding.begin_onboarding(connection=row, account_ids=[account.pk], actor=actor)
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)
    before = accounts.count()
    amazon.faults.add(surface="sellers", delay=2.0)
    job = Job.objects.for_organization(row.organization_id).get(subject_id=account.pk)

    def work() -> None:
        ledger.run(job.pk)
        database.close()

    worker = threading.Thread(target=work)
    worker.start()
    deadline = time.monotonic() + 15
    while not amazon.ledger.count(surface="lwa", operation="refresh_token"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end(row, frozenset({Side.SPAPI}))
    worker.join(30)

    account.refresh_from_db()
    row.refresh_from_db()
    job.refresh_from_db()
    assert (account.onboarding, row.participations_read_at) == ("pending", None)
    assert (job.status, job.last_error_code) == ("dead", "cancelled")
    assert accounts.count() == before
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED
    known = amazon.ledger.last_number
    ledger.sweep()
    assert ledger.drain("interactive") == 0
    assert len(amazon.ledger.calls(since=known)) == 0


def test_a_reconnect_finds_its_history(amazon: RunningEmulator, row: Connection) -> None:
    """G12."""
    end(row)
    client = trips.sign_in(owner_of(row.organization))

    outcome = trips.come_back(client, trips.confirm(trips.leave(client, row), NORTHSTAR))

    assert outcome == "reconnected"
    rows = Connection.objects.for_organization(row.organization_id)
    assert [found.pk for found in rows] == [row.pk]
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    kept = MarketplaceAccount.objects.for_organization(row.organization_id).get()
    assert kept.onboarding == "onboarded"
    assert access_token(factories.grant_of(row))


def test_only_an_administrator_removes_a_disconnected_row(
    amazon: RunningEmulator, row: Connection
) -> None:
    path = page_of(row, "connection_remove")
    admin = signed_in_freshly(factories.make_member(row.organization, Role.ADMIN))
    member = trips.sign_in(factories.make_member(row.organization, Role.MEMBER))
    admin.post(path)  # still connected: stays
    end(row)
    with nothing_changes(amazon, events=()):
        refused = member.post(path)
    assert (
        "can no longer be removed here" in member.get(refused.headers["Location"]).content.decode()
    )
    assert "can restore it under Removed connections" in admin.get(path).content.decode()

    assert admin.post(path).status_code == 303

    assert not Connection.objects.for_organization(row.organization_id).exists()
    assert Connection.with_removed.for_organization(row.organization_id).get().removed_at


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_history_is_not_removed_by_a_session_that_was_left_open(
    amazon: RunningEmulator, row: Connection, method: str
) -> None:
    end(row)
    stale = signed_in_long_ago(factories.make_member(row.organization, Role.ADMIN))

    with nothing_changes(amazon, events=()):
        asked = stale.generic(method, page_of(row, "connection_remove"))

    assert asked.status_code == 302
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))


# Deleting an organization ------------------------------------------------------------------


def delete(client: Client, organization: Organization, name: str) -> Any:
    return client.post(reverse("organization_delete", args=[organization.slug]), {"name": name})


def test_only_the_owner_with_a_fresh_sign_in_and_the_typed_name(
    amazon: RunningEmulator, row: Connection
) -> None:
    organization = row.organization
    owner = owner_of(organization)
    admin = signed_in_freshly(factories.make_member(organization, Role.ADMIN))
    fresh, old = signed_in_freshly(owner), signed_in_long_ago(owner)
    with nothing_changes(amazon, events=()):
        assert delete(admin, organization, organization.name).status_code == 403
        assert delete(fresh, organization, "Northstar").status_code == 422
        asked = delete(old, organization, organization.name)

    assert "reauthenticate" in asked.headers["Location"]


def test_deleting_ends_tokens_keys_work_and_access_at_once(
    amazon: RunningEmulator, row: Connection
) -> None:
    """G5, C22: a backup of the tokens opens no more, and nobody is let in."""
    organization = row.organization
    backup = factories.grant_of(row)
    member = trips.sign_in(factories.make_member(organization, Role.MEMBER))
    page = reverse("account_connections", args=[organization.slug])
    assert member.get(page).status_code == 200
    marketplace_services.begin_reading(connection=row)
    client = signed_in_freshly(owner_of(organization))
    known = amazon.ledger.last_number

    assert delete(client, organization, "Northstar Trading").status_code == 302

    assert member.get(page).status_code == client.get(page).status_code == 404
    gone = Organization.objects.get(pk=organization.pk)
    assert gone.data_key == ""
    assert None not in (gone.deleted_at, gone.data_key_destroyed_at)
    with pytest.raises(crypto.Undecryptable):
        crypto.unseal(
            backup.refresh_token,
            backup.place(),
            data_key=gone.data_key,
            purpose=crypto.Purpose.REFRESH,
        )
    for model in (SpApiGrant, AdsGrant):
        for grant in model.objects.for_organization(organization):
            assert (grant.status, grant.refresh_token) == ("disconnected", "")
    assert not Membership.objects.for_organization(organization).exists()
    ledger.sweep()
    # Nothing but the receipt.
    assert (ledger.drain("interactive"), ledger.drain("background")) == (0, 1)
    assert not Job._base_manager.exclude(kind=farewell.RECEIPT).filter(status="done").exists()
    assert len(amazon.ledger.calls(since=known)) == 0


def test_a_deleted_organization_cannot_keep_its_key() -> None:
    organization = factories.make_organization()

    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.filter(pk=organization.pk).update(deleted_at=timezone.now())


def test_prune_erases_a_deleted_organization_and_leaves_a_receipt(row: Connection) -> None:
    organization, owner = row.organization, owner_of(row.organization)
    kept = factories.make_connection(factories.make_organization("Somebody else"))
    profile = AdsProfile.objects.for_organization(organization).get()
    erasure.delete_organization(organization=organization, actor=Actor.person(owner))

    run = run_command("prune", "--yes")

    assert "prune deleted_organizations rows=1 done (1 rows)" in run.lines
    stored = everything_stored()
    for personal in (NORTHSTAR, "Northstar", organization.slug, profile.profile_id):
        assert personal not in stored
    assert "Somebody else" in stored
    assert Connection.objects.for_organization(kept.organization_id).get() == kept
    for label in ("jobs", "connections", "marketplaces", "ppc"):
        for model in apps.get_app_config(label).get_models():
            path = getattr(model, "organization_path", "")
            assert not path or not model._base_manager.filter(**{path: organization}).exists()
    receipt = AuditEvent._base_manager.get(code="erased")
    assert receipt.details["removed"]["connection"] == 1
    assert receipt.organization_id == organization.pk
    again = {line["id"]: line["rows"] for line in run_command("prune", "--yes", "--json").objects}
    assert again["deleted_organizations"] == 0


def test_a_seller_id_can_still_be_looked_for_by_its_hash(row: Connection) -> None:
    erasure.pseudonymize(Q(organization=row.organization))
    hashes = [event.details.get("name") for event in AuditEvent._base_manager.all()]

    assert erasure.keyed_hash("Northstar") in hashes
    assert erasure.keyed_hash(erasure.keyed_hash("Northstar")) == erasure.keyed_hash("Northstar")


def test_prune_erases_what_was_disconnected_thirty_days_ago(row: Connection) -> None:
    """DPP 1.7: within 30 days, on both sides; a younger disconnect keeps its history."""
    young = factories.make_connection(row.organization, name="Young")
    end(row)
    end(young, frozenset({Side.SPAPI}))
    long_ago = timezone.now() - timedelta(days=30)
    SpApiGrant._base_manager.filter(connection=row).update(status_changed_at=long_ago)
    AdsGrant._base_manager.update(status_changed_at=long_ago)

    run_command("prune", "--yes")

    rows = Connection.objects.for_organization(row.organization_id)
    assert [found.name for found in rows] == ["Young"]
    assert not AdsGrant.objects.for_organization(row.organization_id).exists()
    stored = everything_stored()
    assert NORTHSTAR not in stored
    assert "'Northstar'" not in stored
    assert AuditEvent._base_manager.filter(code="erased").count() == 2
    assert not AuthorizationRequest._base_manager.filter(connection=row).exists()
