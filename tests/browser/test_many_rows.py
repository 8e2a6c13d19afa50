"""Pages of many rows: the width they take, what can be hit, and what stands beside what."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import SignedIn
from tests.browser.pages import asked_client
from tests.browser.screen import NORTHSTAR, scrolls_sideways

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

ORGANIZATION = "/o/northstar-trading/"
CALENDAR, NOTIFICATIONS = f"{ORGANIZATION}calendar", f"{ORGANIZATION}notifications"
DESKTOP, LAPTOP, ZOOMED, PHONE, SMALL = 1440, 1000, 720, 360, 320
LEAST_TARGET = 24
# Notices are derived once a minute by the sweep.
NOTICES_SECONDS = 150


def at_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})


def open_notices(page: Page) -> Locator:
    """The first kind of notices, once there are some; reloading is what a person would do."""
    page.goto(NOTIFICATIONS)
    kinds = page.locator("section.card--flush:has(> table)")
    for _ in range(NOTICES_SECONDS):
        if kinds.count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    return kinds.first


@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_rows_have_the_width_of_the_page_and_nothing_scrolls_sideways(
    window: SignedIn, language: str
) -> None:
    asked_client(window())
    page = window(locale=language)
    open_notices(page)
    pages = (CALENDAR, NOTIFICATIONS, f"{ORGANIZATION}client-links", f"{ORGANIZATION}authorisers")
    for path in pages:
        at_width(page, DESKTOP)
        page.goto(path)
        table = page.get_by_role("table").first.bounding_box()
        assert table is not None
        assert table["width"] > 1200, path
        for width in (1200, LAPTOP, 800, ZOOMED, PHONE, SMALL):
            at_width(page, width)
            assert not scrolls_sideways(page), (path, width)


@pytest.mark.parametrize("width", [DESKTOP, LAPTOP, ZOOMED, PHONE, SMALL])
@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_the_days_to_be_told_again_are_on_the_screen(
    window: SignedIn, width: int, language: str
) -> None:
    page = window(locale=language)
    at_width(page, width)
    menu = open_notices(page).locator("details.menu").first

    menu.locator("summary").click()

    panel = menu.locator(".menu__panel").bounding_box()
    assert panel is not None
    assert 0 <= panel["x"] <= width - panel["width"]


@pytest.mark.parametrize("width", [ZOOMED, PHONE])
def test_what_a_cell_says_stands_in_one_column_beside_its_label(
    window: SignedIn, width: int
) -> None:
    page = window()
    asked_client(page)
    at_width(page, width)

    lefts = page.locator('td[data-label="Asked"]').first.evaluate(
        """(cell) => {
          const range = document.createRange();
          const shown = [...cell.childNodes].filter((node) => node.textContent.trim());
          return shown.map((node) => {
            range.selectNodeContents(node);
            const boxes = [...range.getClientRects()].filter((box) => box.width > 1);
            return Math.round(Math.min(...boxes.map((box) => box.left)));
          });
        }"""
    )

    assert len(lefts) > 1
    assert len(set(lefts)) == 1


def test_a_pill_is_as_wide_as_its_word_on_a_phone(window: SignedIn) -> None:
    page = window()
    at_width(page, PHONE)
    page.goto(f"{ORGANIZATION}people")

    pills = page.locator('td[data-label="Role"] .pill')

    widths = [box["width"] for box in (pill.bounding_box() for pill in pills.all()) if box]
    assert len(widths) > 2
    assert max(widths) < 90


@pytest.mark.parametrize("width", [DESKTOP, ZOOMED, PHONE, SMALL])
def test_each_month_can_be_hit(window: SignedIn, width: int) -> None:
    page = window()
    at_width(page, width)
    for path, links in (
        (f"{NORTHSTAR}pictures", ".picture__months a"),
        (CALENDAR, "a.jumps__jump"),
    ):
        page.goto(path)
        boxes = [link.bounding_box() for link in page.locator(links).all()]
        sizes = [(round(box["width"]), round(box["height"])) for box in boxes if box]
        assert sizes, path
        assert [size for size in sizes if min(size) < LEAST_TARGET] == [], path


def test_a_jump_unfolds_its_month(window: SignedIn) -> None:
    page = window(java_script_enabled=False)
    page.goto(CALENDAR)
    jump = page.locator("a.jumps__jump").last
    count = jump.locator("strong").inner_text()

    jump.click()

    opened = page.locator("details[id^=month-][open]")
    expect(opened).to_have_count(1)
    expect(opened.get_by_role("table")).to_be_in_viewport()
    assert str(opened.locator("tbody tr").count()) == count


@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_states_out_of_sight_are_announced_by_a_shade(window: SignedIn, language: str) -> None:
    """They lie below the others, never beside them."""
    page = window(locale=language)
    at_width(page, SMALL)
    page.goto(NORTHSTAR)
    states = page.locator("#list-overview .overview__states")
    expect(states).to_be_attached()

    beside, below, attachments = states.evaluate(
        """(list) => {
          list.parentElement.style.setProperty("--state-lines", 1);
          return [list.scrollWidth - list.clientWidth, list.scrollHeight - list.clientHeight,
          getComputedStyle(list).backgroundAttachment.split(", ")];
        }"""
    )

    assert beside == 0
    assert below > 0
    assert attachments == ["local", "local", "scroll", "scroll"]


def test_one_notice_is_known_and_the_others_are_not(window: SignedIn) -> None:
    """Without JavaScript: the buttons of a row belong to the form of its kind."""
    page = window(java_script_enabled=False)
    open_notices(page)
    buttons = page.locator('button[name="notice"]')
    known, *others = values_of(buttons)

    buttons.first.click()

    expect(
        page.locator("main").get_by_text("Your colleagues see that you know of 1 notice.")
    ).to_be_visible()
    expect(page.locator(f'button[name="notice"][value="{known}"]')).to_have_count(0)
    # The sweep may have taken one away meanwhile.
    left = values_of(buttons)
    assert left
    assert set(left) <= set(others)
    expect(page.get_by_text("Olivia Owner knows of it since")).to_have_count(1)


def values_of(buttons: Locator) -> list[str]:
    return [one.get_attribute("value") or "" for one in buttons.all()]


@pytest.mark.parametrize("width", [DESKTOP, ZOOMED, PHONE, SMALL])
@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_the_menu_of_a_row_is_on_the_screen_under_its_button(
    window: SignedIn, width: int, language: str
) -> None:
    page = window(locale=language)
    at_width(page, width)
    page.goto(NORTHSTAR)
    menu = page.locator("details.connection-account__menu").first

    menu.locator("summary").click()

    panel, button = menu.locator(".menu__panel").bounding_box(), menu.bounding_box()
    assert panel is not None
    assert button is not None
    assert 0 <= panel["x"] <= width - panel["width"]
    assert 0 <= panel["y"] - button["y"] - button["height"] <= 8


def test_a_healthy_row_is_low_and_its_details_cover_nothing(window: SignedIn) -> None:
    page = window()
    page.goto(NORTHSTAR)
    healthy = page.locator(".connection-row", has=page.locator(".connection-account__id")).filter(
        has_not=page.locator(".connection-notices")
    )
    for width in (1000, 1200, DESKTOP):
        at_width(page, width)
        for row in healthy.all():
            summary = row.locator(".connection-details summary").bounding_box()
            words = row.locator('td[data-label="PPC"]').evaluate(
                """cell => { const range = document.createRange();
                range.selectNodeContents(cell); return range.getBoundingClientRect().bottom; }"""
            )
            assert summary is not None
            assert words <= summary["y"], width
    box = healthy.first.bounding_box()
    assert box is not None
    assert box["height"] < 200


def test_on_a_phone_what_is_wrong_stands_before_what_is_well(window: SignedIn) -> None:
    page = window()
    at_width(page, PHONE)
    page.goto(NORTHSTAR)
    row = page.locator(".connection-row", has=page.locator(".connection-notices")).first
    parts = [".connection-account", ".connection-notice", ".connection-mws", ".connection-health"]

    tops = [row.locator(part).first.bounding_box() for part in parts]

    assert all(box is not None for box in tops)
    places = [box["y"] for box in tops if box is not None]
    assert places == sorted(places)


@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_the_name_of_the_organization_is_read_whole_on_a_phone(
    window: SignedIn, language: str
) -> None:
    page = window(locale=language)
    at_width(page, SMALL)
    page.goto(NORTHSTAR)
    switcher = page.locator(".app-nav > .menu").first

    label = switcher.locator(".menu__label")
    assert label.inner_text() == "Northstar Trading"
    assert label.evaluate("label => label.scrollWidth <= label.clientWidth")
    switcher.locator("summary").click()
    panel = switcher.locator(".menu__panel").bounding_box()
    assert panel is not None
    assert 0 <= panel["x"] <= SMALL - panel["width"]


def test_the_bar_of_the_fake_amazon_takes_no_line_of_a_phone(window: SignedIn) -> None:
    page = window()
    at_width(page, SMALL)
    page.goto(NORTHSTAR)
    bar = page.locator(".emulator-bar")
    expect(bar).to_be_in_viewport()

    page.mouse.wheel(0, 500)

    expect(bar).not_to_be_in_viewport()


def test_what_is_folded_away_is_printed(window: SignedIn) -> None:
    page = window()
    page.goto(CALENDAR)
    folded = page.locator("details[id^=month-]:not([open])").first
    expect(folded.get_by_role("table")).to_be_hidden()

    page.emulate_media(media="print")

    expect(folded.locator("table")).to_be_visible()


def test_the_filter_that_is_on_is_underlined_in_forced_colours(window: SignedIn) -> None:
    page = window(forced_colors="active")
    page.goto(NORTHSTAR)

    expect(page.locator("#view-all")).to_have_css("text-decoration-line", "underline")


def test_primary_buttons_can_be_told_in_forced_colours(window: SignedIn) -> None:
    page = window(forced_colors="active")
    page.goto(NORTHSTAR)
    colours = {
        kind: page.locator(f".button--{kind}:visible").first.evaluate(
            "one => getComputedStyle(one).backgroundColor"
        )
        for kind in ("primary", "secondary")
    }

    assert colours["primary"] != colours["secondary"]


def test_a_printed_page_of_the_list_says_which_rows_it_has(window: SignedIn) -> None:
    page = window()
    page.goto(NORTHSTAR)
    rows, pages = page.locator("tbody.connection-row"), page.locator(".pagination")
    page.emulate_media(media="print")

    expect(rows.first).to_be_visible()
    expect(page.locator(".connection-account__tick:visible, .bulk-bar:visible")).to_have_count(0)
    # A page of its own, for one of more rows than the demo has.
    page.goto("/components")
    expect(pages.locator("p").first).to_be_visible()
    expect(pages.locator(".button:visible")).to_have_count(0)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_short_rows_take_much_less_height_and_stay_short(window: SignedIn, width: int) -> None:
    page = window()
    at_width(page, width)
    page.goto(f"{NORTHSTAR}?sort=region")
    table = page.locator(".connections__table")

    def height() -> float:
        box = table.bounding_box()
        assert box is not None
        return box["height"]

    full = height()
    page.get_by_role("link", name="Short rows").click()
    expect(page.get_by_role("link", name="Full rows")).to_be_visible()
    assert page.url.endswith("?sort=region")
    assert height() < 0.8 * full
    expect(table.locator(".marketplace-list:visible")).to_have_count(0)
    expect(table.locator(".connection-health:visible").first).to_be_visible()
    expect(table.locator("summary:has-text('Details'):visible").first).to_be_visible()

    page.goto(NORTHSTAR)
    assert height() < 0.8 * full
    page.get_by_role("link", name="Full rows").click()
    expect(page.get_by_role("link", name="Short rows")).to_be_visible()
    assert height() == full
