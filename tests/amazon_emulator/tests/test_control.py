from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
import requests

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.tests.conftest import Caller


class Outline(HTMLParser):
    """What an accessible page must have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.inputs: list[str] = []
        self.headings: list[str] = []
        self.lang = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "html":
            self.lang = given.get("lang", "")
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if tag == "label":
            self.labelled.append(given["for"])
        if tag in ("select", "input") and given.get("type") != "hidden":
            self.inputs.append(given["id"])


@pytest.mark.parametrize("page", ["control", "consent", "error", "ads", "appstore", "manage"])
def test_pages_are_marked_titled_and_labelled(
    emulator: RunningEmulator, caller: Caller, page: str
) -> None:
    emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.scenario("slow", surface="ads")
    path = {
        "control": "/_control/",
        "consent": caller.consent_path(),
        "error": caller.consent_path(version="beta"),
        "ads": caller.ads_path(),
        "appstore": "/appstore/",
        "manage": "/sellercentral.amazon.com/apps/manage",
    }[page]

    reply = caller.get(path)

    outline = Outline(reply.text)
    assert reply.headers["Content-Type"] == "text/html;charset=UTF-8"
    assert re.search(r"<title>[^<]+ · Fake Amazon</title>", reply.text)
    assert outline.lang == "en"
    assert outline.headings.count("h1") == 1
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.inputs) == set(outline.labelled)
    assert "prefers-color-scheme:dark" in reply.text


def test_text_of_others_is_escaped(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.world.add_seller("A<b>", "<script>alert(1)</script>", marketplaces=("US",))
    emulator.world.add_ads_login("<i>@x", "<script>")
    caller.get("/<script>")

    for path in ("/_control/", caller.consent_path(), caller.ads_path()):
        assert "<script>" not in caller.get(path).text


def test_the_root_leads_to_the_control_page(caller: Caller) -> None:
    assert caller.get("/").headers["Location"] == "/_control/"


def test_scenarios_can_be_started_by_form_and_by_json(
    emulator: RunningEmulator, caller: Caller
) -> None:
    by_form = caller.post(
        "/_control/scenarios/outage", data={"surface": "ads", "region": "", "times": "2"}
    )
    by_json = caller.post("/_control/api/scenarios/slow", json={"delay": 1.5})

    assert (by_form.status_code, by_form.headers["Location"]) == (303, "/_control/")
    assert by_json.json() == {"started": "slow"}
    outage, slow = emulator.faults.active()
    assert (outage.surface, outage.times, slow.delay) == ("ads", 2, 1.5)


def test_every_scenario_starts_with_its_defaults(emulator: RunningEmulator, caller: Caller) -> None:
    listed = caller.get("/_control/api/scenarios").json()

    assert len(listed) >= 30
    for name, scenario in listed.items():
        assert scenario["description"]
        reply = caller.post(f"/_control/api/scenarios/{name}", json=scenario["options"])
        assert reply.status_code == 200, name
        assert f"Start {name}" in caller.get("/_control/").text
        caller.post("/_control/api/reset")


def test_the_clock_can_be_read_and_moved(emulator: RunningEmulator, caller: Caller) -> None:
    by_json = caller.post("/_control/api/clock", json={"advance": 90})
    caller.post("/_control/clock", data={"seconds": "3600"})

    assert by_json.json()["ahead_seconds"] == 90
    assert caller.get("/_control/api/clock").json()["ahead_seconds"] == 3690


def test_faults_can_be_scripted_from_outside(emulator: RunningEmulator, caller: Caller) -> None:
    encoded = base64.b64encode(b"\xff\x00").decode()
    caller.post(
        "/_control/api/faults",
        json={"surface": "sellers", "status": 500, "body_base64": encoded, "times": 1},
    )
    fault = caller.post("/_control/api/faults", json={"surface": "lwa", "body": "ü"}).json()

    assert caller.sellers(None).content == b"\xff\x00"
    assert caller.refresh("x").text == "ü"
    (active,) = caller.get("/_control/api/faults").json()["faults"]
    assert (active["fault_id"], active["struck"], active["body"]) == (fault["fault_id"], 1, "ü")
    url = f"{emulator.url}/_control/api/faults/{fault['fault_id']}"
    assert requests.delete(url, timeout=5).status_code == 200
    assert requests.delete(url, timeout=5).status_code == 404
    emulator.scenario("outage")
    assert requests.delete(f"{emulator.url}/_control/api/faults", timeout=5).json() == {}
    assert emulator.faults.active() == []


def test_a_fault_is_ended_on_the_page(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("outage")
    page = caller.get("/_control/").text

    caller.post("/_control/faults/1")

    assert 'action="/_control/faults/1"' in page
    assert emulator.faults.active() == []


def test_the_ledger_can_be_read_from_outside(emulator: RunningEmulator, caller: Caller) -> None:
    caller.sellers(None)
    caller.profiles(None)

    everything = caller.get("/_control/api/ledger").json()
    ads = caller.get("/_control/api/ledger?surface=ads&status=401").json()
    later = caller.get(f"/_control/api/ledger?since={everything['last_number']}").json()

    assert [call["surface"] for call in everything["calls"]] == ["sellers", "ads"]
    assert [call["status"] for call in ads["calls"]] == [401]
    assert later["calls"] == []
    requests.delete(f"{emulator.url}/_control/api/ledger", timeout=5)
    assert caller.get("/_control/api/ledger").json()["calls"] == []


def test_a_consent_of_another_tool_works_as_any_other(
    emulator: RunningEmulator, caller: Caller
) -> None:
    wanted = {"seller_id": demo.NORTHSTAR, "region": "NA"}

    token = caller.post("/_control/api/consents", json=wanted).json()["refresh_token"]

    assert caller.refresh(token).status_code == 200
    assert token not in caller.get("/_control/api/world").text


def test_the_world_can_be_read_and_filled_from_outside(
    emulator: RunningEmulator, caller: Caller
) -> None:
    caller.exchange(caller.spapi_code())
    caller.post(
        "/_control/api/sellers",
        json={"seller_id": "A9NEWSELLER001", "name": "New", "marketplaces": ["US", "UK"]},
    )
    profile = caller.post(
        "/_control/api/profiles",
        json={"login": "new@x.example", "marketplace": "UK", "account_id": "A9NEWSELLER001"},
    ).json()
    caller.post("/_control/api/product", json={"url": "http://localhost:8222"})

    reply = caller.get("/_control/api/world")

    world = reply.json()
    assert "A9NEWSELLER001" in [seller["seller_id"] for seller in world["sellers"]]
    assert profile["countryCode"] == "UK"
    assert [grant["seller"] for grant in world["grants"]] == [demo.NORTHSTAR]
    assert "http://localhost:8222/amazon/ads/callback" in reply.text
    assert not {"signing_key", "refresh_tokens", "codes"} & set(world)
    assert not [secret for secret in emulator.issued_secrets() if secret in reply.text]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("scenarios/sunshine", {}, 404),
        ("scenarios/slow", {"colour": "red"}, 400),
        ("scenarios/slow", {"delay": "soon"}, 400),
        ("scenarios/outage", {"surface": "ec2"}, 400),
        ("faults", {"colour": "red"}, 400),
        ("faults", {"body_base64": "%"}, 400),
        ("clock", {"advance": "soon"}, 400),
        ("clock", {}, 404),
        ("clock", [], 400),
        ("nothing", {}, 404),
    ],
)
def test_mistakes_are_answered_with_words(
    caller: Caller, path: str, body: object, status: int
) -> None:
    reply = caller.post(f"/_control/api/{path}", json=body)

    assert reply.status_code == status
    assert reply.json()["error"]


def test_other_sites_cannot_steer_it(emulator: RunningEmulator, caller: Caller) -> None:
    foreign = caller.post("/_control/reset", headers={"Sec-Fetch-Site": "cross-site"})
    own = caller.post("/_control/reset", headers={"Sec-Fetch-Site": "same-origin"})

    assert (foreign.status_code, own.status_code) == (403, 303)


def test_faults_do_not_concern_the_control_page(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.faults.add(status=500)

    assert caller.get("/_control/").status_code == 200
    assert len(emulator.ledger) == 0
