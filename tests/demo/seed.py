"""What a first visitor finds: people, organizations, and connections in every state.

The connections come about as a person's would: through the product's front door and the fake
Amazon's consent pages, finished by the real worker. Only time is written by hand, at the end.
Once an organization is seeded it is never touched again: what a visitor changed stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.demo.environment import CHECKOUT, var_dir
from tests.demo.processes import DemoFailed
from tests.demo.seed_visitor import Visitor

US, UK, JAPAN, EMIRATES = "ATVPDKIKX0DER", "A1F83G8C2ARO7P", "A1VC38T7YXB528", "A2VIGQ35RCS4UG"
NORTHSTAR_SELLER = "A1NORTHSTAR001"
NORTHSTAR_ADS = "ads@northstar.example"
AGENCY = "owner@example.com"
NORTH_AMERICA = ("United States", "Canada", "Mexico")


@dataclass(frozen=True)
class Store:
    """A row of the demo. Without a seller it waits for consent; `onboard` and `ppc` name the
    boxes to tick; `brings_mws` makes the fake Amazon an old hybrid application."""

    name: str
    marketplace_id: str
    seller: str = ""
    onboard: tuple[str, ...] = ()
    ppc: tuple[str, ...] = ()
    is_confirmed: bool = True
    brings_mws: bool = False
    is_revoked: bool = False


STORES = {
    "owner@example.com": (
        Store(
            "Northstar Outdoors NA",
            US,
            NORTHSTAR_SELLER,
            onboard=NORTH_AMERICA,
            ppc=("United States", "Canada"),
        ),
        Store(
            "Northstar Outdoors EU",
            UK,
            NORTHSTAR_SELLER,
            onboard=("United Kingdom", "Germany", "France"),
        ),
        Store(
            "Northstar Outdoors Japan",
            JAPAN,
            NORTHSTAR_SELLER,
            onboard=("Japan",),
            brings_mws=True,
        ),
        Store("Blue Harbor Kitchen", US, "A2BLUEHARBOR02", is_confirmed=False),
        Store(
            "Oasis by Desert Rose",
            EMIRATES,
            "A4DESERTROSE04",
            onboard=("United Arab Emirates", "Saudi Arabia"),
            is_revoked=True,
        ),
        Store("Sakura Tea", JAPAN, "A3SAKURATEA003", onboard=("Japan", "Australia")),
        Store("Juniper & Pine", UK),
    ),
    # Two organizations may connect one seller; neither learns of the other.
    "outsider@example.com": (
        Store("Northstar, managed by us", US, NORTHSTAR_SELLER, onboard=NORTH_AMERICA),
    ),
}


def seed(base_url: str, emulator_url: str, *, rows: int = 0) -> None:
    """Fill the demo that answers at `base_url`, whose Amazon answers at `emulator_url`. The first
    organization gets at least `rows` connections.

    Runs in the demo's own process, whose environment is the product's. Django is configured
    only in children: what the processes do must be seen through their front door. Raises
    DemoFailed.
    """
    places: dict[str, dict[str, str]] = json.loads(child("tests.demo.seed_people"))
    done = seeded_organizations()
    new = {email: place for email, place in places.items() if place["id"] not in done}
    if new:
        seed_new(base_url, emulator_url, new, done)
    if rows:
        child("tests.demo.seed_many", places[AGENCY]["id"], str(rows), emulator_url)


def seed_new(
    base_url: str, emulator_url: str, new: dict[str, dict[str, str]], done: list[str]
) -> None:
    for email, place in new.items():
        visitor = Visitor(base_url, email, place["slug"])
        fill(visitor, STORES[email], Amazon(emulator_url))
    child("tests.demo.seed_history", *(place["id"] for place in new.values()))
    marker().write_text("".join(f"{name}\n" for name in [*done, *(p["id"] for p in new.values())]))


def fill(visitor: Visitor, stores: tuple[Store, ...], amazon: Amazon) -> None:
    """Rows that an interrupted seed made already are completed, not made twice."""
    for store in stores:
        connect(visitor, store, amazon)
    visitor.wait_until_calm(doing="read the marketplaces")
    for store in stores:
        settle(visitor, store)
    visitor.wait_until_calm(doing="onboard and link the marketplaces")
    for store in stores:
        if store.is_revoked:
            amazon.start("revoked_grant", seller=store.seller)


def connect(visitor: Visitor, store: Store, amazon: Amazon) -> None:
    doing = f"connect {store.name}"
    if store.name in visitor.rows():
        return
    if store.brings_mws:
        amazon.start("hybrid_app")
    leads_to = visitor.post(
        f"{visitor.list_url}new",
        {"name": store.name, "marketplace": store.marketplace_id},
        doing=doing,
    )
    if store.seller:
        visitor.consent(leads_to, {"seller": store.seller, "decision": "confirm"}, doing=doing)
    if store.brings_mws:
        amazon.start("normal")


def settle(visitor: Visitor, store: Store) -> None:
    """What a person does once the marketplaces are there."""
    row = visitor.rows()[store.name]
    page = f"{visitor.list_url}{row.connection_id}/"
    doing = f"set up {store.name}"
    if store.seller and store.is_confirmed:
        list_page = visitor.get(visitor.list_url, doing=doing)
        visitor.send(f"{page}confirm", {}, page=list_page, doing=doing)
    start(visitor, f"{page}onboard", store.onboard, doing=doing)
    leads_to = start(visitor, f"{page}ppc", store.ppc, doing=doing)
    if "/ap/oa" in leads_to:
        visitor.consent(leads_to, {"login": NORTHSTAR_ADS, "decision": "allow"}, doing=doing)


def start(visitor: Visitor, path: str, names: tuple[str, ...], *, doing: str) -> str:
    """Tick these boxes of a *Continue* pop-up, as far as they are there; "" when none is."""
    if not names:
        return ""
    choices = visitor.choices(path, doing=doing)
    ticked = [value for name, value in choices.items() if name in names]
    if not ticked:
        return ""
    return visitor.post(path, {"account": ticked}, doing=doing)


class Amazon:
    """The fake Amazon's control API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self, scenario: str, **options: str) -> None:
        self._post(f"scenarios/{scenario}", options, doing=f"start {scenario}")

    def consent_of_many(self, consents: list[dict[str, Any]]) -> list[str]:
        """These sellers and their consents; the refresh token of each."""
        answer = self._post("many-consents", {"consents": consents}, doing="take the consents")
        tokens: list[str] = answer["refresh_tokens"]
        return tokens

    def consent_to_ads(self, login: str, profiles: list[dict[str, Any]]) -> str:
        """A new login with these profiles; the refresh token of its consent."""
        wanted = {"login": login, "profiles": profiles}
        answer = self._post("ads-consents", wanted, doing=f"take the consent of {login}")
        token: str = answer["refresh_token"]
        return token

    def _post(self, path: str, value: dict[str, Any], *, doing: str) -> dict[str, Any]:
        try:
            reply = requests.post(f"{self.url}/_control/api/{path}", json=value, timeout=10)
            reply.raise_for_status()
        except requests.RequestException as error:
            raise DemoFailed(f"The fake Amazon did not {doing}: {error}") from None
        answer: dict[str, Any] = reply.json()
        return answer


def marker() -> Path:
    """Beside the data. Names organizations, so that another database is not taken for seeded."""
    return var_dir() / "seeded"


def seeded_organizations() -> list[str]:
    return marker().read_text().split() if marker().exists() else []


def child(module: str, *arguments: str) -> str:
    """Run a module that uses the ORM and return what it printed. Raises DemoFailed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"{module} failed; the reason is above.")
    return done.stdout
