"""A browser, people who are signed in, and an ear for what the browser complains about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.product import (
    Product,
    embedded_product,
    existing_product,
    full_product,
    running_already,
)
from tests.browser.screen import sign_in
from tests.services import are_services_required, find_services

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 900}
PATIENCE_MILLISECONDS = 15_000
STARTING_SECONDS = 420

EMBEDDED = "embedded"
FULL = pytest.param("full", marks=[pytest.mark.needs_postgresql, pytest.mark.needs_redis])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What only looks at pages does so on the embedded defaults. The walk is made on PostgreSQL and
    Redis where they are, since `make walk` makes it on the embedded defaults."""
    if "product" in metafunc.fixturenames:
        looks_only = metafunc.definition.get_closest_marker("one_product") is not None
        kind = EMBEDDED if looks_only or not are_all_there() else FULL
        kinds = ["running" if running_already() else kind]
        metafunc.parametrize("product", kinds, indirect=True, scope="package")


def are_all_there() -> bool:
    found = find_services()
    is_there = bool(found.postgresql.address and found.redis.address)
    return is_there or are_services_required()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a kind waits until a whole product has started, on a busy machine too."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(STARTING_SECONDS))


@pytest.fixture(scope="package")
def product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """Ends with the browser tests: what runs on takes processors away from others."""
    start = {"embedded": embedded_product, "full": full_product}
    if running_already():
        yield existing_product(running_already())
        return
    with start[request.param](tmp_path_factory.mktemp(request.param)) as product:
        yield product


@pytest.fixture
def amazon(product: Product) -> Iterator[Amazon]:
    """The fake Amazon, with sellers of this test alone; their consents end with it."""
    amazon = Amazon(product.amazon_url)
    yield amazon
    amazon.leave()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For one module: while Playwright runs, Django refuses the ORM in this process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_services().chromium.address, args=CHROMIUM_ARGUMENTS
        )
        yield browser
        browser.close()


SignedIn = Callable[..., Page]


@pytest.fixture(scope="module")
def cookies(chromium: Browser, product: Product) -> Callable[[str], Any]:
    """Each person signs in once; later windows bring the cookies along."""
    known: dict[str, Any] = {}

    def of(email: str) -> Any:
        if email not in known:
            context = chromium.new_context()
            sign_in(context.new_page(), product.url, email)
            known[email] = context.storage_state()
            context.close()
        return known[email]

    return of


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Whatever the browser complained about fails the test at its end."""
    complaints = Complaints()
    yield complaints
    assert complaints.heard == []


@pytest.fixture
def window(
    chromium: Browser, product: Product, cookies: Callable[[str], Any], complaints: Complaints
) -> Iterator[SignedIn]:
    """Opens a window for a person ("" for nobody); options are those of a browser context."""
    with ExitStack() as stack:

        def opened(email: str = "owner@example.com", **options: Any) -> Page:
            state = cookies(email) if email else None
            context: BrowserContext = chromium.new_context(
                base_url=product.url, storage_state=state, **{"viewport": DESKTOP, **options}
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MILLISECONDS)
            page = context.new_page()
            complaints.listen(page)
            return page

        yield opened
