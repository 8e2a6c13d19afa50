"""Every page and pop-up, light and dark, on a desk and on a phone: axe finds nothing, nothing
scrolls sideways, the browser complains about nothing."""

from __future__ import annotations

import pytest

from tests.browser.accessibility import LOOKS, SMALL_PHONE, objections_in
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import PLACES, Place
from tests.browser.screen import scrolls_sideways

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_it_is_accessible_and_fits(place: Place, window: SignedIn, complaints: Complaints) -> None:
    complaints.expected.add(place.status)
    page = window(place.person, reduced_motion="reduce")

    place.arrive(page)
    objections = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    page.set_viewport_size(SMALL_PHONE)
    is_too_wide = scrolls_sideways(page)

    assert {look: found for look, found in objections.items() if found} == {}
    assert not is_too_wide, "scrolls sideways at 320 pixels"
