"""What a person does at the product and at Amazon, as steps of a walk."""

from __future__ import annotations

import re
import secrets

from playwright.sync_api import Locator, Page, expect

from tests.demo.people import PASSWORD, STAFF_SECRET
from tests.demo.second_step import code_for

OWNER = "owner@example.com"
NORTHSTAR = "/o/northstar-trading/connections/"


def new_name(name: str) -> str:
    """A demo that stays is walked again and again."""
    return f"{name} {secrets.token_hex(3)}"


def sign_in(page: Page, base_url: str, email: str) -> None:
    page.goto(f"{base_url}/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/accounts/login" not in url)
    # A code serves once: the next window that signs in waits for the next one.
    while "/accounts/2fa/authenticate" in page.url:
        page.get_by_label("Code").fill(code_for(STAFF_SECRET))
        page.locator("main form button[type=submit]").first.click()
        page.wait_for_load_state()
        page.wait_for_timeout(1000)


def new_organization(page: Page, name: str) -> None:
    """Leads to its empty list."""
    page.goto("/organizations/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create organization").click()
    page.wait_for_url("**/connections/")


def add_connection(page: Page, name: str, marketplace: str) -> None:
    """From the list to Seller Central."""
    page.get_by_role("link", name="Add New Connection").first.click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Marketplace").select_option(label=marketplace)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("Selling account")).to_be_visible()


def confirm_at_seller_central(page: Page, seller_id: str) -> None:
    page.get_by_label("Selling account").select_option(seller_id)
    page.get_by_role("button", name="Confirm").click()


def allow_at_amazon_ads(page: Page, login: str) -> None:
    page.get_by_label("Amazon login").select_option(login)
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url("**/connections/**")


def row(page: Page, name: str) -> Locator:
    exactly = re.compile(f"^{re.escape(name)}$")
    return page.locator("tbody.connection-row").filter(
        has=page.locator(".connection-account__name", has_text=exactly)
    )


def cell(page: Page, name: str, column: str) -> Locator:
    return row(page, name).locator(f'td[data-label="{column}"]')


def selling_partner(page: Page, name: str) -> Locator:
    return cell(page, name, "Selling Partner")


def ppc(page: Page, name: str) -> Locator:
    return cell(page, name, "PPC")


def choose_action(page: Page, name: str, action: str) -> None:
    """From the row's menu."""
    row(page, name).locator("summary", has_text="Actions").click()
    row(page, name).locator(".menu__item", has_text=re.compile(f"^{action}$")).click()


def rename(page: Page, name: str, new: str) -> None:
    """By its menu, until the list shows the new name."""
    choose_action(page, name, "Rename")
    page.get_by_role("textbox", name="Name").fill(new)
    page.get_by_role("dialog").get_by_role("button").last.click()
    expect(row(page, new)).to_be_visible()


def connect(page: Page, name: str, marketplace: str, seller_id: str) -> None:
    """The whole trip, until the worker has read the marketplaces."""
    add_connection(page, name, marketplace)
    confirm_at_seller_central(page, seller_id)
    page.wait_for_url("**/connections/**")
    expect(selling_partner(page, name).locator(".marketplaces").first).to_be_visible()


def scrolls_sideways(page: Page) -> bool:
    wider: bool = page.evaluate(
        "document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth"
    )
    return wider
