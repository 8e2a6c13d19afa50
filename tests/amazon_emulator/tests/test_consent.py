from __future__ import annotations

import re

import pytest

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.marketplaces import SELLER_CENTRAL_HOSTS
from tests.amazon_emulator.tests.conftest import Caller, query_of

CALLBACK = "http://localhost:8000/amazon/spapi/callback"


def error_code(text: str) -> str:
    found = re.search(r"Error code: <strong>(\w+)</strong>", text)
    return found.group(1) if found else ""


@pytest.mark.parametrize("host", sorted(SELLER_CENTRAL_HOSTS))
def test_every_regional_host_has_a_consent_page(caller: Caller, host: str) -> None:
    reply = caller.get(caller.consent_path(host))

    assert reply.status_code == 200
    assert "Confirm</button>" in reply.text
    assert "Cancel</button>" in reply.text
    assert '<label for="seller">' in reply.text
    assert "Fake Amazon" in reply.text


def test_the_account_switcher_lists_the_accounts_of_the_region(caller: Caller) -> None:
    europe = caller.get(caller.consent_path("sellercentral-europe.amazon.com")).text
    america = caller.get(caller.consent_path("sellercentral.amazon.com.mx")).text

    assert demo.DESERT_ROSE in europe
    assert demo.BLUE_HARBOR not in europe
    assert demo.BLUE_HARBOR in america
    assert demo.SAKURA not in america


def test_confirm_comes_back_with_state_seller_and_code_and_nothing_else(caller: Caller) -> None:
    reply = caller.confirm(demo.NORTHSTAR, state="s +/=&ü")

    query = query_of(reply)
    assert reply.status_code == 302
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    assert sorted(query) == ["selling_partner_id", "spapi_oauth_code", "state"]
    assert query["state"] == "s +/=&ü"
    assert query["selling_partner_id"] == demo.NORTHSTAR


def test_without_redirect_uri_the_first_registered_one_is_used(
    emulator: RunningEmulator, caller: Caller
) -> None:
    emulator.world.applications["spapi"].redirect_uris = [f"{CALLBACK}?a=1", "http://x.test/"]

    reply = caller.confirm(redirect_uri=None)

    assert reply.headers["Location"].startswith(f"{CALLBACK}?a=1&state=")


def test_the_active_account_is_chosen_and_authorized_when_nobody_switches(
    emulator: RunningEmulator, caller: Caller
) -> None:
    emulator.scenario("wrong_account", seller=demo.BLUE_HARBOR)

    page = caller.get(caller.consent_path()).text
    reply = caller.post(caller.consent_path(), data={"decision": "confirm"})

    assert f'<option value="{demo.BLUE_HARBOR}" selected>' in page
    assert query_of(reply)["selling_partner_id"] == demo.BLUE_HARBOR


def test_accounts_stand_by_name_so_that_typing_finds_one_of_many(
    emulator: RunningEmulator, caller: Caller
) -> None:
    for seller, name in (("A9ZEBRA", "Zebra"), ("A9ASPEN2", "Aspen"), ("A9ASPEN1", "Aspen")):
        emulator.world.add_seller(seller_id=seller, name=name, marketplaces=["US"])

    page = caller.get(caller.consent_path()).text

    places = [page.index(f'value="{seller}"') for seller in ("A9ASPEN1", "A9ASPEN2", "A9ZEBRA")]
    assert places == sorted(places)


def test_cancel_stays_on_a_page_of_amazon(emulator: RunningEmulator, caller: Caller) -> None:
    reply = caller.post(
        caller.consent_path(), data={"seller": demo.NORTHSTAR, "decision": "cancel"}
    )

    assert reply.status_code == 200
    assert "Location" not in reply.headers
    assert CALLBACK not in reply.text
    assert not emulator.world.grants


def test_an_unknown_application_is_MD1000(caller: Caller) -> None:
    reply = caller.get(caller.consent_path(application_id="amzn1.sp.solution.other"))

    assert error_code(reply.text) == "MD1000"


def test_a_draft_needs_version_beta(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("draft_app")

    without = caller.confirm()
    with_beta = caller.confirm(version="beta")

    assert error_code(without.text) == "MD1000"
    assert "spapi_oauth_code" in query_of(with_beta)


def test_a_published_application_does_not_take_version_beta(caller: Caller) -> None:
    assert error_code(caller.get(caller.consent_path(version="beta")).text) == "MD1000"


@pytest.mark.parametrize(
    "redirect_uri",
    [f"{CALLBACK}/", f"{CALLBACK}?a=1", CALLBACK.upper(), "http://evil.example/", f" {CALLBACK}"],
)
def test_a_redirect_uri_must_be_registered_letter_for_letter(
    caller: Caller, redirect_uri: str
) -> None:
    page = caller.get(caller.consent_path(redirect_uri=redirect_uri))
    confirmed = caller.confirm(redirect_uri=redirect_uri)

    assert error_code(page.text) == error_code(confirmed.text) == "MD5101"
    assert "Location" not in confirmed.headers


def test_a_fragment_in_the_redirect_uri_is_MD5110(caller: Caller) -> None:
    reply = caller.get(caller.consent_path(redirect_uri=f"{CALLBACK}#top"))

    assert error_code(reply.text) == "MD5110"


@pytest.mark.parametrize("scenario", ["no_oauth_addresses", "private_app"])
def test_without_addresses_or_when_private_it_is_MD9100(
    emulator: RunningEmulator, caller: Caller, scenario: str
) -> None:
    emulator.scenario(scenario)

    assert error_code(caller.get(caller.consent_path()).text) == "MD9100"


def test_a_secondary_user_cannot_consent(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("secondary_user", seller=demo.NORTHSTAR)

    refused = caller.confirm(demo.NORTHSTAR)
    other = caller.confirm(demo.BLUE_HARBOR)

    assert error_code(refused.text) == "SPDC8143"
    assert other.status_code == 302


def test_a_vendor_account_is_not_supported(caller: Caller) -> None:
    assert error_code(caller.confirm(demo.VENDOR).text) == "SPSA0404"


def test_an_account_of_another_region_has_no_permission_here(caller: Caller) -> None:
    reply = caller.confirm(demo.SAKURA)

    assert reply.status_code == 403
    assert "You do not have permissions to view this page" in reply.text


def test_the_26th_seller_is_refused_while_unlisted(
    emulator: RunningEmulator, caller: Caller
) -> None:
    for number in range(25):
        emulator.world.authorize(f"AOTHERSELLER{number:02}", "NA")

    refused = caller.confirm(demo.NORTHSTAR)
    emulator.world.authorize("AOTHERSELLER00", "EU")
    emulator.world.revoke("AOTHERSELLER01")
    after_a_revocation = caller.confirm(demo.NORTHSTAR)
    again = caller.confirm(demo.NORTHSTAR)

    assert error_code(refused.text) == "CONSENT_LIMIT_REACHED"
    assert after_a_revocation.status_code == again.status_code == 302


def test_a_listed_application_has_no_limit(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("consent_limit")
    refused = caller.confirm()

    emulator.world.applications["spapi"].is_listed = True
    allowed = caller.confirm()

    assert error_code(refused.text) == "CONSENT_LIMIT_REACHED"
    assert allowed.status_code == 302


def test_only_a_hybrid_application_gets_an_mws_token(
    emulator: RunningEmulator, caller: Caller
) -> None:
    ordinary = query_of(caller.confirm())
    emulator.scenario("hybrid_app")
    hybrid = query_of(caller.confirm())

    assert "mws_auth_token" not in ordinary
    assert re.fullmatch(r"amzn\.mws\.[0-9a-f-]{36}", hybrid["mws_auth_token"])


def test_the_host_header_does_not_matter(emulator: RunningEmulator, caller: Caller) -> None:
    reply = caller.get(caller.consent_path(), headers={"Host": "27.0.0.1:1"})

    assert reply.status_code == 200
