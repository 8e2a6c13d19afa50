from __future__ import annotations

import base64

import pytest

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.applications import SPAPI_CLIENT_ID, SPAPI_CLIENT_SECRET
from tests.amazon_emulator.marketplaces import LWA_TOKEN_HOSTS
from tests.amazon_emulator.tests.conftest import Caller, new_verifier, query_of

CALLBACK = "http://localhost:8000/amazon/spapi/callback"
CODE_REFUSED = "The request has an invalid grant parameter : code"
DAY = 24 * 3600


def test_a_code_becomes_an_access_token_and_a_refresh_token(caller: Caller) -> None:
    reply = caller.exchange(caller.spapi_code(), redirect_uri=CALLBACK)

    body = reply.json()
    assert reply.status_code == 200
    assert sorted(body) == ["access_token", "expires_in", "refresh_token", "token_type"]
    assert (body["token_type"], body["expires_in"]) == ("bearer", 3600)
    assert body["access_token"].startswith("Atza|")
    assert body["refresh_token"].startswith("Atzr|")
    assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert reply.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
    assert reply.headers["Pragma"] == "no-cache"
    assert reply.headers["x-amzn-RequestId"]


@pytest.mark.parametrize("host", LWA_TOKEN_HOSTS)
def test_codes_and_tokens_are_good_at_every_token_host(caller: Caller, host: str) -> None:
    code = query_of(caller.allow())["code"]

    exchanged = caller.token(
        "ads",
        host,
        grant_type="authorization_code",
        code=code,
        redirect_uri="http://localhost:8000/amazon/ads/callback",
    )
    refreshed = caller.token(
        "ads", host, grant_type="refresh_token", refresh_token=exchanged.json()["refresh_token"]
    )

    assert (exchanged.status_code, refreshed.status_code) == (200, 200)


def test_a_code_works_once(caller: Caller) -> None:
    code = caller.spapi_code()

    first, second = caller.exchange(code), caller.exchange(code)

    assert first.status_code == 200
    assert second.status_code == 400
    body = second.json()
    assert (body["error"], body["error_description"]) == ("invalid_grant", CODE_REFUSED)
    assert {"request_id", "error_index"} <= set(body)
    assert second.headers["x-amzn-ErrorType"].startswith("OA2InvalidRequestException:")
    assert caller.refresh(first.json()["refresh_token"]).status_code == 200


def test_a_code_lives_five_minutes(emulator: RunningEmulator, caller: Caller) -> None:
    in_time, too_late = caller.spapi_code(), caller.spapi_code()

    emulator.advance_clock(290)
    exchanged = caller.exchange(in_time)
    emulator.advance_clock(10)
    refused = caller.exchange(too_late)

    assert exchanged.status_code == 200
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_an_expired_ads_code_is_an_invalid_request(
    emulator: RunningEmulator, caller: Caller
) -> None:
    code = query_of(caller.allow())["code"]

    emulator.advance_clock(300)
    reply = caller.exchange_ads(code)

    assert reply.status_code == 400
    assert reply.json()["error"] == "invalid_request"
    assert reply.json()["error_description"] == "The request has an invalid parameter : code"


def test_a_code_belongs_to_its_client(caller: Caller) -> None:
    code = caller.spapi_code()

    other = caller.exchange(code, "ads", redirect_uri=CALLBACK)

    assert (other.status_code, other.json()["error"]) == (400, "invalid_grant")
    assert caller.exchange(code).status_code == 200


def test_a_malformed_or_missing_code_is_an_invalid_request(caller: Caller) -> None:
    malformed = caller.exchange(f"{caller.spapi_code()} ")
    missing = caller.token(grant_type="authorization_code")
    unknown = caller.exchange("ANunknownButWellFormed")

    assert (malformed.status_code, malformed.json()["error"]) == (400, "invalid_request")
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_grant")


def test_a_given_redirect_uri_must_be_the_one_of_the_consent(caller: Caller) -> None:
    code = caller.spapi_code()

    wrong = caller.exchange(code, redirect_uri=f"{CALLBACK}/")

    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert caller.exchange(code).status_code == 200


def test_an_ads_code_needs_the_redirect_uri(caller: Caller) -> None:
    code = query_of(caller.allow())["code"]

    without = caller.exchange(code, "ads")
    wrong = caller.exchange(code, "ads", redirect_uri=CALLBACK)
    right = caller.exchange_ads(code)

    assert (without.status_code, without.json()["error"]) == (400, "invalid_request")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert right.status_code == 200


def test_pkce_is_checked_at_the_exchange(caller: Caller) -> None:
    verifier, challenge = new_verifier()
    code = query_of(caller.allow(code_challenge=challenge, code_challenge_method="S256"))["code"]

    without = caller.exchange_ads(code)
    wrong = caller.exchange_ads(code, code_verifier=verifier[::-1])
    challenge_sent = caller.exchange_ads(code, code_verifier=challenge)
    right = caller.exchange_ads(code, code_verifier=verifier)

    assert [r.json().get("error") for r in (without, wrong, challenge_sent)] == [
        "invalid_grant"
    ] * 3
    assert right.status_code == 200


def test_a_plain_challenge_is_the_verifier_itself(caller: Caller) -> None:
    verifier, _ = new_verifier()
    code = query_of(caller.allow(code_challenge=verifier))["code"]

    assert caller.exchange_ads(code, code_verifier="x" * 43).status_code == 400
    assert caller.exchange_ads(code, code_verifier=verifier).status_code == 200


def test_refreshing_returns_the_same_refresh_token_and_a_new_access_token(
    caller: Caller,
) -> None:
    refresh_token = caller.exchange(caller.spapi_code()).json()["refresh_token"]

    first, second = caller.refresh(refresh_token).json(), caller.refresh(refresh_token).json()

    assert first["refresh_token"] == second["refresh_token"] == refresh_token
    assert first["access_token"] != second["access_token"]
    assert caller.sellers(first["access_token"]).status_code == 200


def test_refresh_tokens_belong_to_their_client(emulator: RunningEmulator, caller: Caller) -> None:
    spapi = emulator.world.authorize(demo.NORTHSTAR, "NA")
    ads = emulator.world.authorize_ads(demo.NORTHSTAR_LOGIN)

    assert caller.refresh(spapi, "ads").json()["error"] == "invalid_grant"
    assert caller.refresh(ads, "spapi").json()["error"] == "invalid_grant"
    assert caller.refresh(spapi).status_code == caller.refresh(ads, "ads").status_code == 200


def test_a_refused_refresh_token_reads_as_amazon_writes_it(caller: Caller) -> None:
    reply = caller.refresh("Atzr|garbage")

    body = reply.json()
    assert reply.status_code == 400
    assert sorted(body) == ["error", "error_description", "error_index", "request_id"]
    assert body["error"] == "invalid_grant"
    assert body["error_description"] == (
        "The request has an invalid grant parameter : refresh_token. "
        "User may have revoked or didn't grant the permission."
    )


def test_a_second_consent_leaves_the_first_refresh_token_alive(caller: Caller) -> None:
    first = caller.exchange(caller.spapi_code()).json()["refresh_token"]
    second = caller.exchange(caller.spapi_code()).json()["refresh_token"]

    assert first != second
    assert caller.refresh(first).status_code == caller.refresh(second).status_code == 200


def test_revoking_ends_every_grant_of_the_seller_in_that_region(
    emulator: RunningEmulator, caller: Caller
) -> None:
    america = emulator.world.authorize(demo.NORTHSTAR, "NA")
    europe = emulator.world.authorize(demo.NORTHSTAR, "EU")
    other = emulator.world.authorize(demo.BLUE_HARBOR, "NA")
    access_token = caller.refresh(america).json()["access_token"]

    ended = emulator.world.sellers[demo.NORTHSTAR].revoke_grant("NA")

    assert ended == 1
    assert caller.refresh(america).json()["error"] == "invalid_grant"
    assert caller.sellers(access_token).status_code == 403
    assert caller.refresh(europe).status_code == caller.refresh(other).status_code == 200


def test_a_code_of_a_revoked_grant_is_refused(emulator: RunningEmulator, caller: Caller) -> None:
    code = caller.spapi_code()
    emulator.world.sellers[demo.NORTHSTAR].revoke_grant()

    assert caller.exchange(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("application", ["spapi", "ads"])
def test_a_grant_ends_after_365_days_and_refreshing_does_not_prolong_it(
    emulator: RunningEmulator, caller: Caller, application: str
) -> None:
    world = emulator.world
    token = (
        world.authorize(demo.NORTHSTAR, "NA")
        if application == "spapi"
        else world.authorize_ads(demo.NORTHSTAR_LOGIN)
    )

    emulator.advance_clock(365 * DAY - 60)
    before = caller.refresh(token, application)
    emulator.advance_clock(60)
    after = caller.refresh(token, application)

    assert before.status_code == 200
    assert (after.status_code, after.json()["error"]) == (400, "invalid_grant")


def test_a_wrong_secret_or_an_unknown_client_is_401_without_request_id(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}

    replies = [
        caller.token(**form, client_secret="wrong"),
        caller.token(**form, client_id="amzn1.application-oa2-client.other"),
        caller.token(**form, client_secret=""),
    ]

    for reply in replies:
        assert reply.status_code == 401
        assert reply.json() == {
            "error": "invalid_client",
            "error_description": "Client authentication failed",
        }
        assert reply.headers["x-amzn-ErrorType"].startswith("OA2InvalidClientException:")


def test_http_basic_is_accepted_too(emulator: RunningEmulator, caller: Caller) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}

    def ask(credentials: bytes) -> int:
        basic = base64.b64encode(credentials).decode()
        return caller.post(
            "/api.amazon.com/auth/o2/token",
            data=form,
            headers={"Authorization": f"Basic {basic}"},
        ).status_code

    assert ask(f"{SPAPI_CLIENT_ID}:{SPAPI_CLIENT_SECRET}".encode()) == 200
    assert ask(f"{SPAPI_CLIENT_ID}:wrong".encode()) == 401
    assert ask(b"\xff") == 401


def test_only_forms_are_read_and_only_by_post(caller: Caller) -> None:
    as_json = caller.post("/api.amazon.com/auth/o2/token", json={"grant_type": "refresh_token"})
    by_get = caller.get("/api.amazon.com/auth/o2/token")

    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")
    assert by_get.status_code == 405


@pytest.mark.parametrize("grant_type", ["", "password", "urn:unknown"])
def test_other_grant_types_are_not_supported(caller: Caller, grant_type: str) -> None:
    reply = caller.token(grant_type=grant_type)

    assert (reply.status_code, reply.json()["error"]) == (400, "unsupported_grant_type")


def test_client_credentials_bring_no_refresh_token(caller: Caller) -> None:
    reply = caller.token(grant_type="client_credentials", scope="sellingpartnerapi::notifications")

    assert reply.status_code == 200
    assert sorted(reply.json()) == ["access_token", "expires_in", "token_type"]


def test_client_credentials_check_scope_and_client(caller: Caller) -> None:
    removed = caller.token(grant_type="client_credentials", scope="sellingpartnerapi::migration")
    of_ads = caller.token(
        "ads", grant_type="client_credentials", scope="sellingpartnerapi::notifications"
    )

    assert removed.json()["error"] == "invalid_scope"
    assert of_ads.json()["error"] == "unauthorized_client"


def test_a_wrong_secret_scenario_concerns_one_application(
    emulator: RunningEmulator, caller: Caller
) -> None:
    spapi = emulator.world.authorize(demo.NORTHSTAR, "NA")
    ads = emulator.world.authorize_ads(demo.NORTHSTAR_LOGIN)

    emulator.scenario("wrong_secret", application="ads")
    refused = caller.refresh(ads, "ads")
    emulator.scenario("normal")

    assert refused.status_code == 401
    assert caller.refresh(spapi).status_code == caller.refresh(ads, "ads").status_code == 200
