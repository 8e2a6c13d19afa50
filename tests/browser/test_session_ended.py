"""A session that ends under an open dialog takes nothing away of what was typed there, nor do
rights that end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import LOOKS, SMALL_PHONE, objections_in
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.product import Product
from tests.browser.screen import NORTHSTAR, OWNER, new_name, scrolls_sideways, sign_in
from tests.demo.people import PASSWORD

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]


@pytest.fixture
def page(product: Product, window: SignedIn, complaints: Complaints) -> Page:
    """With a session of its own, which ends: others share theirs."""
    complaints.expected.add(401)
    page = window("", reduced_motion="reduce")
    sign_in(page, product.url, OWNER)
    return page


def sign_out_elsewhere(page: Page) -> None:
    other = page.context.new_page()
    other.goto(NORTHSTAR)
    other.locator("summary", has_text="Your account").click()
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    other.close()


def save_a_view(page: Page, name: str) -> None:
    """The session ends before it is sent, and the list asks meanwhile whether it has changed."""
    page.goto(f"{NORTHSTAR}?region=EU")
    page.get_by_role("link", name="Save this view").click()
    page.get_by_label("Name").fill(name)
    sign_out_elsewhere(page)
    with page.expect_response(lambda answer: answer.status == 401):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    send(page)
    expect(page.get_by_role("alert")).to_contain_text("You are not signed in any more.")


def send(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Save").click()


def test_what_was_typed_is_sent_after_a_sign_in_in_another_tab(page: Page) -> None:
    name = new_name("Typed before")
    save_a_view(page, name)
    with page.expect_response(lambda answer: answer.status == 401):
        send(page)
    expect(page.get_by_role("alert")).to_have_count(1)

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in in a new tab").click()
    tab = opened.value
    tab.get_by_label("Email").fill(OWNER)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in", exact=True).click()
    tab.wait_for_url(f"**{NORTHSTAR}*")
    expect(page.get_by_label("Name")).to_have_value(name)
    send(page)

    expect(page.get_by_role("dialog")).to_be_hidden()
    page.goto(f"{NORTHSTAR}views")
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_a_page_without_a_dialog_leads_to_the_sign_in(page: Page) -> None:
    page.goto(f"{NORTHSTAR}?region=EU")

    sign_out_elsewhere(page)

    # The list asks by itself whether it has changed.
    page.wait_for_url(re.compile(r"/accounts/login/\?next="))
    expect(page.get_by_label("Email")).to_be_visible()


def test_a_dialog_whose_session_has_ended_is_accessible(page: Page, complaints: Complaints) -> None:
    save_a_view(page, new_name("Never sent"))

    found = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    page.set_viewport_size(SMALL_PHONE)

    assert {look: words for look, words in found.items() if words} == {}
    assert not scrolls_sideways(page), "scrolls sideways at 320 pixels"


def become(page: Page, cookies: Callable[[str], Any], email: str) -> None:
    """What the page asks from now on, somebody with fewer rights asks."""
    found = cookies(email)["cookies"]
    page.context.add_cookies([one for one in found if one["name"].endswith("session")])


def test_a_refused_dialog_is_told_in_the_page_that_stays(
    window: SignedIn, cookies: Callable[[str], Any], complaints: Complaints
) -> None:
    complaints.expected |= {403, 404}
    page = window("admin@example.com")
    page.goto(NORTHSTAR)
    page.locator(".connection-account__tick").first.check()
    page.get_by_role("button", name="Tag the ticked connections").click()
    dialog = page.get_by_role("dialog", name="Tag connections")
    dialog.get_by_label("New tag").fill("Never put on")

    become(page, cookies, "viewer@example.com")
    dialog.get_by_role("button", name="Put the tag on").click()

    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_label("New tag")).to_have_value("Never put on")
    become(page, cookies, "outsider@example.com")
    with page.expect_response(lambda answer: answer.status == 404):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(dialog).to_be_visible()
    expect(page.locator("tbody.connection-row").first).to_be_attached()
