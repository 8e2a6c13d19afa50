"""The pages of the second sign-in step, which exist only for somebody who has switched it on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from tests.browser.accessibility import LOOKS, objections_in
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import behind_password
from tests.browser.product import Product
from tests.demo.people import PASSWORD
from tests.demo.second_step import code_for

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.one_product,
]

# Nobody else in these tests signs in as this person: the second step would stand in the way.
PERSON = "admin@example.com"
TOTP = "/accounts/2fa/totp"


def submit(page: Page) -> None:
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_load_state()


def switch_on(page: Page) -> None:
    behind_password(f"{TOTP}/activate/")(page)
    found = re.search(r"\b[A-Z2-7]{32}\b", page.content())
    assert found, "the page shows no secret to type into an app"
    for _ in range(2):  # the half minute of a code may end on its way
        if page.url.endswith("/activate/"):
            page.locator("input[name=code]").fill(code_for(found[0]))
            submit(page)


def test_the_pages_of_the_second_step_are_accessible(
    product: Product, window: SignedIn, complaints: Complaints
) -> None:
    page = window(PERSON, reduced_motion="reduce")
    objections: dict[str, list[str]] = {}

    def look() -> None:
        for kind in LOOKS:
            found = objections_in(page, kind, complaints)
            if found:
                objections[f"{page.url} {kind}"] = found

    switch_on(page)
    try:
        for path in ("", "recovery-codes/", "recovery-codes/generate/", "webauthn/"):
            behind_password(f"/accounts/2fa/{path}")(page)
            assert page.url == f"{product.url}/accounts/2fa/{path}"
            look()
        page.context.clear_cookies()
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill(PERSON)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url("**/2fa/authenticate/**")
        look()
    finally:
        back = window(PERSON, reduced_motion="reduce")
        behind_password(f"{TOTP}/deactivate/")(back)
        submit(back)
        assert back.url == f"{product.url}/accounts/2fa/"

    assert objections == {}
