"""The main job with a real browser, real workers and the fake Amazon, as a person does it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.screen import (
    NORTHSTAR,
    add_connection,
    allow_at_amazon_ads,
    choose_action,
    confirm_at_seller_central,
    connect,
    new_name,
    new_organization,
    ppc,
    row,
    selling_partner,
)

pytestmark = [pytest.mark.needs_chromium, pytest.mark.timeout(240)]

# Within two seconds is the promise, and the page asks more often than that. A machine busy with
# other tests may answer late.
ASKS_EVERY_MILLISECONDS = 1900
FRESH_SECONDS = 5.0


@pytest.fixture
def page(window: SignedIn) -> Page:
    """The demo's owner in front of the empty list of a new organization."""
    page = window()
    new_organization(page, new_name("Walk"))
    return page


def press_until_focused(page: Page, name: str) -> None:
    """Tab through the open dialog as far as the control with this name."""
    for _ in range(20):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
        )
        if focused.split("\n")[0].startswith(name):
            return
    raise AssertionError(f"Tab never reached {name}")


def seconds_until_shown(page: Page, name: str, word: str) -> float:
    """From the moment the server shows the word in the row to the moment the open page does."""
    on_server: float | None = None
    shown = selling_partner(page, name).get_by_text(word, exact=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if on_server is None and has_word(page.request.get(page.url).text(), name, word):
            on_server = time.monotonic()
        if shown.count():
            return 0.0 if on_server is None else time.monotonic() - on_server
        page.wait_for_timeout(25)
    raise AssertionError(f"{word} was never shown")


def has_word(html: str, name: str, word: str) -> bool:
    rows = re.findall(r"<tbody.*?</tbody>", html, re.DOTALL)
    return any(f">{name}</span>" in row and f"<span>{word}</span>" in row for row in rows)


def test_a_seller_is_connected_onboarded_and_linked_without_a_reload(
    page: Page, amazon: Amazon
) -> None:
    seller = amazon.add_seller("Copper Kettle", "US", "CA", not_participating=["BR"])
    login = amazon.add_ads_login(seller, "US", "CA")
    name = "Copper Kettle"

    # Add New Connection, and the consent in Seller Central.
    expect(page.get_by_role("heading", name="Connect your first Amazon account")).to_be_visible()
    add_connection(page, name, "United States")
    confirm_at_seller_central(page, seller.seller_id)
    page.wait_for_url("**/connections/**")
    page.evaluate("window.isSamePage = true")

    # The screen fills itself, and asks.
    onboarding = selling_partner(page, name)
    expect(onboarding.locator(".marketplaces__names")).to_have_text(
        ["Canada, United States", "Brazil"]
    )
    expect(row(page, name)).to_contain_text(
        f"Connected Copper Kettle, Seller ID {seller.seller_id}. Is this right?"
    )
    row(page, name).get_by_role("button", name="Yes, keep it").press("Enter")
    expect(row(page, name)).not_to_contain_text("Is this right?")

    # Continue, with the keyboard alone.
    button = onboarding.get_by_role("link", name="Continue")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Onboard marketplaces of {name}")
    expect(dialog).to_be_visible()
    expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("United States")).to_be_checked()
    press_until_focused(page, "Canada")
    page.keyboard.press("Space")
    press_until_focused(page, "Start Now")
    page.keyboard.press("Enter")
    poll = page.locator("#poll")
    assert int(poll.get_attribute("data-poll-interval-fast") or 0) <= ASKS_EVERY_MILLISECONDS
    assert int(poll.get_attribute("data-poll-interval-slow") or 0) <= ASKS_EVERY_MILLISECONDS
    assert seconds_until_shown(page, name, "Started") < FRESH_SECONDS
    expect(dialog).to_be_hidden()
    expect(onboarding.locator("strong")).to_have_text(["Canada, United States"])
    expect(onboarding.get_by_role("link", name="Continue")).to_have_count(0)
    assert page.evaluate("window.isSamePage")

    # PPC: Amazon Ads and back.
    ppc(page, name).get_by_role("link", name="Continue").press("Enter")
    dialog = page.get_by_role("dialog", name=f"Connect PPC for {name}")
    expect(dialog.get_by_label("Canada")).to_be_checked()
    press_until_focused(page, "Connect PPC")
    page.keyboard.press("Enter")
    allow_at_amazon_ads(page, login)
    expect(ppc(page, name).locator(".status", has_text="Connected")).to_be_visible()
    expect(ppc(page, name).locator("strong")).to_have_text(["Canada, United States"])


def test_another_seller_on_reconnect_is_stopped_naming_both(page: Page, amazon: Amazon) -> None:
    expected = amazon.add_seller("Right Store", "US")
    other = amazon.add_seller("Other Store", "US")
    connect(page, "Right Store", "United States", expected.seller_id)

    choose_action(page, "Right Store", "Reconnect")
    expect(page.get_by_role("dialog")).to_contain_text(f"Seller ID {expected.seller_id}")
    page.get_by_role("button", name="Continue to Seller Central").click()
    confirm_at_seller_central(page, other.seller_id)

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "You signed in with another seller account"
    )
    expect(page.locator("dd")).to_have_text([expected.seller_id, other.seller_id])

    page.get_by_role("button", name="Start again").click()
    confirm_at_seller_central(page, expected.seller_id)
    page.wait_for_url("**/connections/**")
    expect(row(page, "Right Store")).to_contain_text(expected.seller_id)
    expect(page.locator("tbody.connection-row")).to_have_count(1)


def test_re_authorize_in_seller_central_renews_the_row(page: Page, amazon: Amazon) -> None:
    """The form of our page leads to Amazon and back: `form-action` of the CSP allows it."""
    seller = amazon.add_seller("Renewed Store", "US")
    connect(page, "Renewed Store", "United States", seller.seller_id)

    page.goto(f"{amazon.url}/sellercentral.amazon.com/apps/manage")
    listed = page.get_by_role("row").filter(has_text=seller.seller_id)
    listed.get_by_role("button", name="Re-Authorize").click()
    choices = page.get_by_role("main").get_by_role("listitem")
    known = choices.filter(has_text="has this seller already, as Renewed Store")
    known.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Renew the consent of Renewed Store?")
    page.get_by_role("button", name="Yes, go on to Amazon").click()

    page.wait_for_url("**/connections/**")
    expect(page.locator("main").get_by_text("Renewed Store is reconnected.")).to_be_visible()
    expect(page.locator("tbody.connection-row")).to_have_count(1)


def test_another_seller_on_reconnect_can_become_a_row_of_its_own(
    page: Page, amazon: Amazon
) -> None:
    expected = amazon.add_seller("Right Store", "US")
    other = amazon.add_seller("Other Store", "US")
    connect(page, "Right Store", "United States", expected.seller_id)
    choose_action(page, "Right Store", "Reconnect")
    page.get_by_role("button", name="Continue to Seller Central").click()
    confirm_at_seller_central(page, other.seller_id)

    page.get_by_role("button", name="Add that account as a new row").click()
    confirm_at_seller_central(page, other.seller_id)
    page.wait_for_url("**/connections/**")

    expect(page.locator("tbody.connection-row")).to_have_count(2)
    expect(row(page, "Right Store 2")).to_contain_text(other.seller_id)


def test_a_cancelled_consent_leaves_a_row_to_resume_or_remove(page: Page, amazon: Amazon) -> None:
    seller = amazon.add_seller("Second Thought", "US")
    list_url = page.url
    add_connection(page, "Second Thought", "United States")
    page.get_by_role("button", name="Cancel").click()
    page.goto(list_url)

    expect(selling_partner(page, "Second Thought")).to_contain_text("Waiting for consent")
    selling_partner(page, "Second Thought").get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Continue to Seller Central").click()
    confirm_at_seller_central(page, seller.seller_id)
    page.wait_for_url("**/connections/**")
    expect(row(page, "Second Thought")).to_contain_text(seller.seller_id)

    add_connection(page, "Never mind", "Canada")
    page.goto(list_url)
    choose_action(page, "Never mind", "Remove")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("main").get_by_text("Never mind was removed.")).to_be_visible()
    expect(row(page, "Never mind")).to_have_count(0)


def test_a_declined_ads_consent_ends_on_a_page_that_starts_again(
    page: Page, amazon: Amazon
) -> None:
    seller = amazon.add_seller("Quiet Fox", "US")
    login = amazon.add_ads_login(seller, "US")
    connect(page, "Quiet Fox", "United States", seller.seller_id)
    ppc(page, "Quiet Fox").get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="Connect PPC").click()
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "You declined, and nothing was changed"
    )
    expect(page.get_by_text("Reference code")).to_be_visible()
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Connect PPC").click()
    allow_at_amazon_ads(page, login)
    expect(ppc(page, "Quiet Fox").locator("strong")).to_have_text(["United States"])


def test_the_wrong_store_is_undone(page: Page, amazon: Amazon) -> None:
    wrong = amazon.add_seller("Somebody Else", "US")
    connect(page, "Mine", "United States", wrong.seller_id)

    row(page, "Mine").get_by_role("link", name="No, undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo the connection").click()

    expect(
        page.locator("main").get_by_text("Mine was disconnected and its token destroyed.")
    ).to_be_visible()
    expect(page.get_by_role("heading", name="Connect your first Amazon account")).to_be_visible()


def test_the_same_seller_is_connected_in_another_region(page: Page, amazon: Amazon) -> None:
    seller = amazon.add_seller("Wide World", "US", "DE")
    connect(page, "Wide World", "United States", seller.seller_id)

    choose_action(page, "Wide World", "Connect another region")
    dialog = page.get_by_role("dialog", name="Connect another region")
    dialog.get_by_label("Name").fill("Wide World Europe")
    dialog.get_by_label("Marketplace").select_option(label="Germany")
    dialog.get_by_role("button", name="Create").click()
    confirm_at_seller_central(page, seller.seller_id)
    page.wait_for_url("**/connections/**")

    expect(selling_partner(page, "Wide World Europe")).to_contain_text("Germany")
    expect(page.locator("tbody.connection-row")).to_have_count(2)


def test_a_seller_connected_twice_is_one_row_and_the_page_says_so(
    page: Page, amazon: Amazon
) -> None:
    seller = amazon.add_seller("Only Once", "US")
    connect(page, "Only Once", "United States", seller.seller_id)

    add_connection(page, "Once more", "United States")
    confirm_at_seller_central(page, seller.seller_id)
    page.wait_for_url("**/connections/**")

    expect(page.locator("tbody.connection-row")).to_have_count(1)
    expect(page.locator("#notices")).to_contain_text("Only Once")


@pytest.mark.one_product
def test_a_row_is_renamed_in_place(page: Page, amazon: Amazon, complaints: Complaints) -> None:
    seller = amazon.add_seller("Old Name", "US")
    connect(page, "Old Name", "United States", seller.seller_id)
    page.evaluate("window.isSamePage = true")
    complaints.expected.add(422)

    choose_action(page, "Old Name", "Rename")
    dialog = page.get_by_role("dialog", name="Rename Old Name")
    dialog.get_by_label("Name").fill("x" * 80)
    dialog.get_by_label("Name").evaluate("field => field.removeAttribute('maxlength')")
    dialog.get_by_label("Name").fill("x" * 81)
    dialog.get_by_role("button", name="Rename").click()
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Name").fill("New Name")
    dialog.get_by_role("button", name="Rename").click()

    expect(row(page, "New Name")).to_be_visible()
    expect(dialog).to_be_hidden()
    assert page.evaluate("window.isSamePage")


def test_the_details_unfold_and_stay_open_while_the_row_changes(page: Page, amazon: Amazon) -> None:
    seller = amazon.add_seller("Deep Drawer", "US", "CA", suspended=["CA"])
    connect(page, "Deep Drawer", "United States", seller.seller_id)

    row(page, "Deep Drawer").locator("summary", has_text="Details").click()
    details = row(page, "Deep Drawer").locator(".connection-details")
    expect(details).to_contain_text("Currency: CAD")
    expect(details).to_contain_text("Listings are switched off in Seller Central")

    selling_partner(page, "Deep Drawer").get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="Start Now").click()
    expect(selling_partner(page, "Deep Drawer").locator("strong")).to_have_text(["United States"])
    expect(details.locator("details")).to_have_attribute("open", "")


@pytest.mark.one_product
def test_a_viewer_sees_the_rows_and_no_action(window: SignedIn) -> None:
    page = window("viewer@example.com")
    page.goto(NORTHSTAR)

    expect(row(page, "Northstar Outdoors NA")).to_contain_text("Started")
    for name in ("Continue", "Reconnect", "Resume", "Add New Connection", "Yes, keep it"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    northstar = row(page, "Northstar Outdoors NA")
    northstar.locator("summary", has_text="Actions").click()
    expect(northstar.locator(".menu__item")).to_have_text(["Timeline"])


@pytest.mark.one_product
def test_an_outsider_finds_nothing(window: SignedIn, complaints: Complaints) -> None:
    complaints.expected.add(404)
    page = window("outsider@example.com")

    answer = page.goto(NORTHSTAR)

    assert answer is not None
    assert answer.status == 404
    assert "Northstar Outdoors" not in page.content()
