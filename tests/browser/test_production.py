"""What only production shows: its own error pages, https, and a product nobody configured yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import LOOKS, objections_in
from tests.browser.complaints import Complaints
from tests.browser.product import Product
from tests.browser.production import production_web
from tests.browser.screen import NORTHSTAR, choose_action, new_name, new_organization, sign_in

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]


@pytest.fixture(scope="module")
def url(product: Product) -> Iterator[str]:
    if product.var_dir is None:
        pytest.skip("needs the files of a product that the tests started")
    with production_web(product) as url:
        yield url


@pytest.fixture
def page(chromium: Browser, url: str, complaints: Complaints) -> Iterator[Page]:
    """The demo's owner, over https."""
    context = chromium.new_context(base_url=url, ignore_https_errors=True, reduced_motion="reduce")
    page = context.new_page()
    complaints.listen(page)
    sign_in(page, url, "owner@example.com")
    yield page
    context.close()


def objections(page: Page, complaints: Complaints) -> list[str]:
    return [found for look in LOOKS for found in objections_in(page, look, complaints)]


def test_cookies_are_bound_to_this_host_and_hidden_from_scripts(page: Page) -> None:
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}

    assert {"__Host-session", "__Host-csrf"} <= set(cookies)
    for name in ("__Host-session", "__Host-csrf"):
        assert cookies[name]["httpOnly"]
        assert cookies[name]["secure"]
        assert cookies[name]["sameSite"] == "Lax"


def test_a_page_that_is_not_there_says_so_in_plain_words(
    page: Page, complaints: Complaints
) -> None:
    complaints.expected.add(404)

    page.goto("/o/nobody-has-this/connections/")

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "Traceback" not in page.content()
    assert objections(page, complaints) == []


def test_nobody_is_sent_to_amazon_without_our_credentials(
    page: Page, complaints: Complaints
) -> None:
    complaints.expected.add(503)
    new_organization(page, new_name("Not ready"))
    page.get_by_role("link", name="Add New Connection").first.click()
    page.get_by_label("Name").fill("Too early")
    page.get_by_label("Marketplace").select_option(label="Germany")

    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("heading", name="We cannot send you to Amazon yet")).to_be_visible()
    assert objections(page, complaints) == []
    page.get_by_role("link", name="Back to Account Connections").click()
    listed = page.locator("#connection-list")
    expect(listed.get_by_text("Waiting for consent")).to_be_visible()


def test_the_list_keeps_its_look(page: Page, complaints: Complaints) -> None:
    page.goto(NORTHSTAR)

    expect(page.get_by_text("Northstar Outdoors NA").first).to_be_visible()
    assert objections(page, complaints) == []


def test_a_refused_form_says_why_where_it_was_sent(page: Page, complaints: Complaints) -> None:
    complaints.expected.add(403)
    page.goto(NORTHSTAR)
    choose_action(page, "Northstar Outdoors NA", "Rename")
    dialog = page.get_by_role("dialog", name="Rename Northstar Outdoors NA")
    dialog.locator("[name=csrfmiddlewaretoken]").evaluate("field => field.remove()")

    for _ in range(2):
        with page.expect_response(lambda answer: answer.status == 403):
            dialog.get_by_role("button", name="Rename").click()
        expect(dialog.get_by_role("alert")).to_contain_text("This form is no longer valid")

    expect(dialog.get_by_role("alert")).to_have_count(1)
    expect(dialog.get_by_label("Name")).to_have_value("Northstar Outdoors NA")
    assert objections(page, complaints) == []
