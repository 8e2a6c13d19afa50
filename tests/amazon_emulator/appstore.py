"""The Selling Partner Appstore: starts that begin at Amazon, and renewals, which are the same."""

from __future__ import annotations

from html import escape

from tests.amazon_emulator import clock as times
from tests.amazon_emulator import pages
from tests.amazon_emulator.marketplaces import SELLER_CENTRAL_HOSTS
from tests.amazon_emulator.seller_central import (
    ConsentStopped,
    SellerCentral,
    require_redirect_uri,
)
from tests.amazon_emulator.wire import Args, Call, Identity, Reply, redirect_reply, sha256
from tests.amazon_emulator.world import World


class Appstore:
    """`/appstore/`: the listing, with Authorize Now per Seller Central host."""

    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call, args: Args) -> Identity:
        return Identity(surface="appstore", operation="listing")

    def answer(self, call: Call, args: Args) -> Reply:
        application = self.world.applications["spapi"]
        version = "&amp;version=beta" if application.is_draft else ""
        links = "".join(
            f'<li><a href="/{host}/apps/authorize/consent?'
            f'application_id={escape(application.application_id)}{version}">'
            f"Authorize Now at {host}</a> ({region})</li>"
            for host, region in SELLER_CENTRAL_HOSTS.items()
        )
        manage = "".join(
            f'<li><a href="/{host}/apps/manage">Manage Your Apps at {host}</a></li>'
            for host in ("sellercentral.amazon.com", "sellercentral-europe.amazon.com")
        )
        return pages.page(
            f"{application.name} in the Selling Partner Appstore",
            "<p>Choose the Seller Central of your own store. After the consent you are sent to "
            f"the application to sign in there.</p><ul>{links}</ul>"
            f"<h2>Already authorized?</h2><ul>{manage}</ul>",
        )


class AppstoreConfirm:
    """`/apps/authorize/confirm/<application>`: the application brings the seller back."""

    def __init__(self, world: World, seller_central: SellerCentral) -> None:
        self.world = world
        self.seller_central = seller_central

    def identify(self, call: Call, args: Args) -> Identity:
        state = self.world.appstore_states.get(sha256(call.query.get("amazon_state", "")))
        application = self.world.application_by_id(args["application_id"])
        return Identity(
            surface="seller_central",
            operation="appstore_confirm",
            region=SELLER_CENTRAL_HOSTS[args["host"]],
            client_id=application.client_id if application else "",
            seller=state.seller if state else "",
        )

    def answer(self, call: Call, args: Args) -> Reply:
        host = args["host"]
        try:
            application = self.seller_central.require_application(
                args["application_id"], call.query.get("version", "")
            )
            redirect_uri = require_redirect_uri(application, call.query.get("redirect_uri", ""))
        except ConsentStopped as stopped:
            return stopped.reply
        state = self.world.appstore_states.get(sha256(call.query.get("amazon_state", "")))
        now = self.world.clock.now()
        if (
            state is None
            or (state.application_id, state.host) != (application.application_id, host)
            or now >= state.issued_at + times.APPSTORE_STATE_SECONDS
        ):
            return pages.page(
                "This authorization cannot go on",
                "<p>The amazon_state is missing, changed or too old. Start again in the "
                "Selling Partner Appstore.</p>",
                status=400,
                error="INVALID_AMAZON_STATE",
            )
        return self.seller_central.finish(
            application,
            state.seller,
            SELLER_CENTRAL_HOSTS[host],
            redirect_uri,
            call.query.get("state", ""),
        )


class ManageApps:
    """Manage Your Apps, where sellers disable an authorization or renew it."""

    def __init__(self, world: World, seller_central: SellerCentral) -> None:
        self.world = world
        self.seller_central = seller_central

    def identify(self, call: Call, args: Args) -> Identity:
        return Identity(
            surface="seller_central",
            operation=call.form.get("decision") or "manage_apps",
            region=SELLER_CENTRAL_HOSTS[args["host"]],
            seller=call.form.get("seller", ""),
        )

    def answer(self, call: Call, args: Args) -> Reply:
        host = args["host"]
        region = SELLER_CENTRAL_HOSTS[host]
        seller = call.form.get("seller", "")
        if call.method == "POST" and seller in self.world.sellers:
            if call.form.get("decision") == "reauthorize":
                application = self.world.applications["spapi"]
                return self.seller_central.start_appstore_flow(application, host, seller)
            if call.form.get("decision") == "disable":
                self.world.revoke(seller, region)
                return redirect_reply(f"/{host}/apps/manage")
        return self._page(host, region)

    def _page(self, host: str, region: str) -> Reply:
        rows = []
        for grant in self.world.grants.values():
            if grant.kind != "spapi" or grant.region != region:
                continue
            state = "Disabled" if grant.revoked_at is not None else "Authorized"
            actions = pages.form(
                pages.hidden(seller=grant.seller),
                pages.buttons(
                    "decision",
                    [("reauthorize", "Re-Authorize"), ("disable", "Disable authorization")],
                ),
            )
            until = times.iso(grant.granted_at + times.GRANT_SECONDS)[:10]
            rows.append([escape(grant.seller), f"{state}, until {until}", actions])
        return pages.page(
            "Manage Your Apps",
            f"<p>Seller Central at <strong>{escape(host)}</strong>, region {region}.</p>",
            pages.table("Authorizations", ["Selling account", "State", "Actions"], rows),
            '<p><a href="/appstore/">Selling Partner Appstore</a></p>',
        )
