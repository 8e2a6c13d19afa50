"""The application: which address belongs to which surface, and the way of every call."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from tests.amazon_emulator import demo, marketplaces
from tests.amazon_emulator.ads import AdsConsent, AdsProfiles
from tests.amazon_emulator.appstore import Appstore, AppstoreConfirm, ManageApps
from tests.amazon_emulator.control import Control
from tests.amazon_emulator.faults import Fault, Faults
from tests.amazon_emulator.ledger import Ledger
from tests.amazon_emulator.lwa import Lwa
from tests.amazon_emulator.scenarios import Scenarios
from tests.amazon_emulator.seller_central import SellerCentral
from tests.amazon_emulator.sellers import SellingPartnerApi
from tests.amazon_emulator.wire import Args, Call, Identity, Reply, Surface, request_id
from tests.amazon_emulator.world import World

CONTROL = "control"


@dataclass
class Outcome:
    """What is to be sent, and the fault that spoils the sending."""

    reply: Reply
    fault: Fault | None = None


class Nowhere:
    """An address the fake Amazon does not have; a product that calls it has a bug."""

    def identify(self, call: Call, args: Args) -> Identity:
        return Identity(surface="unknown", operation=f"{call.method} {call.path}")

    def answer(self, call: Call, args: Args) -> Reply:
        return Reply(
            404,
            b"The fake Amazon has no such address.\n",
            [("Content-Type", "text/plain;charset=UTF-8")],
            error="NO_SUCH_ADDRESS",
        )


class EmulatorApp:
    def __init__(self, world: World, base_url: str) -> None:
        self.world = world
        self.ledger = Ledger()
        self.faults = Faults()
        self.scenarios = Scenarios(world, self.faults)
        seller_central = SellerCentral(world, base_url)
        self._nowhere = Nowhere()
        self._surfaces: dict[str, Surface] = {
            "consent": seller_central,
            "confirm": AppstoreConfirm(world, seller_central),
            "manage": ManageApps(world, seller_central),
            "appstore": Appstore(world),
            "lwa": Lwa(world),
            "sellers": SellingPartnerApi(world),
            "ads_consent": AdsConsent(world),
            "ads": AdsProfiles(world),
            CONTROL: Control(self),
        }
        # The server name is a dummy: the emulator ignores the Host header.
        self._addresses = _url_map().bind("amazon.invalid")

    def reset(self) -> None:
        """The demo world as on the first start, an empty ledger, no faults."""
        with self.world.lock:
            self.faults.clear()
            self.world.clear()
            demo.fill(self.world)
            self.ledger.clear()
            self.world.save_if_changed()

    def answer(self, call: Call) -> Outcome:
        name, args = self._route(call)
        surface = self._surfaces.get(name, self._nowhere)
        try:
            outcome = self._answer(surface, call, args, is_recorded=name != CONTROL)
        except Exception:  # noqa: BLE001 - a bug here must not look like an answer of Amazon's
            traceback.print_exc(file=sys.stderr)
            outcome = Outcome(Reply(500, b"The emulator itself failed; see its output.\n"))
        self._add_common_headers(outcome.reply)
        return outcome

    def _route(self, call: Call) -> tuple[str, Args]:
        try:
            endpoint, args = self._addresses.match(call.path, method="GET")
        except HTTPException:
            return "", {}
        return str(endpoint), args

    def _answer(self, surface: Surface, call: Call, args: Args, *, is_recorded: bool) -> Outcome:
        with self.world.lock:
            if not is_recorded:
                return Outcome(surface.answer(call, args))
            identity = surface.identify(call, args)
            fault = self.faults.take(identity)
            if fault is not None and fault.replaces_the_answer:
                reply = fault.reply()
            else:
                reply = surface.answer(call, args)
            self.ledger.record(
                identity,
                at=self.world.clock.now(),
                status=0 if fault is not None and fault.drop else reply.status,
                error=reply.error,
                fault=fault.fault_id if fault is not None else "",
            )
            self.world.save_if_changed()
            return Outcome(reply, fault)

    def _add_common_headers(self, reply: Reply) -> None:
        now = datetime.fromtimestamp(self.world.clock.now(), UTC)
        if not reply.has_header("Date"):
            reply.headers.append(("Date", format_datetime(now, usegmt=True)))
        if not reply.has_header("x-amzn-RequestId"):
            reply.headers.append(("x-amzn-RequestId", request_id()))
        reply.headers.append(("Server", "Server"))


def _url_map() -> Map:
    seller_central = _one_of(marketplaces.SELLER_CENTRAL_HOSTS)
    lwa = _one_of(marketplaces.LWA_TOKEN_HOSTS)
    ads_consent = _one_of(marketplaces.ADS_CONSENT_HOSTS)
    confirm = f"/<{seller_central}:host>/apps/authorize/confirm/<application_id>"
    return Map(
        [
            Rule(f"/<{seller_central}:host>/apps/authorize/consent", endpoint="consent"),
            Rule(confirm, endpoint="confirm"),
            Rule(f"/<{seller_central}:host>/apps/manage", endpoint="manage"),
            Rule("/appstore/", endpoint="appstore"),
            Rule("/appstore/<application_id>", endpoint="appstore"),
            Rule(f"/<{lwa}:host>/auth/o2/token", endpoint="lwa"),
            Rule(f"/<{ads_consent}:host>/ap/oa", endpoint="ads_consent"),
            *_whole_host(_one_of(marketplaces.SPAPI_HOSTS), "sellers"),
            *_whole_host(_one_of(marketplaces.ADS_API_HOSTS), "ads"),
            *_whole_host("any(_control)", CONTROL),
            Rule("/", endpoint=CONTROL, defaults={"path": "page"}),
        ],
        strict_slashes=False,
        merge_slashes=False,
        redirect_defaults=False,
    )


def _whole_host(host: str, endpoint: str) -> list[Rule]:
    """Every path of a host; the surface itself refuses the unknown ones."""
    return [
        Rule(f"/<{host}:host>/", endpoint=endpoint, defaults={"path": ""}),
        Rule(f"/<{host}:host>/<path:path>", endpoint=endpoint),
    ]


def _one_of(hosts: Iterable[str]) -> str:
    names = ",".join(f"'{host}'" for host in hosts)
    return f"any({names})"
