from __future__ import annotations

from urllib.parse import urlencode

import pytest
import requests

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.tests.conftest import Caller, query_of

EUROPE = "sellercentral-europe.amazon.com"
CALLBACK = "http://localhost:8000/amazon/spapi/callback"


def start(caller: Caller, host: str = EUROPE, **changes: str | None) -> dict[str, str]:
    reply = caller.confirm(demo.NORTHSTAR, host, **{"state": None, "redirect_uri": None, **changes})
    assert reply.headers["Location"].startswith("http://localhost:8000/amazon/spapi/login?")
    return query_of(reply)


def go_on(caller: Caller, started: dict[str, str], **changes: str) -> requests.Response:
    params = {
        "redirect_uri": CALLBACK,
        "amazon_state": started["amazon_state"],
        "state": "ours",
        **changes,
    }
    path = started["amazon_callback_uri"].removeprefix(caller.emulator.url)
    return caller.get(f"{path}?{urlencode(params)}")


def test_the_appstore_page_leads_to_the_consent_pages(caller: Caller) -> None:
    page = caller.get("/appstore/")

    assert page.status_code == 200
    assert f'href="/{EUROPE}/apps/authorize/consent?application_id=' in page.text


def test_the_login_uri_is_called_with_three_parameters(
    emulator: RunningEmulator, caller: Caller
) -> None:
    started = start(caller)

    application_id = emulator.world.applications["spapi"].application_id
    assert sorted(started) == ["amazon_callback_uri", "amazon_state", "selling_partner_id"]
    assert started["selling_partner_id"] == demo.NORTHSTAR
    assert started["amazon_callback_uri"] == (
        f"{emulator.url}/{EUROPE}/apps/authorize/confirm/{application_id}"
    )


def test_a_draft_says_version_beta_on_both_legs(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("draft_app")

    started = start(caller, version="beta")
    without = go_on(caller, started)
    with_beta = go_on(caller, started, version="beta")

    assert started["version"] == "beta"
    assert "MD1000" in without.text
    assert with_beta.status_code == 302


def test_coming_back_with_the_same_amazon_state_brings_a_code(caller: Caller) -> None:
    started = start(caller)

    reply = go_on(caller, started)

    query = query_of(reply)
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    assert sorted(query) == ["selling_partner_id", "spapi_oauth_code", "state"]
    assert (query["state"], query["selling_partner_id"]) == ("ours", demo.NORTHSTAR)
    assert caller.exchange(query["spapi_oauth_code"]).status_code == 200


@pytest.mark.parametrize("amazon_state", ["", "forged"])
def test_another_amazon_state_is_refused(caller: Caller, amazon_state: str) -> None:
    started = start(caller)

    reply = go_on(caller, started, amazon_state=amazon_state)

    assert reply.status_code == 400
    assert "Location" not in reply.headers


def test_an_amazon_state_belongs_to_its_host_and_its_ten_minutes(
    emulator: RunningEmulator, caller: Caller
) -> None:
    started = start(caller)
    elsewhere = {
        **started,
        "amazon_callback_uri": started["amazon_callback_uri"].replace(
            EUROPE, "sellercentral.amazon.com"
        ),
    }

    other_host = go_on(caller, elsewhere)
    emulator.advance_clock(601)
    too_late = go_on(caller, started)

    assert other_host.status_code == too_late.status_code == 400


def test_the_confirmation_checks_the_redirect_uri_too(caller: Caller) -> None:
    started = start(caller)

    assert "MD5101" in go_on(caller, started, redirect_uri="http://evil.example/").text
    assert "MD5110" in go_on(caller, started, redirect_uri=f"{CALLBACK}#x").text


def test_the_code_belongs_to_the_region_of_the_host(caller: Caller) -> None:
    code = query_of(go_on(caller, start(caller)))["spapi_oauth_code"]
    token = caller.exchange(code).json()["access_token"]

    assert caller.sellers(token, region="eu").status_code == 200
    assert caller.sellers(token, region="na").status_code == 403


def test_manage_your_apps_renews_through_the_login_uri_and_disables(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "EU")
    path = f"/{EUROPE}/apps/manage"

    page = caller.get(path)
    renewal = caller.post(path, data={"seller": demo.NORTHSTAR, "decision": "reauthorize"})
    caller.post(path, data={"seller": demo.NORTHSTAR, "decision": "disable"})

    assert demo.NORTHSTAR in page.text
    assert "amazon_state" in query_of(renewal)
    assert caller.refresh(refresh_token).status_code == 400
