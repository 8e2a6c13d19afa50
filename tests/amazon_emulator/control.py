"""The control API (JSON) and the control page (HTML) under `/_control/`.

Calls to it are neither recorded nor spoiled by faults.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tests.amazon_emulator.control_page import control_page
from tests.amazon_emulator.faults import Fault
from tests.amazon_emulator.wire import Args, Call, Identity, Reply, json_reply

if TYPE_CHECKING:
    from tests.amazon_emulator.app import EmulatorApp

_LEDGER_FILTERS = ("surface", "operation", "region", "client_id", "seller")
# Set by the emulator itself.
_FAULT_OUTPUTS = {"fault_id", "struck", "seen"}
_FAULT_OPTIONS = {item.name for item in fields(Fault)} - _FAULT_OUTPUTS


class Control:
    def __init__(self, app: EmulatorApp) -> None:
        self.app = app
        self._api: dict[tuple[str, str], Callable[[Call], object]] = {
            ("GET", "ledger"): self._ledger,
            ("DELETE", "ledger"): self._clear_ledger,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "scenarios"): self._scenarios,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._advance_clock,
            ("POST", "reset"): self._reset,
            ("GET", "world"): self._world,
            ("GET", "console"): self._console,
            ("POST", "sellers"): self._add_seller,
            ("POST", "profiles"): self._add_profile,
            ("POST", "consents"): self._give_consent,
            ("POST", "many-consents"): self._give_many_consents,
            ("POST", "ads-consents"): self._give_ads_consent,
            ("POST", "product"): self._use_product,
        }

    def identify(self, call: Call, args: Args) -> Identity:
        return Identity(surface="control", operation=f"{call.method} {args['path']}")

    def answer(self, call: Call, args: Args) -> Reply:
        # A web page somewhere else must not steer the emulator through somebody's browser.
        is_foreign = call.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if call.method not in ("GET", "HEAD") and is_foreign:
            return json_reply(403, {"error": "not from another site"})
        path = str(args["path"])
        try:
            if path.startswith("api/"):
                return json_reply(200, self._call_api(call, path.removeprefix("api/")))
            if call.method == "POST":
                return self._post_form(call, path)
        except LookupError as error:
            return json_reply(404, {"error": f"unknown: {error}"})
        except (TypeError, ValueError, binascii.Error) as error:
            return json_reply(400, {"error": str(error)})
        if path:
            return Reply(302, b"", [("Location", "/_control/")])
        return control_page(self.app)

    def _call_api(self, call: Call, path: str) -> object:
        name, _, identifier = path.rstrip("/").partition("/")
        if not identifier:
            return self._api[call.method, name](call)
        if (call.method, name) == ("POST", "scenarios"):
            self.app.scenarios.start(identifier, **call.json)
            return {"started": identifier}
        if (call.method, name) == ("DELETE", "faults") and self.app.faults.remove(identifier):
            return {"removed": identifier}
        raise KeyError(path)

    def _post_form(self, call: Call, path: str) -> Reply:
        name, _, identifier = path.partition("/")
        match name:
            case "scenarios":
                given = {key: value for key, value in call.form.items() if value}
                self.app.scenarios.start(identifier, **given)
            case "clock":
                self.app.world.advance_clock(float(call.form.get("seconds", "0")))
            case "faults":
                self.app.faults.remove(identifier)
            case "reset":
                self.app.reset()
            case _:
                raise KeyError(path)
        self.app.world.save_if_changed()
        return Reply(303, b"", [("Location", "/_control/")])

    # The API ----------------------------------------------------------------------------

    def _ledger(self, call: Call) -> object:
        wanted: dict[str, Any] = {
            name: call.query[name] for name in _LEDGER_FILTERS if name in call.query
        }
        if "status" in call.query:
            wanted["status"] = int(call.query["status"])
        since = int(call.query.get("since", "0"))
        entries = self.app.ledger.calls(**wanted, since=since)
        return {
            "last_number": self.app.ledger.last_number,
            "calls": [entry.as_dict() for entry in entries],
        }

    def _console(self, call: Call) -> object:
        return {"client_secrets": dict(self.app.world.console_secrets)}

    def _clear_ledger(self, call: Call) -> object:
        self.app.ledger.clear()
        return {}

    def _faults(self, call: Call) -> object:
        return {"faults": [fault.as_dict() for fault in self.app.faults.active()]}

    def _add_fault(self, call: Call) -> object:
        """The fields of `Fault`; the body as text, or as `body_base64`."""
        options = dict(call.json)
        encoded = options.pop("body_base64", None)
        text = options.get("body")
        if encoded is not None:
            options["body"] = base64.b64decode(encoded, validate=True)
        elif text is not None:
            options["body"] = str(text).encode()
        unknown = set(options) - _FAULT_OPTIONS
        if unknown:
            raise TypeError(f"a fault has no {', '.join(sorted(unknown))}")
        return self.app.faults.add(Fault(**options)).as_dict()

    def _clear_faults(self, call: Call) -> object:
        self.app.faults.clear()
        return {}

    def _scenarios(self, call: Call) -> object:
        return {
            name: {"description": scenario.description, "options": scenario.options}
            for name, scenario in self.app.scenarios.all.items()
        }

    def _clock(self, call: Call) -> object:
        clock = self.app.world.clock
        return {"now": clock.iso(), "ahead_seconds": clock.offset}

    def _advance_clock(self, call: Call) -> object:
        self.app.world.advance_clock(float(call.json["advance"]))
        self.app.world.save_if_changed()
        return self._clock(call)

    def _reset(self, call: Call) -> object:
        self.app.reset()
        return {}

    def _world(self, call: Call) -> object:
        """Accounts, applications and grants, without anything that could be used as a token."""
        world = self.app.world.as_dict()
        hidden = {"signing_key", "refresh_tokens", "codes", "appstore_states"}
        return {name: value for name, value in world.items() if name not in hidden}

    def _add_seller(self, call: Call) -> object:
        """The arguments of `World.add_seller`."""
        seller = self.app.world.add_seller(**call.json)
        self.app.world.save_if_changed()
        return seller.as_dict()

    def _add_profile(self, call: Call) -> object:
        """`login`, `marketplace` and the arguments of `AdsLogin.add_profile`; a login that is
        not known yet is added."""
        options = dict(call.json)
        login, marketplace = options.pop("login"), options.pop("marketplace")
        world = self.app.world
        account = world.ads_logins.get(login) or world.add_ads_login(login)
        profile = account.add_profile(marketplace, **options)
        world.changed()
        world.save_if_changed()
        return profile.as_wire()

    def _give_ads_consent(self, call: Call) -> object:
        """`login`, which is added, and `profiles`: of each, the `marketplace` and the arguments of
        `AdsLogin.add_profile`."""
        world = self.app.world
        login = str(call.json["login"])
        account = world.add_ads_login(login)
        for options in call.json["profiles"]:
            account.add_profile(options.pop("marketplace"), **options)
        token = world.authorize_ads(login)
        world.save_if_changed()
        return {"refresh_token": token}

    def _give_consent(self, call: Call) -> object:
        """What another tool with the same application would hold: `seller_id`, `region`."""
        world = self.app.world
        token = world.authorize(str(call.json["seller_id"]), call.json["region"])
        world.save_if_changed()
        return {"refresh_token": token}

    def _give_many_consents(self, call: Call) -> object:
        """`consents`: of each, the arguments of `World.add_seller`, and `region`, `age_seconds` and
        `is_revoked`. Sellers that pages ask for find as many free consents as before."""
        world = self.app.world
        tokens = []
        for options in call.json["consents"]:
            region, age = options.pop("region"), float(options.pop("age_seconds"))
            is_revoked = bool(options.pop("is_revoked"))
            seller = world.add_seller(**options)
            grant = world.add_grant("spapi", seller.seller_id, region=region)
            grant.granted_at -= age
            grant.revoked_at = world.clock.now() if is_revoked else None
            tokens.append(world.issue_refresh_token(grant))
        world.applications["spapi"].consent_limit += len(tokens)
        world.save_if_changed()
        return {"refresh_tokens": tokens}

    def _use_product(self, call: Call) -> object:
        """Registers the URIs of a product at another address."""
        self.app.world.use_product_url(str(call.json["url"]))
        self.app.world.save_if_changed()
        return {}
