from __future__ import annotations

import json
import re
from pathlib import Path

import requests

from tests.amazon_emulator import RunningEmulator, demo, running_emulator
from tests.amazon_emulator.applications import ROTATION_SCOPE, SPAPI_CLIENT_ID
from tests.amazon_emulator.tests.conftest import Caller, error_of

PATH = "/sellingpartnerapi-na.amazon.com/applications/2023-11-30/clientSecret"
DAY = 24 * 3600


def rotate(caller: Caller, token: str | None = None) -> requests.Response:
    token = token or caller.grantless_token(ROTATION_SCOPE)
    return caller.post(PATH, headers={"x-amz-access-token": token})


def new_secret(emulator: RunningEmulator) -> str:
    payload = emulator.world.queue[-1]["payload"]["applicationOAuthClientNewSecret"]
    return str(payload["newClientSecret"])


def test_rotation_answers_204_without_a_secret(emulator: RunningEmulator, caller: Caller) -> None:
    reply = rotate(caller)

    assert (reply.status_code, reply.content) == (204, b"")
    assert "amzn1.oa2-cs" not in str(reply.headers)
    assert reply.headers["x-amzn-RateLimit-Limit"] == "0.0167"


def test_the_new_secret_comes_through_the_queue_file(tmp_path: Path) -> None:
    queue = tmp_path / "queue.jsonl"
    with running_emulator(queue_file=queue) as emulator, requests.Session() as session:
        rotate(Caller(emulator, session))

    (message,) = [json.loads(line) for line in queue.read_text().splitlines()]
    payload = message["payload"]["applicationOAuthClientNewSecret"]
    assert message["notificationType"] == "APPLICATION_OAUTH_CLIENT_NEW_SECRET"
    assert sorted(payload) == [
        "clientId",
        "newClientSecret",
        "newClientSecretExpiryTime",
        "oldClientSecretExpiryTime",
    ]
    assert payload["clientId"] == SPAPI_CLIENT_ID
    assert payload["newClientSecret"].startswith("amzn1.oa2-cs.v1.")


def test_both_secrets_work_for_seven_days_then_the_old_one_is_401(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    old = caller.client_secrets["spapi"]
    rotate(caller)
    new = new_secret(emulator)

    def status(secret: str) -> int:
        caller.client_secrets["spapi"] = secret
        return caller.refresh(refresh_token).status_code

    emulator.advance_clock(7 * DAY - 60)
    during = (status(old), status(new))
    emulator.advance_clock(60)
    afterwards = (status(old), status(new))

    assert during == (200, 200)
    assert afterwards == (401, 200)


def test_a_secret_never_rotated_gets_tokens_that_the_api_refuses(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")

    emulator.advance_clock(180 * DAY - 3600)
    before = caller.sellers(caller.refresh(refresh_token).json()["access_token"])
    emulator.advance_clock(3600)
    refreshed = caller.refresh(refresh_token)
    after = caller.sellers(refreshed.json()["access_token"])

    assert before.status_code == 200
    assert refreshed.status_code == 200
    assert error_of(after) == (
        403,
        "Unauthorized",
        "The LWA secret token you provided has expired.",
    )


def test_rotating_in_time_keeps_the_api_open_after_180_days(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.advance_clock(170 * DAY)
    caller.client_secrets["spapi"] = emulator.world.rotate_secret()

    emulator.advance_clock(20 * DAY)
    token = caller.refresh(refresh_token).json()["access_token"]

    assert caller.sellers(token).status_code == 200


def test_amazon_announces_the_expiry_90_days_before_once(emulator: RunningEmulator) -> None:
    emulator.advance_clock(89 * DAY)
    early = list(emulator.world.queue)
    emulator.advance_clock(2 * DAY)
    emulator.advance_clock(DAY)

    assert early == []
    (message,) = emulator.world.queue
    assert message["notificationType"] == "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY"
    notice = message["payload"]["applicationOAuthClientSecretExpiry"]
    assert sorted(notice) == ["clientId", "clientSecretExpiryReason", "clientSecretExpiryTime"]
    assert notice["clientSecretExpiryReason"] == "PERIODIC_ROTATION"


def test_rotation_has_a_burst_of_one(caller: Caller) -> None:
    assert [rotate(caller).status_code for _ in range(2)] == [204, 429]


def test_rotation_needs_the_scope_and_a_queue(emulator: RunningEmulator, caller: Caller) -> None:
    other_scope = rotate(caller, caller.grantless_token("sellingpartnerapi::notifications"))
    of_a_seller = rotate(caller, caller.spapi_token())
    emulator.scenario("no_rotation_queue")
    without_queue = rotate(caller)

    assert error_of(other_scope) == error_of(of_a_seller) == (403, "Unauthorized", "")
    assert without_queue.status_code == 400
    assert without_queue.json()["errors"][0]["code"] == "InvalidInput"
    assert emulator.world.queue == []


def test_a_new_secret_of_the_ads_console_goes_to_no_queue(
    emulator: RunningEmulator, caller: Caller
) -> None:
    old = caller.client_secrets["ads"]
    refresh_token = emulator.world.authorize_ads(demo.NORTHSTAR_LOGIN)

    new = emulator.world.rotate_secret("ads")

    def status(secret: str) -> int:
        caller.client_secrets["ads"] = secret
        return caller.refresh(refresh_token, "ads").status_code

    assert emulator.world.queue == []
    assert (status(old), status(new)) == (200, 200)
    emulator.scenario("ended_overlap", application="ads")
    assert (status(old), status(new)) == (401, 200)


def test_the_new_secret_of_a_rotation_in_the_console_is_shown(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize_ads(demo.NORTHSTAR_LOGIN)
    before = caller.get("/_control/").text

    emulator.scenario("rotated_secret", application="ads")

    [shown] = re.findall(r"<code>(amzn1\.oa2-cs\.v1\.[0-9a-f]{64})</code>", page(caller))
    assert "amzn1.oa2-cs" not in before
    assert caller.get("/_control/api/console").json() == {"client_secrets": {"ads": shown}}
    caller.client_secrets["ads"] = shown
    assert caller.refresh(refresh_token, "ads").status_code == 200


def test_a_secret_that_the_api_rotated_is_shown_nowhere(caller: Caller) -> None:
    assert rotate(caller).status_code == 204

    assert "amzn1.oa2-cs" not in page(caller)
    assert caller.get("/_control/api/console").json() == {"client_secrets": {}}


def page(caller: Caller) -> str:
    return str(caller.get("/_control/").text)


def test_a_rotation_in_the_console_without_a_queue_sends_nothing(
    emulator: RunningEmulator,
) -> None:
    emulator.scenario("no_rotation_queue")

    emulator.world.rotate_secret()

    assert emulator.world.queue == []


def test_the_end_of_the_overlap_as_a_scenario(emulator: RunningEmulator, caller: Caller) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.scenario("ended_overlap")
    alone = caller.refresh(refresh_token).status_code
    emulator.scenario("rotated_secret")
    emulator.scenario("ended_overlap")

    assert (alone, caller.refresh(refresh_token).status_code) == (200, 401)
