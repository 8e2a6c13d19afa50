"""The control page: the same things as the control API, for people."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tests.amazon_emulator import clock as times
from tests.amazon_emulator import pages
from tests.amazon_emulator.scenarios import Scenario
from tests.amazon_emulator.wire import Reply
from tests.amazon_emulator.world import World

if TYPE_CHECKING:
    from tests.amazon_emulator.app import EmulatorApp

_LAST_CALLS = 50
_STEPS = (("1 hour", times.HOUR), ("1 day", times.DAY), ("90 days", 90 * times.DAY))


def control_page(app: EmulatorApp) -> Reply:
    world = app.world
    return pages.page(
        "Control",
        f"<p>The product is expected at <strong>{escape(world.product_url)}</strong>. Other "
        'doors: <a href="/appstore/">Appstore</a>, '
        '<a href="/sellercentral.amazon.com/apps/manage">Manage Your Apps</a>.</p>',
        _clock(world),
        _faults(app),
        "<h2>Scenarios</h2>",
        *(_scenario(scenario) for scenario in app.scenarios.all.values()),
        _console(world),
        _accounts(world),
        _grants(world),
        _ledger(app),
        "<h2>Reset</h2><p>Back to the demo world of the first start.</p>",
        pages.form("<button>Reset everything</button>", action="/_control/reset"),
    )


def _clock(world: World) -> str:
    steps = "".join(
        f'<button name="seconds" value="{seconds}">{name} ahead</button>'
        for name, seconds in _STEPS
    )
    return (
        f"<h2>Clock</h2><p>It is <strong>{world.clock.iso()}</strong> here, "
        f"{world.clock.offset:.0f} seconds ahead of the real time.</p>"
        + pages.form(steps, action="/_control/clock")
    )


def _faults(app: EmulatorApp) -> str:
    rows = []
    for fault in app.faults.active():
        narrowed = [fault.surface, fault.operation, fault.region, fault.seller, fault.client_id]
        end = pages.form(
            f'<button aria-label="End fault {fault.fault_id}">End</button>',
            action=f"/_control/faults/{fault.fault_id}",
        )
        rows.append(
            [
                escape(fault.name or "fault"),
                escape(" ".join(item for item in narrowed if item)) or "every call",
                str(fault.struck),
                "until ended" if fault.times is None else str(fault.times),
                end,
            ]
        )
    if not rows:
        return "<h2>Faults</h2><p>None: Amazon is well.</p>"
    head = ["Fault", "Where", "Struck", "Times", "Action"]
    return "<h2>Faults</h2>" + pages.table("Active faults", head, rows)


def _scenario(scenario: Scenario) -> str:
    inputs = "".join(
        pages.field(name, str(value), prefix=scenario.name)
        for name, value in scenario.options.items()
    )
    return (
        f"<details><summary><strong>{scenario.name}</strong></summary>"
        f"<p>{escape(scenario.description)}</p>"
        + pages.form(
            inputs,
            f'<p><button class="primary">Start {scenario.name}</button></p>',
            action=f"/_control/scenarios/{scenario.name}",
        )
        + "</details>"
    )


def _console(world: World) -> str:
    """What the consoles of both applications show after a rotation there; ours forgets it when it
    stops."""
    if not world.console_secrets:
        return ""
    rows = [
        [kind, f"<code>{escape(secret)}</code>"] for kind, secret in world.console_secrets.items()
    ]
    return "<h2>Client secrets</h2>" + pages.table(
        "New secrets, as the console shows them", ["Application", "Secret"], rows
    )


def _accounts(world: World) -> str:
    sellers = [
        [
            f"<code>{escape(seller.seller_id)}</code>",
            escape(seller.name),
            " ".join(seller.regions),
            str(len(seller.participations)),
            ", ".join(
                word
                for word, applies in (
                    ("vendor", seller.is_vendor),
                    ("secondary user", seller.is_secondary_user),
                )
                if applies
            ),
        ]
        for seller in world.sellers.values()
    ]
    logins = [
        [escape(login.login), escape(login.name), str(len(login.profiles))]
        for login in world.ads_logins.values()
    ]
    return (
        "<h2>Accounts</h2>"
        + pages.table(
            "Selling accounts", ["Seller ID", "Name", "Regions", "Marketplaces", "Notes"], sellers
        )
        + pages.table("Amazon Ads logins", ["Login", "Name", "Profiles"], logins)
    )


def _grants(world: World) -> str:
    now = world.clock.now()
    rows = [
        [
            grant.kind,
            escape(grant.seller),
            grant.region or "all",
            times.iso(grant.granted_at),
            "alive" if grant.is_alive(now) else "revoked" if grant.revoked_at else "expired",
        ]
        for grant in world.grants.values()
    ]
    head = ["Kind", "Seller or login", "Region", "Consent", "State"]
    return "<h2>Grants</h2>" + pages.table("Consents given", head, rows)


def _ledger(app: EmulatorApp) -> str:
    rows = [
        [
            times.iso(entry.at),
            escape(entry.surface),
            escape(entry.operation),
            entry.region,
            escape(entry.seller),
            str(entry.status),
            escape(entry.error),
        ]
        for entry in reversed(app.ledger.calls()[-_LAST_CALLS:])
    ]
    head = ["Time", "Surface", "Operation", "Region", "Seller or login", "Status", "Error"]
    return "<h2>Ledger</h2>" + pages.table(f"The last {_LAST_CALLS} calls", head, rows)
