"""The reconnect queue: choosing rows, walking them, coming back another day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.grouping_models import Reach
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.queue_models import ReconnectItem, ReconnectQueue
from ppc import erasure, removing
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from sellerlegend.organizations.services import create_organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import GERMANY, US
from tests.nothing_changed import nothing_changes
from tests.operators import run_command

pytestmark = pytest.mark.django_db

Status = ReconnectItem.Status
NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"


# Helpers -----------------------------------------------------------------------------------


def given_days_ago(row: Connection, days: int, **columns: Any) -> Connection:
    grants = SpApiGrant.objects.for_organization(row.organization_id).filter(connection=row)
    grants.update(authorized_at=timezone.now() - timedelta(days=days), **columns)
    return row


def store(organization: Organization, name: str, seller: str, **options: Any) -> Connection:
    """Its consent is as old as half a year."""
    row = factories.make_connection(organization, name=name, seller=seller, **options)
    return given_days_ago(row, 180)


@pytest.fixture
def northstar(organization: Organization) -> Connection:
    return store(organization, "Aspen", NORTHSTAR)


@pytest.fixture
def harbor(organization: Organization) -> Connection:
    return store(organization, "Birch", BLUE_HARBOR)


def url(name: str, organization: Organization) -> str:
    return reverse(name, args=[organization.slug])


def fill(browser: Client, organization: Organization, *rows: Connection) -> Any:
    ids = [str(row.pk) for row in rows]
    return browser.post(url("reconnect_queue_add", organization), {"row": ids})


def items(organization: Organization) -> list[ReconnectItem]:
    found = ReconnectItem.objects.for_organization(organization).select_related("connection")
    return list(found.order_by("queue__created_at", "position"))


def states(organization: Organization) -> list[tuple[str, str]]:
    return [(item.connection.name, item.status) for item in items(organization)]


def item_of(row: Connection) -> ReconnectItem:
    found: ReconnectItem = ReconnectItem.objects.for_organization(row.organization_id).get(
        connection=row
    )
    return found


def press(browser: Client, what: str, item: ReconnectItem | UUID) -> Any:
    """A button of the walk."""
    key = item.pk if isinstance(item, ReconnectItem) else item
    slug = Organization.objects.get(pk=browser.organization).slug  # type: ignore[attr-defined]
    return browser.post(reverse(f"reconnect_queue_{what}", args=[slug]), {"item": str(key)})


@pytest.fixture
def browser(member: User, organization: Organization) -> Client:
    client = trips.sign_in(member)
    client.organization = organization.pk  # type: ignore[attr-defined]
    return client


def set_out(browser: Client, row: Connection) -> str:
    """*Open Seller Central*: the address there."""
    response = press(browser, "open", item_of(row))
    assert response.status_code == 302
    location: str = response.headers["Location"]
    return location


def walk_page(browser: Client, organization: Organization) -> Any:
    return browser.get(url("reconnect_queue", organization))


def reconnect(browser: Client, row: Connection, seller: str = "") -> str:
    """One store of the walk; where the browser lands after it."""
    callback = trips.confirm(set_out(browser, row), seller or str(row.selling_partner_id))
    response = browser.get(str(callback))
    assert response.status_code == 303
    location: str = response.headers["Location"]
    return location


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


# Choosing ----------------------------------------------------------------------------------


def test_before_anything_happens_the_page_says_what_will_be_in_and_what_not(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    waiting = factories.make_waiting_connection(organization, name="No consent")
    ended = given_days_ago(
        factories.make_connection(organization, name="Ended"),
        90,
        status=Grant.Status.DISCONNECTED,
        refresh_token="",
    )
    renewed = factories.make_connection(organization, name="Renewed")
    foreign = factories.make_connection(factories.make_organization())
    rows = [northstar, waiting, ended, renewed, foreign]
    query = "&".join(f"row={row.pk}" for row in rows)

    with nothing_changes(amazon, events=()):
        response = browser.get(f"{url('reconnect_queue_add', organization)}?{query}")

    assert [one.name for one in response.context["able"]] == ["Aspen"]
    assert [(one.name, one.obstacle) for one in response.context["unable"]] == [
        ("Ended", "disconnected"),
        ("No consent", "waiting"),
        ("Renewed", "renewed"),
    ]
    page = text_of(response)
    assert "1 store will be in your queue." in page
    assert "Not for 3 connections" in page
    assert "1 of what you chose is left out" in page
    assert page.count("<html") == 1
    dialog = browser.get(response.wsgi_request.get_full_path(), headers={"HX-Request": "true"})
    assert "<html" not in text_of(dialog)
    assert foreign.name not in page


def test_what_stays_out_is_not_put_in_by_sending_it(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    waiting = factories.make_waiting_connection(organization)
    foreign = factories.make_connection(factories.make_organization())

    with nothing_changes(amazon, events=()):
        response = fill(browser, organization, waiting, foreign)

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("", ["Aspen", "Zebra", "Birch"]),  # rows of one seller stand together
        ("renew_by", ["Birch", "Zebra", "Aspen"]),
        ("-renew_by", ["Aspen", "Zebra", "Birch"]),
        ("-name", ["Birch", "Aspen", "Zebra"]),
    ],
)
def test_the_order_of_the_list_is_the_order_of_the_walk(
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
    sort: str,
    names: list[str],
) -> None:
    """Also of the order that the reader chose: who breaks off has done what stood first."""
    europe = store(organization, "Zebra", NORTHSTAR, marketplace_id=GERMANY)
    given_days_ago(harbor, 370)
    given_days_ago(europe, 340)
    ticked = [str(row.pk) for row in (northstar, europe, harbor)]
    page = url("reconnect_queue_add", organization)

    question = browser.post(page, {"ask": "1", "row": ticked, "sort": sort})
    shown = [str(one.id) for one in question.context["able"]]
    response = browser.post(page, {"row": shown})

    assert response.headers["Location"] == url("reconnect_queue", organization)
    assert states(organization) == [(name, "waiting") for name in names]


def test_of_a_ready_made_choice_what_ends_first_comes_first(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    """And the other rows of its seller right after it: no sign-out between them."""
    europe = store(organization, "Zebra", NORTHSTAR, marketplace_id=GERMANY)
    given_days_ago(northstar, 320)
    given_days_ago(harbor, 340)
    given_days_ago(europe, 350)

    page = browser.get(f"{url('reconnect_queue_add', organization)}?pick=ending")

    assert [one.name for one in page.context["able"]] == ["Zebra", "Aspen", "Birch"]


def test_adding_to_an_open_queue_adds_what_is_not_in_it(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, harbor)

    fill(browser, organization, northstar, harbor)

    assert states(organization) == [("Birch", "waiting"), ("Aspen", "waiting")]
    assert ReconnectQueue.objects.for_organization(organization).count() == 1


def test_what_was_skipped_comes_again_when_it_is_chosen_again(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar, harbor)
    press(browser, "skip", item_of(northstar))

    fill(browser, organization, northstar)

    assert states(organization) == [("Birch", "waiting"), ("Aspen", "waiting")]


def test_a_queue_holds_five_hundred_at_most(
    browser: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReconnectQueue, "MOST_ITEMS", 2)
    rows = [store(organization, name, f"A{name}0000000001") for name in ("X", "Y", "Z")]
    query = "&".join(f"row={row.pk}" for row in rows)

    page = browser.get(f"{url('reconnect_queue_add', organization)}?{query}")
    fill(browser, organization, *rows)

    assert [(one.name, one.obstacle) for one in page.context["unable"]] == [("Z", "too_many")]
    assert states(organization) == [("X", "waiting"), ("Y", "waiting")]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("pick=needed", ["Year over", "Refused"]),
        ("pick=ending", ["Ends soon"]),
        ("month=2027-03", ["In March"]),
        ("person={person}", ["Of another"]),
        ("person=00000000-0000-0000-0000-000000000000", ["Of nobody"]),
        ("pick=unknown", []),
        ("month=2027-13", []),
        ("person=nobody", []),
    ],
)
def test_ready_made_choices(
    organization: Organization, query: str, names: list[str], member: User
) -> None:
    another = factories.make_user()
    with time_machine.travel("2026-11-27T10:00:00+00:00", tick=False):
        for name, days, columns in (
            ("Fine", 180, {}),
            ("Ends soon", 320, {}),
            ("Year over", 370, {}),
            ("Refused", 100, {"status": Grant.Status.INVALID}),
            ("In March", 260, {}),
            ("Of another", 30, {"authorized_by": another}),
            ("Of nobody", 31, {"authorized_by": None}),
        ):
            row = factories.make_connection(organization, name=name)
            given_days_ago(row, days, last_success_at=timezone.now(), **columns)
        browser = trips.sign_in(member)
        page = url("reconnect_queue_add", organization)

        response = browser.get(f"{page}?{query.format(person=another.pk)}")

    assert [one.name for one in response.context["able"]] == names


def test_the_start_offers_choices_that_have_rows(
    browser: Client, organization: Organization, northstar: Connection
) -> None:
    page = walk_page(browser, organization)

    ((pick, count),) = page.context["picks"]
    assert (pick.kind, count) == ("month", 1)
    assert reverse("authorisers", args=[organization.slug]) in text_of(page)


def test_an_imported_consent_of_an_unknown_day_ends_in_no_month_and_can_be_renewed(
    browser: Client, organization: Organization
) -> None:
    """Its day is that of the import, from which nothing follows."""
    today, near_the_end = (
        given_days_ago(
            factories.make_connection(organization, name=f"Imported {days}"),
            days,
            imported_at=timezone.now(),
            is_consent_dated=False,
            last_success_at=timezone.now(),
        )
        for days in (0, 320)
    )
    month = timezone.localdate(timezone.now() + timedelta(days=45))
    page = url("reconnect_queue_add", organization)

    assert walk_page(browser, organization).context["picks"] == []
    for query in ("pick=ending", f"month={month:%Y-%m}"):
        assert browser.get(f"{page}?{query}").context["able"] == [], query

    fill(browser, organization, today, near_the_end)
    assert states(organization) == [("Imported 0", "waiting"), ("Imported 320", "waiting")]


# The walk ----------------------------------------------------------------------------------


def test_the_store_whose_turn_it_is_stands_there_with_its_seller_central(
    browser: Client, organization: Organization
) -> None:
    row = store(organization, "Tanne", "A1TANNE0000001", marketplace_id=GERMANY)
    fill(browser, organization, row)

    page = text_of(walk_page(browser, organization))

    assert '<h2 id="turn-title">Tanne</h2>' in page
    assert "A1TANNE0000001" in page
    assert "Europe (EU)" in page
    assert "sellercentral-europe.amazon.com" in page
    assert "0 of 1 settled" in page
    assert '<progress value="0" max="1"' in page
    assert "Open Seller Central" in page
    assert "Sign out of Seller Central of" not in page


def test_a_consent_leads_back_with_the_next_store_prepared(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    member: User,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)

    location = reconnect(browser, northstar)
    page = text_of(browser.get(location))

    assert location == url("reconnect_queue", organization)
    assert states(organization) == [("Aspen", "reconnected"), ("Birch", "waiting")]
    assert item_of(northstar).reconnected_by == member
    assert "Aspen is reconnected. Its consent counts for another year." in page
    assert "1 of 2 settled" in page
    assert '<h2 id="turn-title">Birch</h2>' in page
    assert "Next store: open Seller Central" in page
    assert "Sign out of Seller Central of Aspen first" in page
    assert f'href="{amazon.url}/sellercentral.amazon.com"' in page


def test_between_rows_of_one_seller_nobody_has_to_sign_out(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    europe = store(organization, "Zebra", NORTHSTAR, marketplace_id=GERMANY)
    fill(browser, organization, northstar, europe)

    reconnect(browser, northstar)

    page = text_of(walk_page(browser, organization))
    assert '<h2 id="turn-title">Zebra</h2>' in page
    assert "Sign out of Seller Central of" not in page


def test_another_seller_changes_nothing_and_is_told_on_the_item(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    before = factories.grant_of(northstar)

    location = reconnect(browser, northstar, seller=BLUE_HARBOR)
    page = text_of(browser.get(location))

    after = factories.grant_of(northstar)
    assert location == url("reconnect_queue", organization)
    assert (after.version, after.authorized_at) == (before.version, before.authorized_at)
    assert item_of(northstar).status == Status.FAILED
    assert item_of(northstar).cause == "wrong_account"
    assert "You signed in with another seller account" in page
    assert f"Sign out of Seller Central of {BLUE_HARBOR} first" in page
    assert "Try again at Seller Central" in page
    assert NORTHSTAR in page
    assert "0 of 2 settled" in page

    reconnect(browser, northstar)

    assert states(organization) == [("Aspen", "reconnected"), ("Birch", "waiting")]


def test_a_trip_that_brings_no_code_is_told_and_can_be_tried_again(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    callback = trips.confirm(set_out(browser, northstar), NORTHSTAR)

    browser.get(str(callback.with_params(spapi_oauth_code=None)))

    assert (item_of(northstar).status, item_of(northstar).cause) == ("failed", "code_missing")
    assert "Amazon sent you back without an approval" in text_of(walk_page(browser, organization))
    assert reconnect(browser, northstar).startswith(url("reconnect_queue", organization))
    assert item_of(northstar).status == Status.RECONNECTED


def test_amazon_sends_nobody_back_who_cancels(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    set_out(browser, northstar)

    at_once = text_of(walk_page(browser, organization))
    with time_machine.travel(timezone.now() + timedelta(minutes=11), tick=False):
        later = text_of(walk_page(browser, organization))

    assert "You left for sellercentral.amazon.com at" in at_once
    assert "Nothing has come back from Amazon" in later
    assert "Try again at Seller Central" in later
    assert item_of(northstar).status == Status.AT_AMAZON


def test_skip_and_put_last(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    third = store(organization, "Cedar", "A3CEDAR0000001")
    fill(browser, organization, northstar, harbor, third)

    press(browser, "put_last", item_of(northstar))
    press(browser, "skip", item_of(harbor))

    assert states(organization) == [
        ("Birch", "skipped"),
        ("Cedar", "waiting"),
        ("Aspen", "waiting"),
    ]
    assert '<h2 id="turn-title">Cedar</h2>' in text_of(walk_page(browser, organization))

    press(browser, "take_up", item_of(harbor))

    assert states(organization)[-1] == ("Birch", "waiting")


def test_the_last_store_ends_in_a_summary_with_a_result_for_each(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    press(browser, "skip", item_of(harbor))

    location = reconnect(browser, northstar)
    page = browser.get(location)

    queue = ReconnectQueue.objects.for_organization(organization).get()
    assert queue.status == ReconnectQueue.Status.FINISHED
    assert location == f"{url('reconnect_queue', organization)}?queue={queue.pk}"
    lines = [(line.name, line.sign.word) for line in page.context["lines"]]
    assert lines == [("Aspen", "Reconnected"), ("Birch", "Skipped")]
    assert "This queue is over" in text_of(page)
    assert "You can read this until" in text_of(page)
    assert str(queue.pk) in text_of(walk_page(browser, organization))


def test_a_finished_queue_is_read_for_thirty_days_and_a_new_one_can_start(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar)
    browser.post(url("reconnect_queue_finish", organization))
    queue = ReconnectQueue.objects.for_organization(organization).get()
    address = f"{url('reconnect_queue', organization)}?queue={queue.pk}"

    fill(browser, organization, harbor)

    assert browser.get(address).status_code == 200
    assert states(organization) == [("Aspen", "skipped"), ("Birch", "waiting")]
    ReconnectQueue.objects.for_organization(organization).filter(pk=queue.pk).update(
        finished_at=timezone.now() - timedelta(days=31)
    )
    assert browser.get(address).status_code == 404


def test_ending_a_queue_asks_first_and_says_how_many_are_skipped(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar, harbor)
    press(browser, "skip", item_of(harbor))

    asked = browser.get(url("reconnect_queue_finish", organization))

    assert "1 store was not walked yet and will count as skipped." in text_of(asked)
    assert states(organization) == [("Aspen", "waiting"), ("Birch", "skipped")]
    shown = walk_page(browser, organization).text
    assert f'href="{url("reconnect_queue_finish", organization)}"' in shown
    assert f'action="{url("reconnect_queue_finish", organization)}"' not in shown
    browser.post(url("reconnect_queue_finish", organization))
    assert states(organization) == [("Aspen", "skipped"), ("Birch", "skipped")]
    assert "That was done already" in browser.get(url("reconnect_queue_finish", organization)).text


def test_what_failed_stays_failed_when_the_queue_is_ended(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    reconnect(browser, northstar, seller=BLUE_HARBOR)

    browser.post(url("reconnect_queue_finish", organization))

    assert states(organization) == [("Aspen", "failed"), ("Birch", "skipped")]


# What happens elsewhere --------------------------------------------------------------------


def test_a_store_that_somebody_else_reconnected_is_passed_over(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    colleague = factories.make_member(organization, user=factories.make_user(name="Ada"))
    theirs = trips.sign_in(colleague)
    trips.come_back(theirs, trips.confirm(trips.leave(theirs, northstar), NORTHSTAR))

    page = walk_page(browser, organization)

    assert item_of(northstar).status == Status.WAITING  # looking changes nothing
    assert '<h2 id="turn-title">Birch</h2>' in text_of(page)
    assert page.context["lines"][0].note.startswith("Reconnected by Ada on ")
    assert page.context["progress"].done == 1

    press(browser, "skip", item_of(harbor))

    assert states(organization) == [("Aspen", "not_needed"), ("Birch", "skipped")]
    assert item_of(northstar).reconnected_by == colleague
    (queue,) = ReconnectQueue.objects.for_organization(organization)
    summary = browser.get(f"{url('reconnect_queue', organization)}?queue={queue.pk}")
    assert summary.context["lines"][0].note.startswith("Reconnected by Ada on ")


def test_nobody_leaves_for_a_store_that_needs_nothing_any_more(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    factories.consent(northstar, refresh_token="Atzr|by-somebody")

    with nothing_changes(amazon, events=()):
        response = press(browser, "open", item_of(northstar))

    assert response.status_code == 303
    assert response.headers["Location"] == url("reconnect_queue", organization)


@pytest.mark.parametrize("is_removed", [False, True], ids=["disconnected", "removed"])
def test_a_row_that_was_ended_meanwhile_is_passed_over_with_words(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
    is_removed: bool,
) -> None:
    fill(browser, organization, northstar, harbor)
    given_days_ago(northstar, 180, status=Grant.Status.DISCONNECTED, refresh_token="")
    if is_removed:
        actor = Actor.person(factories.owner_of(organization))
        removing.remove(connection=northstar, actor=actor)

    page = walk_page(browser, organization)
    response = press(browser, "open", item_of(northstar))

    words = "removed from the list" if is_removed else "disconnected it"
    assert words in page.context["lines"][0].note
    assert '<h2 id="turn-title">Birch</h2>' in text_of(page)
    assert response.status_code == 303
    assert AuthorizationRequest.objects.for_organization(organization).count() == 0


def test_a_row_that_is_erased_takes_its_line_along(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar, harbor)
    Connection.objects.for_organization(organization).filter(pk=northstar.pk).delete()

    page = walk_page(browser, organization)

    assert states(organization) == [("Birch", "waiting")]
    assert page.context["progress"].total == 1


# Races -------------------------------------------------------------------------------------


def test_a_replayed_callback_does_not_advance_twice(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    callback = trips.confirm(set_out(browser, northstar), NORTHSTAR)
    browser.get(str(callback))

    with nothing_changes(amazon, events=()):
        again = browser.get(str(callback))

    assert again.headers["Location"] == url("reconnect_queue", organization)
    assert states(organization) == [("Aspen", "reconnected"), ("Birch", "waiting")]


def test_two_tabs_with_one_store(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    """The first brings another seller, the second the right one; or the other way round."""
    harbor = store(organization, "Birch", BLUE_HARBOR)
    fill(browser, organization, northstar, harbor)
    first, second, third = (set_out(browser, northstar) for _ in range(3))

    browser.get(str(trips.confirm(first, BLUE_HARBOR)))
    assert item_of(northstar).status == Status.FAILED
    browser.get(str(trips.confirm(second, NORTHSTAR)))
    assert item_of(northstar).status == Status.RECONNECTED
    browser.get(str(trips.confirm(third, BLUE_HARBOR)))

    assert states(organization) == [("Aspen", "reconnected"), ("Birch", "waiting")]


def test_a_trip_that_was_under_way_counts_although_the_store_was_skipped(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    consent_url = set_out(browser, northstar)
    press(browser, "skip", item_of(northstar))

    browser.get(str(trips.confirm(consent_url, NORTHSTAR)))

    assert states(organization) == [("Aspen", "reconnected"), ("Birch", "waiting")]


@pytest.mark.parametrize("step", ["skip", "put_last"])
def test_a_mistake_at_amazon_is_told_although_the_queue_went_on(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    harbor: Connection,
    step: str,
) -> None:
    fill(browser, organization, northstar, harbor)
    consent_url = set_out(browser, northstar)
    press(browser, step, item_of(northstar))
    before = factories.grant_of(northstar).version

    back = browser.get(str(trips.confirm(consent_url, BLUE_HARBOR)))

    assert back.headers["Location"].startswith("/amazon/outcome/")
    page = text_of(browser.get(back.headers["Location"]))
    assert "You signed in with another seller account" in page
    assert factories.grant_of(northstar).version == before
    assert item_of(northstar).status == (Status.SKIPPED if step == "skip" else Status.FAILED)


def test_a_trip_that_was_under_way_counts_although_the_queue_was_ended(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    consent_url = set_out(browser, northstar)
    browser.post(url("reconnect_queue_finish", organization))

    location = browser.get(str(trips.confirm(consent_url, NORTHSTAR))).headers["Location"]

    assert states(organization) == [("Aspen", "reconnected")]
    assert "?queue=" in location


def test_the_second_tab_finds_what_the_first_did(
    browser: Client,
    organization: Organization,
    member: User,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    other_device = trips.sign_in(member)
    other_device.organization = organization.pk  # type: ignore[attr-defined]
    press(browser, "skip", item_of(northstar))

    response = press(other_device, "skip", item_of(northstar))

    page = text_of(other_device.get(response.headers["Location"]))
    assert "That was done already, perhaps in another tab." in page
    assert states(organization) == [("Aspen", "skipped"), ("Birch", "waiting")]
    skipped = AuditEvent.objects.for_organization(organization).filter(
        code="reconnect_item_skipped"
    )
    assert skipped.count() == 1


def test_nothing_moves_in_a_finished_queue(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    item = item_of(northstar)
    browser.post(url("reconnect_queue_finish", organization))

    for what in ("open", "skip", "put_last", "take_up"):
        with nothing_changes(amazon, events=()):
            assert press(browser, what, item).status_code == 303
    with nothing_changes(amazon, events=()):
        assert browser.post(url("reconnect_queue_finish", organization)).status_code == 303


# Whose it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["colleague", "owner", "outsider"])
def test_a_queue_is_its_persons_alone(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    who: str,
) -> None:
    fill(browser, organization, northstar)
    item, (queue,) = item_of(northstar), ReconnectQueue.objects.for_organization(organization)
    own = organization
    if who == "outsider":
        own = create_organization(name="Elsewhere", owner=factories.make_user())
    person = factories.make_member(own) if who == "colleague" else factories.owner_of(own)
    stranger = trips.sign_in(person)
    stranger.organization = own.pk  # type: ignore[attr-defined]

    with nothing_changes(amazon, events=()):
        for what in ("open", "skip", "put_last", "take_up"):
            real, made_up = (
                press(stranger, what, item),
                press(stranger, what, factories.unknown_id()),
            )
            assert (real.status_code, made_up.status_code) == (404, 404)
        summary = stranger.get(f"{url('reconnect_queue', own)}?queue={queue.pk}")

    assert summary.status_code == 404
    assert walk_page(stranger, own).status_code == 200
    assert "Aspen" not in text_of(walk_page(stranger, own))


def test_a_role_that_was_lowered_in_between_ends_the_walk(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    member: User,
    northstar: Connection,
) -> None:
    fill(browser, organization, northstar)
    callback = trips.confirm(set_out(browser, northstar), NORTHSTAR)
    before = factories.grant_of(northstar)
    Membership.objects.for_organization(organization).filter(user=member).update(role=Role.VIEWER)

    response = browser.get(str(callback))
    page = browser.get(response.headers["Location"])

    assert response.headers["Location"].startswith("/amazon/outcome/")
    assert "You may no longer connect accounts here" in text_of(page)
    assert factories.grant_of(northstar).version == before.version
    assert (item_of(northstar).status, item_of(northstar).cause) == ("failed", "role_too_low")
    assert walk_page(browser, organization).status_code == 403
    assert press(browser, "open", item_of(northstar)).status_code == 403


def test_without_our_own_credentials_nobody_leaves_and_the_item_stays(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    northstar: Connection,
    settings: Any,
) -> None:
    fill(browser, organization, northstar)
    settings.SPAPI_APPLICATION_ID = ""

    with nothing_changes(amazon, events=()):
        response = press(browser, "open", item_of(northstar))

    assert response.status_code == 503


# Another day -------------------------------------------------------------------------------


def test_the_list_says_how_far_one_is(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar, harbor)
    press(browser, "skip", item_of(northstar))

    mine = text_of(browser.get(url("account_connections", organization)))
    theirs = text_of(
        trips.sign_in(factories.owner_of(organization)).get(
            url("account_connections", organization)
        )
    )

    assert "Reconnect queue: 0 of 2 settled, 1 skipped." in mine
    assert url("reconnect_queue", organization) in mine
    assert "Reconnect queue:" not in theirs
    page = text_of(walk_page(browser, organization))
    assert "0 of 2 settled, 1 skipped" in page
    assert '<progress value="1" max="2"' in page


@pytest.fixture
def forty(amazon: RunningEmulator, organization: Organization) -> list[Connection]:
    amazon.world.applications["spapi"].is_listed = True  # others have 25 places
    rows = []
    for number in range(40):
        seller = f"A4FORTY{number:07d}"
        amazon.world.add_seller(seller, f"Store {number:02d}", marketplaces=["US"])
        rows.append(store(organization, f"Store {number:02d}", seller, marketplace_id=US))
    return rows


def test_forty_stores_with_a_break_after_twelve(
    amazon: RunningEmulator, organization: Organization, member: User, forty: list[Connection]
) -> None:
    browser = trips.sign_in(member)
    browser.organization = organization.pk  # type: ignore[attr-defined]
    fill(browser, organization, *forty)

    def walk(browser: Client, count: int) -> None:
        for _ in range(count):
            turn = walk_page(browser, organization).context["turn"]
            row = next(row for row in forty if row.name == turn.name)
            reconnect(browser, row)

    walk(browser, 12)
    browser.post(reverse("account_logout"))
    assert walk_page(browser, organization).status_code == 302

    with time_machine.travel(timezone.now() + timedelta(days=1), tick=True):
        tomorrow = trips.sign_in(member)
        tomorrow.organization = organization.pk  # type: ignore[attr-defined]
        page = text_of(tomorrow.get(url("account_connections", organization)))
        assert "Reconnect queue: 12 of 40 settled." in page
        assert walk_page(tomorrow, organization).context["turn"].name == "Store 12"
        walk(tomorrow, 28)

    assert {status for _name, status in states(organization)} == {Status.RECONNECTED}
    (queue,) = ReconnectQueue.objects.for_organization(organization)
    assert queue.status == ReconnectQueue.Status.FINISHED
    versions = SpApiGrant.objects.for_organization(organization).values_list("version", flat=True)
    assert set(versions) == {2}


# A limited reach ---------------------------------------------------------------------------


def test_what_a_limited_member_sees_no_more_is_in_no_queue_of_theirs(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    member: User,
    northstar: Connection,
    harbor: Connection,
) -> None:
    fill(browser, organization, northstar, harbor)
    memberships = Membership.objects.for_organization(organization).filter(user=member)
    memberships.update(is_limited=True)
    Reach.objects.for_organization(organization).create(
        membership=memberships.get(), connection=harbor
    )

    page = walk_page(browser, organization)
    with nothing_changes(amazon, events=()):
        answers = {
            press(browser, what, item_of(northstar)).status_code
            for what in ("open", "skip", "put_last", "take_up")
        }

    assert [line.name for line in page.context["lines"]] == ["Birch"]
    assert "Aspen" not in text_of(page)
    assert answers == {404}
    picks = walk_page(browser, organization).context
    assert picks["progress"].total == 1


# What is kept ------------------------------------------------------------------------------


def test_finished_queues_are_pruned_after_thirty_days_and_open_ones_stay(
    browser: Client, organization: Organization, northstar: Connection, harbor: Connection
) -> None:
    fill(browser, organization, northstar)
    browser.post(url("reconnect_queue_finish", organization))
    fill(browser, organization, harbor)
    finished = ReconnectQueue.objects.for_organization(organization).exclude(finished_at=None)

    run_command("prune", "--yes", "--json")
    assert finished.count() == 1
    finished.update(finished_at=timezone.now() - timedelta(days=31))
    run_command("prune", "--yes", "--json")

    assert states(organization) == [("Birch", "waiting")]
    assert Connection.objects.for_organization(organization).count() == 2


def test_the_queue_of_somebody_who_left_goes(
    browser: Client, organization: Organization, member: User, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    Membership.objects.for_organization(organization).filter(user=member).delete()

    run_command("prune", "--yes", "--json")

    assert states(organization) == []


def test_an_erased_organization_keeps_no_queue(
    amazon: RunningEmulator, browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    set_out(browser, northstar)
    owner = Actor.person(factories.owner_of(organization))
    erasure.delete_organization(organization=organization, actor=owner)

    run_command("prune", "--yes", "--json")

    assert ReconnectItem._base_manager.count() == 0
    assert ReconnectQueue._base_manager.count() == 0
    assert Organization.objects.get(pk=organization.pk).erased_at is not None


def test_a_queue_whose_rows_are_all_erased_can_be_finished(
    browser: Client, organization: Organization, northstar: Connection
) -> None:
    fill(browser, organization, northstar)
    Connection.objects.for_organization(organization).filter(pk=northstar.pk).delete()

    page = text_of(walk_page(browser, organization))
    browser.post(url("reconnect_queue_finish", organization))

    assert "Nothing is left to walk" in page
    assert "<progress" not in page
    assert "Begin with" not in text_of(walk_page(browser, organization))
    assert ReconnectQueue.objects.for_organization(organization).get().status == "finished"
