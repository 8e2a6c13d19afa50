"""What an attacker, an accident or a second tab can do to the way back from Amazon: nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection as database
from django.test import Client

from connections import services
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from ppc.models import PpcLink
from sellerlegend.amazon import lwa
from sellerlegend.jobs import outcomes
from sellerlegend.jobs.models import CallWindow, Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
MARKETING, PERSONAL = "ads@northstar.example", "personal@example.com"


@pytest.fixture
def consented(amazon: RunningEmulator, browser: Client, waiting: Connection) -> Callback:
    """Back from Seller Central with everything right, but not opened yet."""
    return trips.confirm(trips.leave(browser, waiting), NORTHSTAR)


@pytest.fixture
def advertised(amazon: RunningEmulator, browser: Client, organization: Organization) -> Callback:
    """Back from Amazon Ads with everything right, but not opened yet."""
    connection = factories.make_connection(organization, name="Advertised", seller=NORTHSTAR)
    account = factories.make_account(connection)
    return trips.allow(trips.leave_for_ads(browser, connection, [account.pk]), MARKETING)


@pytest.fixture(params=["consented", "advertised"])
def callback(request: pytest.FixtureRequest) -> Callback:
    """Both kinds of trip."""
    found: Callback = request.getfixturevalue(request.param)
    return found


def code_field(callback: Callback) -> str:
    return "code" if "code" in callback.params else "spapi_oauth_code"


# The state (A1, A2) ------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, ""], ids=["missing", "empty"])
def test_without_a_state_nothing_happens(
    amazon: RunningEmulator, browser: Client, callback: Callback, state: str | None
) -> None:
    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback.with_params(state=state))

    assert ending == "refused: state_missing"


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("x" * 43, "state_unknown"),
        ("x" * 10_240, "state_missing"),
        ("\x00", "state_missing"),
        ("\r\nSet-Cookie: a=b", "state_missing"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}\N{PILE OF POO}", "state_unknown"),
        ("' OR 1=1 --", "state_unknown"),
        ("../../etc/passwd", "state_unknown"),
    ],
    ids=["forged", "10 KB", "NUL", "line break", "odd Unicode", "SQL", "path"],
)
def test_a_made_up_state_opens_nothing(
    amazon: RunningEmulator, browser: Client, callback: Callback, state: str, cause: str
) -> None:
    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback.with_params(state=state))

    assert ending == f"refused: {cause}"


@pytest.mark.parametrize(
    "query",
    [
        "state={state}&state={state}&{code}",
        "state=forged&state={state}&{code}",
        "state={state}&state=&{code}",
        "state[]={state}&{code}",
        "state={state}&{code}&{code}",
        "state={state}&{code}&error=access_denied&error=",
        "state={state}%00&{code}",
        "state=%ff%fe{state}&{code}",
        "%ff%fe=%00&&&==",
        "",
    ],
)
def test_garbled_queries_are_refused_and_never_guessed_at(
    amazon: RunningEmulator, browser: Client, callback: Callback, query: str
) -> None:
    name = code_field(callback)
    code = f"selling_partner_id={NORTHSTAR}&{name}={callback.params[name]}"
    query = query.format(state=callback.params["state"], code=code)

    with nothing_changes(amazon):
        response = browser.get(f"{callback.path}?{query}")

    assert response.status_code == 303
    assert response.headers["Location"].startswith("/amazon/outcome/")
    assert callback.trip.status == AuthorizationRequest.Status.OPEN


def test_a_doubled_seller_id_is_refused_before_the_state_is_used_up(
    amazon: RunningEmulator, browser: Client, consented: Callback
) -> None:
    with nothing_changes(amazon):
        response = browser.get(f"{consented}&selling_partner_id={BLUE_HARBOR}")

    assert response.headers["Location"].startswith("/amazon/outcome/")
    assert trips.come_back(browser, consented) == "connected"


# Used once (A3, A11, A21) ------------------------------------------------------------------


def test_opening_the_callback_again_shows_the_first_outcome(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    first = trips.come_back(browser, callback)

    with nothing_changes(amazon, events=()):
        again = trips.come_back(browser, callback)

    assert first in {"connected", "ads_connected"}
    assert again == first


def test_a_day_later_the_callback_still_shows_the_first_outcome(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    first = trips.come_back(browser, callback)
    age(callback, timedelta(days=1))

    with nothing_changes(amazon, events=()):
        again = trips.come_back(browser, callback)

    assert again == first


def test_a_failure_is_shown_again_as_it_was_the_first_time(
    amazon: RunningEmulator, browser: Client, consented: Callback
) -> None:
    trips.come_back(browser, consented.with_params(spapi_oauth_code=None))

    with nothing_changes(amazon, events=()):
        again = trips.come_back(browser, consented)

    assert again == "code_missing"


def test_a_code_is_good_for_one_of_two_trips(
    amazon: RunningEmulator, browser: Client, organization: Organization, consented: Callback
) -> None:
    other = factories.make_waiting_connection(organization, name="Second")
    second = trips.confirm(trips.leave(browser, other), BLUE_HARBOR)
    trips.come_back(browser, consented)
    replay = second.with_params(spapi_oauth_code=consented.params["spapi_oauth_code"])

    with nothing_changes(amazon, events=("authorization_ended",), ended=second.trip, calls=1):
        ending = trips.come_back(browser, replay)

    assert ending == "code_rejected"
    grant = factories.grant_of(
        Connection.objects.for_organization(organization).get(selling_partner_id=NORTHSTAR)
    )
    assert (grant.status, grant.refusals) == (Grant.Status.ACTIVE, 0)


def test_two_tabs_may_finish_in_reverse_order(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    one = factories.make_waiting_connection(organization, name="One")
    two = factories.make_waiting_connection(organization, name="Two")
    first = trips.confirm(trips.leave(browser, one), NORTHSTAR)
    second = trips.confirm(trips.leave(browser, two), BLUE_HARBOR)

    endings = [trips.come_back(browser, second), trips.come_back(browser, first)]

    assert endings == ["connected", "connected"]
    assert sellers_of(organization) == {"One": NORTHSTAR, "Two": BLUE_HARBOR}


def test_two_tabs_of_one_row_cannot_turn_it_into_another_seller(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    first = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    second = trips.confirm(trips.leave(browser, waiting), BLUE_HARBOR)
    trips.come_back(browser, first)
    before = factories.grant_of(waiting).fingerprint

    with nothing_changes(amazon, events=("authorization_ended",), ended=second.trip):
        ending = trips.come_back(browser, second)

    assert ending == "wrong_account"
    assert sellers_of(waiting.organization) == {"New store": NORTHSTAR}
    assert factories.grant_of(waiting).fingerprint == before


def test_a_trip_that_was_overtaken_gets_a_row_of_its_own_and_not_somebody_elses(
    waiting: Connection,
) -> None:
    """The row was filled with another seller while this code was being exchanged."""
    stale = Connection.objects.for_organization(waiting.organization).get(pk=waiting.pk)
    factories.consent(waiting, seller=NORTHSTAR, refresh_token="Atzr|northstar")

    row = factories.consent(stale, seller=BLUE_HARBOR, refresh_token="Atzr|harbor")

    assert row.pk != waiting.pk
    assert sellers_of(waiting.organization) == {
        "New store": NORTHSTAR,
        "New store 2": BLUE_HARBOR,
    }


def test_an_overtaken_merge_does_not_delete_a_row_that_got_its_consent_meanwhile(
    waiting: Connection,
) -> None:
    known = factories.make_connection(waiting.organization, name="Known", seller=BLUE_HARBOR)
    stale = Connection.objects.for_organization(waiting.organization).get(pk=waiting.pk)
    factories.consent(waiting, seller=NORTHSTAR, refresh_token="Atzr|northstar")

    row = factories.consent(stale, seller=BLUE_HARBOR, refresh_token="Atzr|harbor")

    assert row.pk == known.pk
    assert sellers_of(waiting.organization) == {"Known": BLUE_HARBOR, "New store": NORTHSTAR}
    assert factories.grant_of(waiting).status == Grant.Status.ACTIVE


# Ten minutes (A4) --------------------------------------------------------------------------


def age(callback: Callback, by: timedelta) -> None:
    trip = callback.trip
    AuthorizationRequest._base_manager.filter(pk=trip.pk).update(
        created_at=trip.created_at - by, expires_at=trip.expires_at - by
    )


def test_a_trip_may_last_ten_minutes(browser: Client, callback: Callback) -> None:
    age(callback, timedelta(minutes=9, seconds=55))

    ending = trips.come_back(browser, callback)

    assert ending in {"connected", "ads_connected"}


def test_a_trip_of_ten_minutes_and_a_second_is_over(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    age(callback, timedelta(minutes=10, seconds=1))

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback)

    assert ending == "expired"
    assert callback.trip.status == AuthorizationRequest.Status.EXPIRED


def test_a_swept_trip_is_over(amazon: RunningEmulator, browser: Client, callback: Callback) -> None:
    age(callback, timedelta(minutes=10, seconds=1))
    services.sweep_abandoned()

    with nothing_changes(amazon, events=()):
        ending = trips.come_back(browser, callback)

    assert ending == "expired"
    assert callback.trip.code_verifier == ""


# This browser, this person (A5, A6, A8) ----------------------------------------------------


def test_another_browser_of_the_same_person_cannot_finish(
    amazon: RunningEmulator, member: User, callback: Callback
) -> None:
    second = trips.sign_in(member)

    with nothing_changes(amazon):
        ending = trips.come_back(second, callback)

    assert ending == "refused: other_browser"
    assert callback.trip.status == AuthorizationRequest.Status.OPEN


def test_another_browser_with_a_trip_of_its_own_cannot_finish(
    amazon: RunningEmulator, member: User, waiting: Connection, callback: Callback
) -> None:
    second = trips.sign_in(member)
    trips.leave(second, waiting)

    with nothing_changes(amazon):
        ending = trips.come_back(second, callback)

    assert ending == "refused: other_browser"


@pytest.mark.parametrize("victim", ["colleague", "stranger", "nobody"])
def test_a_victim_cannot_be_made_to_finish_an_attackers_trip(
    amazon: RunningEmulator, organization: Organization, callback: Callback, victim: str
) -> None:
    """Cross-user fixation: the attacker sends the consent link, the victim consents."""
    people: dict[str, Callable[[], Client]] = {
        "colleague": lambda: trips.sign_in(factories.make_member(organization)),
        "stranger": lambda: trips.sign_in(
            factories.owner_of(factories.make_organization("Victim"))
        ),
        "nobody": Client,
    }
    browser = people[victim]()

    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback)

    assert ending == "refused: other_browser"


def test_the_session_of_another_person_in_the_same_browser_cannot_finish(
    amazon: RunningEmulator, organization: Organization, browser: Client, callback: Callback
) -> None:
    """Even if the browser's value survived the change of person."""
    value = browser.session["authorization_browser"]
    browser.force_login(factories.make_member(organization))
    session = browser.session
    session["authorization_browser"] = value
    session.save()

    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback)

    assert ending == "refused: other_person"


def test_signed_out_in_between_the_trip_is_kept_and_the_code_is_not(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    browser.logout()

    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback)

    assert ending == "refused: other_browser"
    assert callback.trip.status == AuthorizationRequest.Status.OPEN


def test_the_sign_in_after_a_refusal_carries_neither_code_nor_state(
    browser: Client, callback: Callback
) -> None:
    browser.logout()
    clean = browser.get(str(callback)).headers["Location"]

    response = browser.get(clean)

    assert response.status_code == 302
    login = response.headers["Location"]
    assert login.startswith("/accounts/login/")
    for value in callback.params.values():
        assert value not in login


def test_the_browsers_value_survives_signing_in_again_as_the_same_person(
    browser: Client, member: User, consented: Callback
) -> None:
    browser.force_login(member)

    ending = trips.come_back(browser, consented)

    assert ending == "connected"


# The organization (A7, A9) -----------------------------------------------------------------


def test_the_trip_ends_in_the_organization_it_began_in(
    browser: Client, member: User, organization: Organization, consented: Callback
) -> None:
    other = factories.make_organization("Other Company")
    factories.make_member(other, Role.OWNER, user=member)
    browser.get("/", {"organization": other.slug})
    User.objects.filter(pk=member.pk).update(last_organization=other)

    response = browser.get(str(consented))

    assert response.headers["Location"].startswith(f"/o/{organization.slug}/connections/")
    assert sellers_of(organization) == {"New store": NORTHSTAR}
    assert sellers_of(other) == {}


@pytest.mark.parametrize("change", ["demoted", "removed"])
def test_who_may_no_longer_connect_cannot_finish(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    member: User,
    callback: Callback,
    change: str,
) -> None:
    mine = Membership.objects.for_organization(organization).filter(user=member)
    if change == "demoted":
        mine.update(role=Role.VIEWER)
    else:
        mine.delete()

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback)

    assert ending == "role_too_low"


def test_a_right_that_comes_back_does_not_bring_the_trip_back(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    member: User,
    callback: Callback,
) -> None:
    mine = Membership.objects.for_organization(organization).filter(user=member)
    mine.update(role=Role.VIEWER)
    trips.come_back(browser, callback)
    mine.update(role=Role.ADMIN)

    with nothing_changes(amazon, events=()):
        ending = trips.come_back(browser, callback)

    assert ending == "role_too_low"


def test_a_deactivated_person_cannot_finish(
    amazon: RunningEmulator, browser: Client, member: User, callback: Callback
) -> None:
    User.objects.filter(pk=member.pk).update(is_active=False)

    with nothing_changes(amazon):
        ending = trips.come_back(browser, callback)

    assert ending == "refused: other_person"


# Mix-up (A10) ------------------------------------------------------------------------------


def test_a_code_of_seller_central_is_not_taken_on_the_path_of_amazon_ads(
    amazon: RunningEmulator, browser: Client, consented: Callback
) -> None:
    params = {"state": consented.params["state"], "code": consented.params["spapi_oauth_code"]}

    with nothing_changes(amazon):
        ending = trips.come_back(browser, Callback("/amazon/ads/callback", params))

    assert ending == "refused: other_kind"
    assert trips.come_back(browser, consented) == "connected"


def test_a_code_of_amazon_ads_is_not_taken_on_the_path_of_seller_central(
    amazon: RunningEmulator, browser: Client, advertised: Callback
) -> None:
    params = {
        "state": advertised.params["state"],
        "spapi_oauth_code": advertised.params["code"],
        "selling_partner_id": NORTHSTAR,
    }

    with nothing_changes(amazon):
        ending = trips.come_back(browser, Callback("/amazon/spapi/callback", params))

    assert ending == "refused: other_kind"
    assert trips.come_back(browser, advertised) == "ads_connected"


def test_the_names_of_one_kind_of_code_mean_nothing_to_the_other(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    name = code_field(callback)
    swapped = {"code": "spapi_oauth_code", "spapi_oauth_code": "code"}[name]
    renamed = callback.with_params(**{name: None, swapped: callback.params[name]})

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, renamed)

    assert ending == "code_missing"


def test_a_stolen_ads_code_does_not_fit_another_trip(
    amazon: RunningEmulator, browser: Client, organization: Organization, advertised: Callback
) -> None:
    """Code injection: PKCE binds the code to the trip that asked for it."""
    thief = factories.make_organization("Thief")
    connection = factories.make_connection(thief, seller=BLUE_HARBOR)
    account = factories.make_account(connection)
    evil = trips.sign_in(factories.owner_of(thief))
    own = trips.allow(trips.leave_for_ads(evil, connection, [account.pk]), PERSONAL)
    injected = own.with_params(code=advertised.params["code"])

    with nothing_changes(amazon, events=("authorization_ended",), ended=own.trip, calls=1):
        ending = trips.come_back(evil, injected)

    assert ending == "code_rejected"
    assert trips.come_back(browser, advertised) == "ads_connected"


# The Seller ID is a claim (A13, A14) -------------------------------------------------------


def test_a_tampered_seller_id_does_nothing_to_the_organization_that_has_it(
    amazon: RunningEmulator, browser: Client, organization: Organization, consented: Callback
) -> None:
    victim = factories.make_organization("Victim")
    theirs = factories.make_connection(victim, seller=BLUE_HARBOR)
    before = Connection.objects.for_organization(victim).values().get()
    token = SpApiGrant.objects.for_organization(victim).values().get()

    ending = trips.come_back(browser, consented.with_params(selling_partner_id=BLUE_HARBOR))

    assert ending == "connected"
    assert sellers_of(organization) == {"New store": BLUE_HARBOR}
    assert Connection.objects.for_organization(victim).values().get() == before
    assert SpApiGrant.objects.for_organization(victim).values().get() == token
    assert factories.grant_of(theirs).status == Grant.Status.ACTIVE


@pytest.mark.parametrize(
    "seller",
    [None, "", "A" * 41, "A1 NORTHSTAR", "<script>", "Ａ１ＮＯＲＴＨ", "A1\x00", "../A1", "A1-2"],
    ids=["missing", "empty", "long", "space", "markup", "wide", "NUL", "path", "dash"],
)
def test_an_absurd_seller_id_stops_the_trip_before_the_exchange(
    amazon: RunningEmulator, browser: Client, consented: Callback, seller: str | None
) -> None:
    with nothing_changes(amazon, events=("authorization_ended",), ended=consented.trip):
        ending = trips.come_back(browser, consented.with_params(selling_partner_id=seller))

    assert ending == "code_missing"
    assert consented.trip.returned_selling_partner_id == ""


def test_reconnecting_as_another_seller_stops_before_the_exchange_and_names_both(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    fingerprint = factories.grant_of(connection).fingerprint
    callback = trips.confirm(trips.leave(browser, connection), BLUE_HARBOR)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback)

    assert ending == "wrong_account"
    assert factories.grant_of(connection).fingerprint == fingerprint
    assert callback.trip.expected_selling_partner_id == NORTHSTAR
    assert callback.trip.returned_selling_partner_id == BLUE_HARBOR


def test_another_seller_than_expected_can_be_added_as_new_with_a_fresh_consent(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, name="Harbor", seller=NORTHSTAR)
    trips.come_back(browser, trips.confirm(trips.leave(browser, connection), BLUE_HARBOR))

    response = browser.post(f"/o/{organization.slug}/connections/{connection.pk}/authorize-as-new")
    ending = trips.come_back(browser, trips.confirm(response.headers["Location"], BLUE_HARBOR))

    assert ending == "connected"
    assert sellers_of(organization) == {"Harbor": NORTHSTAR, "Harbor 2": BLUE_HARBOR}


# Declined or empty (A16) -------------------------------------------------------------------


def test_declining_at_amazon_ads_changes_nothing(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    account = factories.make_account(connection)
    callback = trips.deny(trips.leave_for_ads(browser, connection, [account.pk]), MARKETING)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback)

    assert callback.params["error"] == "access_denied"
    assert ending == "declined"
    assert callback.trip.code_verifier == ""


@pytest.mark.parametrize("error", ["access_denied", "server_error", "<b>x</b>" * 400])
def test_an_error_outweighs_a_code(
    amazon: RunningEmulator, browser: Client, callback: Callback, error: str
) -> None:
    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback.with_params(error=error))

    assert ending == ("declined" if error == "access_denied" else "code_missing")


@pytest.mark.parametrize("code", [None, "", "\x00", "x" * 5_000])
def test_without_a_usable_code_nothing_is_exchanged(
    amazon: RunningEmulator, browser: Client, callback: Callback, code: str | None
) -> None:
    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, callback.with_params(**{code_field(callback): code}))

    assert ending == "code_missing"


def test_a_row_removed_in_between_stays_removed(
    amazon: RunningEmulator, browser: Client, waiting: Connection, member: User, consented: Callback
) -> None:
    services.remove_waiting_connection(connection=waiting, actor=Actor.person(member))

    with nothing_changes(amazon, events=("authorization_ended",), ended=consented.trip):
        ending = trips.come_back(browser, consented)

    assert ending == "row_gone"


# Poisoned hosts (A19) ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spapi", "ads"])
@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_X_FORWARDED_HOST": "evil.example"},
        {"HTTP_X_FORWARDED_HOST": "localhost, evil.example", "HTTP_FORWARDED": "host=evil.example"},
        {"HTTP_X_FORWARDED_PROTO": "gopher", "HTTP_X_ORIGINAL_URL": "https://evil.example/"},
        {"HTTP_HOST": "127.0.0.1:1234"},
    ],
)
def test_headers_do_not_change_where_amazon_sends_the_browser(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    kind: str,
    headers: dict[str, Any],
) -> None:
    connection = factories.make_connection(organization, seller=NORTHSTAR)
    account = factories.make_account(connection)
    row = f"/o/{organization.slug}/connections/{connection.pk}"
    page, form = {"spapi": ("authorize", {}), "ads": ("ppc", {"account": account.pk})}[kind]

    response = browser.post(f"{row}/{page}", form, **headers)

    query = parse_qs(urlsplit(response.headers["Location"]).query)
    assert query["redirect_uri"] == [f"http://localhost:8000/amazon/{kind}/callback"]


def test_headers_do_not_change_where_the_callback_sends_the_browser(
    browser: Client, callback: Callback
) -> None:
    response = browser.get(str(callback), HTTP_X_FORWARDED_HOST="evil.example")

    assert response.headers["Location"].startswith("/o/northstar-trading/connections/?connected=")


def test_an_unknown_host_starts_nothing(
    amazon: RunningEmulator, browser: Client, waiting: Connection
) -> None:
    row = f"/o/{waiting.organization.slug}/connections/{waiting.pk}"

    with nothing_changes(amazon, events=()):
        response = browser.post(f"{row}/authorize", HTTP_HOST="evil.example")

    assert response.status_code == 400


# The exchange (A22, A23) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "options", "outcome"),
    [
        ("lost_answer", {}, "amazon_unavailable"),
        ("outage", {"surface": "lwa"}, "amazon_unavailable"),
        ("server_error", {"surface": "lwa"}, "amazon_unavailable"),
        ("throttled", {"surface": "lwa"}, "amazon_unavailable"),
        ("html_error_page", {"surface": "lwa"}, "amazon_unavailable"),
        ("html_error_page", {"surface": "lwa", "status": 504}, "amazon_unavailable"),
        ("html_error_page", {"surface": "lwa", "status": 200}, "amazon_unavailable"),
        ("malformed", {"surface": "lwa", "kind": "truncated"}, "amazon_unavailable"),
        ("malformed", {"surface": "lwa", "kind": "empty_body"}, "amazon_unavailable"),
        ("malformed", {"surface": "lwa", "kind": "no_access_token"}, "amazon_unavailable"),
        ("cut", {"surface": "lwa"}, "amazon_unavailable"),
        ("html_error_page", {"surface": "lwa", "status": 404}, "amazon_unavailable"),
        ("html_error_page", {"surface": "lwa", "status": 400}, "amazon_unavailable"),
    ],
)
def test_a_failed_exchange_is_tried_once_and_stores_nothing(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    scenario: str,
    options: dict[str, Any],
    outcome: str,
) -> None:
    amazon.scenario(scenario, **options)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        ending = trips.come_back(browser, callback)

    assert ending == outcome
    assert callback.trip.code_verifier == ""


@pytest.mark.parametrize(
    ("scenario", "options"),
    [("throttled", {}), ("html_error_page", {}), ("malformed", {"kind": "empty_body"})],
)
def test_what_amazon_answered_at_once_is_not_called_late(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    scenario: str,
    options: dict[str, Any],
) -> None:
    amazon.scenario(scenario, surface="lwa", **options)
    trips.come_back(browser, callback)

    page = browser.get(f"/amazon/outcome/{callback.trip.reference}").content.decode()

    assert "Amazon gave us no usable answer" in page
    assert (
        "It did not answer in time, had too many requests, or sent something that is no answer."
        in page
    )
    assert "Wait a minute and start again." in page


@pytest.mark.parametrize(("scenario", "failures"), [("outage", 1), ("throttled", 1), ("", 0)])
def test_an_exchange_counts_for_incidents_of_the_token_endpoint(
    amazon: RunningEmulator, browser: Client, callback: Callback, scenario: str, failures: int
) -> None:
    if scenario:
        amazon.scenario(scenario, surface="lwa")
    outcomes.forget()

    trips.come_back(browser, callback)
    outcomes.flush()

    counted = CallWindow.objects.filter(surface="lwa")
    assert list(counted.values_list("organization_id", "calls", "failures")) == [
        (callback.trip.organization_id, 1, failures)
    ]


@pytest.mark.parametrize("how", ["slow", "dripping"])
def test_an_exchange_that_takes_too_long_is_given_up(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr(lwa, "EXCHANGE_SECONDS", 0.5)
    amazon.scenario(how, surface="lwa", times=1)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        ending = trips.come_back(browser, callback)

    assert ending == "amazon_unavailable"


def test_our_own_wrong_secret_is_told_to_staff_and_blamed_on_nobody(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for application in ("spapi", "ads"):
        amazon.scenario("wrong_secret", application=application)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        ending = trips.come_back(browser, callback)

    assert ending == "client_misconfigured"
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "client_misconfigured"
    ]


def test_a_code_of_more_than_five_minutes_is_rejected(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    amazon.advance_clock(301)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        ending = trips.come_back(browser, callback)

    assert ending == "code_rejected"


def test_an_answer_without_a_refresh_token_stores_nothing(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    amazon.faults.add(
        surface="lwa",
        status=200,
        body=b'{"access_token": "Atza|x", "token_type": "bearer", "expires_in": 3600}',
    )

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        ending = trips.come_back(browser, callback)

    assert ending == "unexpected_reply"


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crash_at(statement: str) -> Iterator[None]:
    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.strip().replace('"', "").startswith(statement.replace('"', "")):
            raise Crash(statement)
        return execute(sql, params, many, context)

    with database.execute_wrapper(wrapper), pytest.raises(Crash):
        yield


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "organizations_organization"',
        'UPDATE "connections_connection"',
        'INSERT INTO "connections_spapigrant"',
        'INSERT INTO "jobs_job"',
    ],
)
def test_a_crash_between_exchange_and_commit_leaves_no_half_connection(
    amazon: RunningEmulator,
    browser: Client,
    waiting: Connection,
    consented: Callback,
    statement: str,
) -> None:
    with (
        nothing_changes(amazon, events=(), ended=consented.trip, calls=1),
        crash_at(statement),
    ):
        browser.get(str(consented))

    assert consented.trip.status == AuthorizationRequest.Status.CONSUMED
    again = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    assert trips.come_back(browser, again) == "connected"


@pytest.mark.parametrize(
    "statement",
    ['INSERT INTO "connections_adsgrant"', 'INSERT INTO "ppc_ppclink"', 'INSERT INTO "jobs_job"'],
)
def test_a_crash_while_an_ads_consent_is_stored_leaves_no_half_of_it(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    advertised: Callback,
    statement: str,
) -> None:
    with (
        nothing_changes(amazon, events=(), ended=advertised.trip, calls=1),
        crash_at(statement),
    ):
        browser.get(str(advertised))

    assert AdsGrant.objects.for_organization(organization).count() == 0
    assert PpcLink.objects.for_organization(organization).count() == 0


def test_after_a_crash_the_callback_says_interrupted_instead_of_in_progress_for_ever(
    amazon: RunningEmulator, browser: Client, consented: Callback
) -> None:
    with crash_at('INSERT INTO "connections_spapigrant"'):
        browser.get(str(consented))

    soon = trips.come_back(browser, consented)
    trip = consented.trip
    assert trip.consumed_at is not None
    AuthorizationRequest._base_manager.filter(pk=trip.pk).update(
        consumed_at=trip.consumed_at - timedelta(minutes=2)
    )
    services.sweep_abandoned()
    later = trips.come_back(browser, consented)

    assert (soon, later) == ("in_progress", "interrupted")


# Nothing leaks (A24) -----------------------------------------------------------------------


def test_no_log_line_carries_a_code_a_state_or_a_token(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    trips.come_back(browser, callback)
    trips.come_back(browser, callback)
    trips.come_back(Client(), callback)

    lines = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "authorization_ended" in lines
    for secret in [callback.params["state"], *amazon.issued_secrets()]:
        assert secret not in lines


def test_no_row_holds_a_code_a_state_or_a_token_in_the_clear(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    trips.come_back(browser, callback)

    stored = "\n".join(every_value())
    assert "connected" in stored
    for secret in [callback.params["state"], *amazon.issued_secrets()]:
        assert secret not in stored


def every_value() -> list[str]:
    found = []
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            if table.startswith("django_") and table != "django_session":
                continue
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            found += [str(row) for row in cursor.fetchall()]
    return found


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_callbacks_are_opened_with_get_only(
    amazon: RunningEmulator, browser: Client, callback: Callback, method: str
) -> None:
    with nothing_changes(amazon, events=()):
        response = getattr(browser, method)(str(callback))

    assert response.status_code == 405


def test_a_refusal_is_recorded_with_the_trips_organization_but_not_with_the_stranger(
    organization: Organization, callback: Callback
) -> None:
    trips.come_back(trips.sign_in(factories.make_user()), callback)

    event = organization.audit_events.get(code="authorization_refused")
    assert (event.details, event.actor) == ({"cause": "other_browser"}, None)
    assert event.subject_id == callback.trip.pk


def test_ones_own_refusal_is_recorded_with_ones_name(
    organization: Organization, member: User, callback: Callback
) -> None:
    trips.come_back(trips.sign_in(member), callback)

    event = organization.audit_events.get(code="authorization_refused")
    assert (event.details, event.actor) == ({"cause": "other_browser"}, member)


def sellers_of(organization: Organization) -> dict[str, str | None]:
    rows = Connection.objects.for_organization(organization)
    return dict(rows.values_list("name", "selling_partner_id"))


def test_success_queues_one_reading_and_asks_whether_it_is_the_right_store(
    amazon: RunningEmulator, browser: Client, organization: Organization, consented: Callback
) -> None:
    trips.come_back(browser, consented)

    row = Connection.objects.for_organization(organization).get()
    jobs = Job.objects.for_organization(organization).values_list("kind", "status", "subject_id")
    assert list(jobs) == [("marketplaces.read_participations", "queued", row.pk)]
    assert row.account_confirmed_at is None
    assert (amazon.ledger.count(surface="lwa"), amazon.ledger.count(surface="sellers")) == (1, 0)
