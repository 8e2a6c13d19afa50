"""Inviting somebody who has no account, on a phone, until the access ends again."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.accessibility import DESK, SMALL_PHONE
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import behind_password
from tests.browser.product import Product
from tests.browser.screen import NORTHSTAR, scrolls_sideways
from tests.demo.people import PASSWORD

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]

PEOPLE = "/o/northstar-trading/people"
LONGEST_NAME = 150
LINK = re.compile(r"http://localhost:\d+(/invitation/[\w-]{43})\s")
CODE = re.compile(r"^([A-Z0-9]+-[A-Z0-9]+)\s*$", re.MULTILINE)


def found_in_mail(product: Product, to: str, pattern: re.Pattern[str]) -> str:
    """In the newest mail to this address, as the demo keeps it."""
    assert product.var_dir is not None
    files = sorted(Path(product.var_dir, "mail").iterdir(), key=lambda file: file.stat().st_mtime)
    texts = [file.read_text() for file in files if f"To: {to}" in file.read_text()]
    found = [match[1] for text in texts if (match := pattern.search(text))]
    assert found, texts
    return found[-1]


def invite(page: Page, email: str) -> None:
    behind_password(f"{PEOPLE}/invite")(page)
    page.get_by_label("Email address").fill(email)
    page.get_by_role("button", name="Send the invitation").click()
    expect(
        page.locator("main").get_by_text(f"The invitation is on its way to {email}.")
    ).to_be_visible()


def sign_up(page: Page, product: Product, email: str) -> None:
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(f"{PASSWORD}-{secrets.token_hex(4)}")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_label("Code")).to_be_visible()
    page.get_by_label("Code").fill(found_in_mail(product, email, CODE))
    page.locator("main form button[type=submit]").first.click()


def test_somebody_is_invited_joins_on_a_phone_and_is_removed(
    product: Product, window: SignedIn, complaints: Complaints
) -> None:
    if product.var_dir is None:
        pytest.skip("reads the mails of a product of its own")
    complaints.expected.add(404)
    email = f"grace-{secrets.token_hex(4)}@example.com"
    desk, phone = window(), window("", viewport=SMALL_PHONE)

    invite(desk, email)
    phone.goto(found_in_mail(product, email, LINK))
    assert phone.url.endswith("/invitation")
    expect(phone.get_by_role("heading", name="Join Northstar Trading?")).to_be_visible()
    assert not scrolls_sideways(phone)
    sign_up(phone, product, email)
    phone.get_by_role("button", name="Join").click()
    expect(
        phone.locator("main").get_by_text("You are a member of Northstar Trading now.")
    ).to_be_visible()
    phone.goto(PEOPLE)
    assert not scrolls_sideways(phone)

    desk.goto(PEOPLE)
    row = desk.get_by_role("row").filter(has_text=email)
    row.get_by_role("link", name="Remove").click()
    desk.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(desk.locator("main").get_by_text(f"{email} has no access any more.")).to_be_visible()
    answer = phone.goto(NORTHSTAR)
    assert answer is not None
    assert answer.status == 404


@pytest.mark.parametrize("size", [DESK, SMALL_PHONE], ids=["desk", "phone"])
def test_a_name_of_one_long_word_does_not_widen_the_page(
    window: SignedIn, size: ViewportSize
) -> None:
    page = window(viewport=size)
    page.goto(PEOPLE)
    name = page.locator(".person__words > span:first-child").first

    name.evaluate("(name, longest) => { name.textContent = 'W'.repeat(longest); }", LONGEST_NAME)

    assert not scrolls_sideways(page)
