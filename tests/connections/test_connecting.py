"""Rows and consents: which row a consent lands on, and what becomes of rows without one."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import credentials, services, superseding
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from sellerlegend import crypto
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.crypto import Place
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from sellerlegend.transitions import StaleState
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"


def connect(browser: Client, connection: Connection, seller: str = NORTHSTAR) -> str:
    """A whole trip to Seller Central; returns its outcome."""
    return trips.come_back(browser, trips.confirm(trips.leave(browser, connection), seller))


def rows_of(organization: Organization) -> list[tuple[str, str | None, str]]:
    rows = Connection.objects.for_organization(organization).order_by("name")
    return list(rows.values_list("name", "selling_partner_id", "region"))


def codes(organization: Organization) -> list[str]:
    return list(organization.audit_events.order_by("pk").values_list("code", flat=True))


# Leaving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("marketplace_id", sorted(MARKETPLACES))
def test_create_adds_the_row_and_leaves_for_the_marketplaces_own_seller_central(
    amazon: RunningEmulator, browser: Client, organization: Organization, marketplace_id: str
) -> None:
    response = browser.post(
        f"/o/{organization.slug}/connections/new",
        {"name": "My store", "marketplace": marketplace_id},
    )

    marketplace = MARKETPLACES[marketplace_id]
    parts = urlsplit(response.headers["Location"])
    seller_central = marketplace.seller_central.removeprefix("https://")
    assert response.status_code == 302
    assert parts.path == f"/{seller_central}/apps/authorize/consent"
    assert set(parse_qs(parts.query)) == {"application_id", "state", "redirect_uri"}
    assert rows_of(organization) == [("My store", None, marketplace.region)]
    assert codes(organization)[-2:] == ["connection_created", "authorization_opened"]


def test_a_draft_application_is_asked_for_as_beta(
    amazon: RunningEmulator, browser: Client, waiting: Connection, settings: object
) -> None:
    amazon.scenario("draft_app")
    settings.SPAPI_DRAFT_APPLICATION = True  # type: ignore[attr-defined]

    outcome = connect(browser, waiting)

    assert outcome == "connected"


def test_the_state_has_256_bits_and_only_its_hash_is_stored(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    states = {parse_qs(urlsplit(trips.leave(browser, waiting)).query)["state"][0] for _ in range(3)}

    stored = AuthorizationRequest.objects.for_organization(waiting.organization)
    assert len(states) == 3
    assert {len(state) for state in states} == {43}
    assert states.isdisjoint(stored.values_list("state_hash", flat=True))
    assert {trip.expires_at - trip.created_at < timedelta(minutes=10, seconds=1) for trip in stored}


# The first consent -------------------------------------------------------------------------


def test_a_consent_fills_the_waiting_row(
    amazon: RunningEmulator, browser: Client, member: User, waiting: Connection
) -> None:
    outcome = connect(browser, waiting)

    waiting.refresh_from_db()
    grant = factories.grant_of(waiting)
    assert outcome == "connected"
    assert waiting.selling_partner_id == NORTHSTAR
    assert waiting.account_confirmed_at is None
    assert (grant.status, grant.version, grant.authorized_by) == ("active", 1, member)
    assert grant.reauthorize_by is not None
    assert grant.reauthorize_by - grant.authorized_at == timedelta(days=365)
    assert grant.refresh_token.startswith("v1.")


def test_after_a_consent_a_worker_reads_the_marketplaces(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    connect(browser, waiting)

    done = ledger.drain("interactive")

    accounts = MarketplaceAccount.objects.for_organization(waiting.organization)
    assert done == 1
    assert set(accounts.values_list("country_code", "is_participating")) == {
        ("US", True),
        ("CA", True),
        ("MX", True),
        ("BR", False),
    }
    assert amazon.ledger.count(surface="sellers") == 1


def test_the_access_token_of_a_consent_is_not_asked_for_twice(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    connect(browser, waiting)
    ledger.drain("interactive")
    marketplace_services.begin_reading(connection=waiting)

    ledger.drain("interactive")

    assert amazon.ledger.count(surface="lwa", operation="refresh_token") == 1


# The same seller again ---------------------------------------------------------------------


def test_a_second_row_for_a_known_seller_is_merged_into_the_first(
    amazon: RunningEmulator, browser: Client, organization: Organization, waiting: Connection
) -> None:
    known = factories.make_connection(organization, name="Known", seller=NORTHSTAR)
    before = factories.grant_of(known)

    outcome = connect(browser, waiting)

    grant = factories.grant_of(known)
    assert outcome == "merged"
    assert rows_of(organization) == [("Known", NORTHSTAR, "NA")]
    assert (grant.pk, grant.version) == (before.pk, before.version + 1)
    assert grant.fingerprint != before.fingerprint
    assert "connection_merged" in codes(organization)


def test_a_merge_leads_to_the_row_that_stays(
    amazon: RunningEmulator, browser: Client, organization: Organization, waiting: Connection
) -> None:
    known = factories.make_connection(organization, seller=NORTHSTAR)
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)

    location = browser.get(str(callback)).headers["Location"]

    assert location == (
        f"/o/{organization.slug}/connections/?connected={known.pk}#connection-{known.pk}"
    )


def test_a_second_tab_of_a_merged_row_finds_it_gone(
    amazon: RunningEmulator, browser: Client, organization: Organization, waiting: Connection
) -> None:
    factories.make_connection(organization, seller=NORTHSTAR)
    second = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    connect(browser, waiting)

    assert trips.come_back(browser, second) == "row_gone"


def test_reconnecting_replaces_the_token_and_forgives_refusals(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    now = timezone.now()
    SpApiGrant.objects.for_organization(organization).update(
        status=Grant.Status.INVALID, refusals=3, first_refused_at=now, last_refused_at=now
    )

    outcome = connect(browser, connection)

    grant = factories.grant_of(connection)
    assert outcome == "reconnected"
    assert (grant.status, grant.refusals, grant.first_refused_at) == ("active", 0, None)
    assert grant.version == 2


def test_reconnecting_keeps_what_was_confirmed_and_onboarded(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    account = factories.make_account(connection, onboarding="onboarded")
    confirmed_at = connection.account_confirmed_at

    connect(browser, connection)
    ledger.drain("interactive")

    connection.refresh_from_db()
    account.refresh_from_db()
    assert connection.account_confirmed_at == confirmed_at
    assert account.onboarding == "onboarded"


def test_after_reconnecting_work_that_waited_for_the_old_consent_is_due_at_once(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    job = marketplace_services.begin_reading(connection=connection)
    ledger.drain("interactive")
    job.refresh_from_db()
    assert (job.status, job.waiting_reason) == ("waiting", "grant_doubted")

    connect(browser, connection)
    ledger.drain("interactive")

    job.refresh_from_db()
    connection.refresh_from_db()
    assert job.status == Job.Status.DONE
    assert connection.participations_read_at is not None


def test_a_worker_that_failed_with_the_old_consent_cannot_speak_about_the_new_one(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    job = marketplace_services.begin_reading(connection=connection)
    late = ledger.claim(job.pk)
    assert late is not None

    connect(browser, connection)

    with pytest.raises(StaleState), late.finishing():
        Connection.objects.for_organization(organization).update(reading_error="grant_invalid")
    ledger.drain("interactive")
    connection.refresh_from_db()
    assert connection.reading_error == ""
    assert connection.participations_read_at is not None


# Another organization, another region, another store ---------------------------------------


def test_another_organization_with_the_same_seller_is_independent(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    other = factories.make_organization("Agency")
    theirs = factories.make_connection(other, name="Client 1", seller=NORTHSTAR)
    before = Connection.objects.for_organization(other).values().get()
    events = codes(other)

    outcome = connect(browser, waiting)
    ledger.drain("interactive")

    assert outcome == "connected"
    assert Connection.objects.for_organization(other).values().get() == before
    assert factories.grant_of(theirs).version == 1
    assert codes(other) == events


def test_an_organization_learns_nothing_of_another_one_with_the_same_seller(
    amazon: RunningEmulator, organization: Organization
) -> None:
    """The two answers differ in nothing but our own ids."""
    other = factories.make_organization("Agency")
    factories.make_connection(other, seller=BLUE_HARBOR)
    answers = []

    for seller, name in [(NORTHSTAR, "One"), (BLUE_HARBOR, "Two")]:
        person = trips.sign_in(factories.make_member(organization))
        row = factories.make_waiting_connection(organization, name=name)
        callback = trips.confirm(trips.leave(person, row), seller)
        location = person.get(str(callback)).headers["Location"]
        answers.append((location.replace(str(row.pk), "ID"), callback.trip.outcome))

    assert answers[0] == answers[1]


def test_another_region_of_the_same_seller_is_a_row_of_its_own(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)

    response = browser.post(
        f"/o/{organization.slug}/connections/{connection.pk}/another-region",
        {"name": "Northstar EU", "marketplace": factories.UK},
    )
    callback = trips.confirm(response.headers["Location"], NORTHSTAR)
    outcome = trips.come_back(browser, callback)

    assert callback.trip.expected_selling_partner_id == NORTHSTAR
    assert outcome == "connected"
    assert rows_of(organization) == [
        ("Northstar", NORTHSTAR, "NA"),
        ("Northstar EU", NORTHSTAR, "EU"),
    ]


def test_another_region_expects_the_same_seller(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    amazon.world.sellers[BLUE_HARBOR].add_marketplace("UK")
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    response = browser.post(
        f"/o/{organization.slug}/connections/{connection.pk}/another-region",
        {"name": "Northstar EU", "marketplace": factories.UK},
    )

    outcome = trips.come_back(browser, trips.confirm(response.headers["Location"], BLUE_HARBOR))

    assert outcome == "wrong_account"
    assert rows_of(organization) == [("Northstar", NORTHSTAR, "NA"), ("Northstar EU", None, "EU")]


def test_resuming_another_region_still_expects_the_same_seller(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_waiting_connection(organization, expected_selling_partner_id=NORTHSTAR)

    outcome = connect(browser, row, BLUE_HARBOR)

    assert outcome == "wrong_account"


@pytest.mark.parametrize("taken", ["NA", "all"])
def test_a_region_that_is_connected_is_not_offered_again(
    browser: Client, organization: Organization, taken: str
) -> None:
    connection = factories.make_connection(organization, name="NA", seller=NORTHSTAR)
    url = f"/o/{organization.slug}/connections/{connection.pk}/another-region"
    if taken == "all":
        for marketplace_id in (factories.UK, factories.JAPAN):
            factories.make_connection(organization, marketplace_id=marketplace_id, seller=NORTHSTAR)

    response = browser.post(url, {"name": "Again", "marketplace": factories.CANADA})

    page = browser.get(url).content.decode()
    assert response.status_code == (422 if taken == "NA" else 200)
    assert ("This seller is connected in every region already" in page) == (taken == "all")
    assert not Connection.objects.for_organization(organization).filter(name="Again").exists()


# MWS ---------------------------------------------------------------------------------------


def test_an_mws_token_is_kept_sealed_with_its_tail_and_date(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    amazon.scenario("hybrid_app")
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    token = callback.params["mws_auth_token"]

    trips.come_back(browser, callback)

    waiting.refresh_from_db()
    place = Place("connections_connection", "mws_auth_token", waiting.organization_id, waiting.pk)
    data_key = waiting.organization.data_key
    opened = crypto.unseal(
        waiting.mws_auth_token, place, data_key=data_key, purpose=crypto.Purpose.REFRESH
    )
    assert opened.reveal() == token
    assert token not in waiting.mws_auth_token
    assert waiting.mws_auth_token_tail == token[-4:]
    assert waiting.mws_auth_token_updated_at is not None


@pytest.mark.parametrize(
    "token", ["x", "amzn.mws.", "amzn.mws.1", "<b>amzn.mws.0123456789abcdef</b>", "y" * 4000]
)
def test_what_is_no_mws_token_is_not_kept(
    amazon: RunningEmulator, browser: Client, waiting: Connection, token: str
) -> None:
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)

    outcome = trips.come_back(browser, callback.with_params(mws_auth_token=token))

    waiting.refresh_from_db()
    assert outcome == "connected"
    assert (waiting.mws_auth_token, waiting.mws_auth_token_tail) == ("", "")
    assert waiting.mws_auth_token_updated_at is None


def test_a_consent_without_an_mws_token_keeps_the_known_one(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    amazon.scenario("hybrid_app")
    connect(browser, waiting)
    waiting.refresh_from_db()
    amazon.scenario("normal")

    connect(browser, waiting)

    kept = waiting.mws_auth_token
    waiting.refresh_from_db()
    assert kept
    assert waiting.mws_auth_token == kept


# Is this right? ----------------------------------------------------------------------------


def test_confirming_twice_is_confirming_once(organization: Organization, member: User) -> None:
    connection = factories.make_connection(organization, confirmed=False)
    actor = Actor.person(member)

    services.confirm_account(connection=connection, actor=actor)
    connection.refresh_from_db()
    first = connection.account_confirmed_at
    services.confirm_account(connection=connection, actor=actor)

    connection.refresh_from_db()
    assert first is not None
    assert connection.account_confirmed_at == first
    assert codes(organization).count("connection_confirmed") == 1


def test_a_row_without_consent_cannot_be_confirmed_in_advance(
    waiting: Connection, member: User
) -> None:
    services.confirm_account(connection=waiting, actor=Actor.person(member))

    waiting.refresh_from_db()
    assert waiting.account_confirmed_at is None


def test_undo_destroys_the_token_and_the_row(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    organization = waiting.organization
    connect(browser, waiting)
    ledger.drain("interactive")
    grant = factories.grant_of(waiting)
    key = f"access-token:{grant.pk}:{grant.version}"
    assert cache.get(key)

    response = browser.post(f"/o/{organization.slug}/connections/{waiting.pk}/undo")

    assert response.status_code == 303
    assert rows_of(organization) == []
    assert SpApiGrant.objects.for_organization(organization).count() == 0
    assert MarketplaceAccount.objects.for_organization(organization).count() == 0
    events = {event.code: event for event in organization.audit_events.all()}
    assert events["connection_undone"].details["selling_partner_id"] == NORTHSTAR
    assert events["spapi_grant_disconnected"].details["reason"] == "undone"


@pytest.mark.django_db(transaction=True)
def test_undo_takes_the_access_token_out_of_the_cache(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    connect(browser, waiting)
    ledger.drain("interactive")
    grant = factories.grant_of(waiting)
    key = f"access-token:{grant.pk}:{grant.version}"
    assert cache.get(key)

    browser.post(f"/o/{waiting.organization.slug}/connections/{waiting.pk}/undo")

    assert cache.get(key) is None


def test_undo_closes_the_rows_work(
    amazon: RunningEmulator, browser: Client, waiting: Connection, member: User
) -> None:
    connect(browser, waiting)
    row = Connection.objects.for_organization(waiting.organization).get()

    services.undo_connection(connection=row, actor=Actor.person(member))
    done = ledger.drain("interactive")

    job = Job.objects.for_organization(waiting.organization).get()
    assert done == 0
    assert (job.status, job.last_error_code) == ("dead", "cancelled")
    assert amazon.ledger.count(surface="sellers") == 0


@pytest.mark.parametrize("row", ["confirmed", "waiting"])
def test_only_an_open_question_can_be_undone(
    organization: Organization, member: User, waiting: Connection, row: str
) -> None:
    connection = factories.make_connection(organization) if row == "confirmed" else waiting
    before = rows_of(organization)

    with pytest.raises(services.NotRemovable):
        services.undo_connection(connection=connection, actor=Actor.person(member))

    assert rows_of(organization) == before
    assert "connection_undone" not in codes(organization)


def test_after_an_undo_the_same_store_can_be_connected_again(
    amazon: RunningEmulator, browser: Client, organization: Organization, waiting: Connection
) -> None:
    connect(browser, waiting)
    browser.post(f"/o/{organization.slug}/connections/{waiting.pk}/undo")
    again = factories.make_waiting_connection(organization, name="New store")

    outcome = connect(browser, again)

    assert outcome == "connected"
    assert rows_of(organization) == [("New store", NORTHSTAR, "NA")]


@pytest.mark.parametrize("minutes", [0, 14])
def test_who_has_just_consented_undoes_without_a_proof(
    amazon: RunningEmulator, member: User, waiting: Connection, minutes: int
) -> None:
    stale = signed_in_long_ago(member)
    connect(stale, waiting)
    SpApiGrant._base_manager.update(authorized_at=Now() - timedelta(minutes=minutes))
    path = reverse("connection_undo", args=[waiting.organization.slug, waiting.pk])

    assert stale.get(path).status_code == 200
    assert stale.post(path).status_code == 303
    assert rows_of(waiting.organization) == []


@pytest.mark.parametrize("who", ["who consented", "a colleague", "an owner"])
def test_nobody_else_undoes_by_a_session_that_was_left_open(
    amazon: RunningEmulator, browser: Client, member: User, waiting: Connection, who: str
) -> None:
    organization = waiting.organization
    connect(browser, waiting)
    somebody = member
    if who == "who consented":
        SpApiGrant._base_manager.update(authorized_at=Now() - timedelta(minutes=15, seconds=1))
    elif who == "a colleague":
        somebody = factories.make_member(organization, Role.MEMBER)
    else:
        somebody = factories.owner_of(organization)
    path = reverse("connection_undo", args=[organization.slug, waiting.pk])
    stale = signed_in_long_ago(somebody)

    with nothing_changes(amazon, events=()):
        answers = [stale.get(path), stale.post(path)]

    for asked in answers:
        assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert signed_in_freshly(somebody).post(path).status_code == 303
    assert rows_of(organization) == []


# Rows that wait ----------------------------------------------------------------------------


def test_a_waiting_row_can_be_removed(waiting: Connection, browser: Client) -> None:
    response = browser.post(f"/o/{waiting.organization.slug}/connections/{waiting.pk}/remove")

    assert response.status_code == 303
    assert rows_of(waiting.organization) == []
    assert codes(waiting.organization)[-1] == "connection_removed"


def test_a_row_with_a_consent_cannot_be_removed(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization, name="Kept", seller=NORTHSTAR)

    response = browser.post(f"/o/{organization.slug}/connections/{connection.pk}/remove")

    assert response.status_code == 303
    assert rows_of(organization) == [("Kept", NORTHSTAR, "NA")]
    assert "connection_removed" not in codes(organization)


def set_created(connection: Connection, ago: timedelta) -> None:
    rows = Connection.objects.for_organization(connection.organization_id)
    rows.filter(pk=connection.pk).update(created_at=Now() - ago)


def test_a_row_that_waited_a_day_is_swept_and_a_younger_one_is_not(
    organization: Organization, waiting: Connection
) -> None:
    young = factories.make_waiting_connection(organization, name="Young")
    set_created(waiting, timedelta(days=1, seconds=1))
    set_created(young, timedelta(hours=23, minutes=59))

    touched = services.sweep_abandoned()

    assert touched == 1
    assert rows_of(organization) == [("Young", None, "NA")]
    assert codes(organization)[-1] == "connection_removed"


def test_a_trip_of_today_keeps_an_old_waiting_row(
    amazon: RunningEmulator, browser: Client, organization: Organization, waiting: Connection
) -> None:
    set_created(waiting, timedelta(days=3))
    trips.leave(browser, waiting)

    services.sweep_abandoned()

    assert rows_of(organization) == [("New store", None, "NA")]


def test_a_row_with_a_consent_is_never_swept(organization: Organization) -> None:
    connection = factories.make_connection(organization, name="Kept", seller=NORTHSTAR)
    set_created(connection, timedelta(days=400))

    services.sweep_abandoned()

    assert rows_of(organization) == [("Kept", NORTHSTAR, "NA")]


def test_an_old_row_that_was_just_connected_survives_the_sweep_that_saw_it_waiting(
    organization: Organization, member: User, waiting: Connection
) -> None:
    seen = Connection.objects.for_organization(organization).get(pk=waiting.pk)
    factories.consent(waiting, seller=NORTHSTAR, refresh_token="Atzr|x")

    with pytest.raises(services.NotRemovable):
        services.remove_waiting_connection(connection=seen, actor=Actor.person(member))

    assert rows_of(organization) == [("New store", NORTHSTAR, "NA")]


# Names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["New store", "NEW STORE", "new STORE"])
def test_a_name_is_taken_whatever_its_case(
    browser: Client, organization: Organization, waiting: Connection, name: str
) -> None:
    response = browser.post(
        f"/o/{organization.slug}/connections/new", {"name": name, "marketplace": factories.US}
    )

    assert response.status_code == 422
    assert "already have a connection with this name" in response.content.decode()
    assert rows_of(organization) == [("New store", None, "NA")]


def test_another_organization_may_use_the_same_name(waiting: Connection) -> None:
    other = factories.make_organization()

    row = factories.make_waiting_connection(other, name=waiting.name)

    assert row.name == waiting.name


def test_a_row_can_be_renamed_to_its_own_name_in_another_case(
    organization: Organization, waiting: Connection
) -> None:
    admin = trips.sign_in(factories.make_member(organization, Role.ADMIN))

    response = admin.post(
        f"/o/{organization.slug}/connections/{waiting.pk}/rename", {"name": "NEW Store"}
    )

    event = AuditEvent.objects.for_organization(organization).get(code="connection_renamed")
    assert response.status_code == 303
    assert rows_of(organization) == [("NEW Store", None, "NA")]
    assert event.details == {"old": "New store", "new": "NEW Store"}


def test_a_row_cannot_take_the_name_of_another(
    organization: Organization, waiting: Connection
) -> None:
    factories.make_waiting_connection(organization, name="Taken")
    admin = trips.sign_in(factories.make_member(organization, Role.ADMIN))

    response = admin.post(
        f"/o/{organization.slug}/connections/{waiting.pk}/rename", {"name": "tAKEN"}
    )

    assert response.status_code == 422
    assert [name for name, _, _ in rows_of(organization)] == ["New store", "Taken"]
    assert "connection_renamed" not in codes(organization)


def test_of_two_who_rename_a_row_the_slower_one_is_told(
    organization: Organization, waiting: Connection
) -> None:
    admin = trips.sign_in(factories.make_member(organization, Role.ADMIN))
    url = f"/o/{organization.slug}/connections/{waiting.pk}/rename"
    renamed = AuditEvent.objects.for_organization(organization).filter(code="connection_renamed")
    assert '<input type="hidden" name="known" value="New store"' in admin.get(url).text
    admin.post(url, {"name": "Faster", "known": "New store"})

    told = admin.post(url, {"name": "Slower", "known": "New store"})

    assert told.status_code == 422
    assert "Somebody called it Faster meanwhile." in told.text
    assert '<input type="hidden" name="known" value="Faster"' in told.text
    assert [name for name, _, _ in rows_of(organization)] == ["Faster"]
    assert renamed.count() == 1
    assert admin.post(url, {"name": "Slower", "known": "Faster"}).status_code == 303
    assert [name for name, _, _ in rows_of(organization)] == ["Slower"]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("  Tidy  ", "Tidy"),
        ("Two\nlines", "Two lines"),
        ("\u202eesrever", "esrever"),
        ("Cafe\u0301", "Café"),
        ("x" * 80, "x" * 80),
    ],
)
def test_names_are_cleaned_before_they_are_stored(
    amazon: RunningEmulator, browser: Client, organization: Organization, typed: str, stored: str
) -> None:
    browser.post(
        f"/o/{organization.slug}/connections/new", {"name": typed, "marketplace": factories.US}
    )

    assert [name for name, _, _ in rows_of(organization)] == [stored]


@pytest.mark.parametrize(
    "form",
    [
        {"name": "", "marketplace": factories.US},
        {"name": "   ", "marketplace": factories.US},
        {"name": "x" * 81, "marketplace": factories.US},
        {"name": "\u202e\u202e", "marketplace": factories.US},
        {"name": "\u200b\u200b", "marketplace": factories.US},
        {"name": "NUL\x00", "marketplace": factories.US},
        {"name": "Good", "marketplace": ""},
        {"name": "Good", "marketplace": "A2ZV50J4W1RKNI"},
        {"name": "Good", "marketplace": "nowhere"},
    ],
    ids=[
        "no name",
        "blank",
        "long",
        "invisible",
        "no width",
        "NUL",
        "no place",
        "non-Amazon",
        "unknown",
    ],
)
def test_a_wrong_form_adds_no_row_and_goes_nowhere(
    browser: Client, organization: Organization, form: dict[str, str]
) -> None:
    response = browser.post(f"/o/{organization.slug}/connections/new", form)

    assert response.status_code == 422
    assert rows_of(organization) == []


def test_numbered_names_fit_the_column(organization: Organization, member: User) -> None:
    connection = factories.make_connection(organization, name="x" * 80)

    fresh = services.create_beside(connection=connection, actor=Actor.person(member))

    assert fresh.name == "x" * 74 + " 2"


def test_nobody_can_use_a_disconnected_grant(organization: Organization, member: User) -> None:
    connection = factories.make_connection(organization)
    grant = factories.grant_of(connection)
    superseding.destroy(grant, actor=Actor.person(member), reason="test")

    stored = factories.grant_of(connection)

    assert (stored.status, stored.refresh_token) == ("disconnected", "")
    with pytest.raises(Exception, match="credentials"):
        credentials.access_token(stored)
