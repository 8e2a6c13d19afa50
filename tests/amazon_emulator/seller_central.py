"""Seller Central, one host per country: the consent page of the Selling Partner API.

Amazon documents neither the look of these pages nor their HTTP status; only the error codes,
the redirect after Confirm, and that Cancel comes back to nobody.
"""

from __future__ import annotations

import secrets
import uuid
from html import escape
from urllib.parse import unquote

from tests.amazon_emulator import pages
from tests.amazon_emulator.accounts import Seller
from tests.amazon_emulator.applications import Application
from tests.amazon_emulator.marketplaces import SELLER_CENTRAL_HOSTS
from tests.amazon_emulator.wire import (
    Args,
    Call,
    Identity,
    Reply,
    redirect_reply,
    sha256,
    with_params,
)
from tests.amazon_emulator.world import AppstoreState, World


class ConsentStopped(Exception):
    """Amazon shows one of its own pages."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.error)
        self.reply = reply


class SellerCentral:
    """`base_url` is where the emulator itself is reached."""

    def __init__(self, world: World, base_url: str) -> None:
        self.world = world
        self.base_url = base_url

    def identify(self, call: Call, args: Args) -> Identity:
        region = SELLER_CENTRAL_HOSTS[args["host"]]
        application = self.world.application_by_id(call.query.get("application_id", ""))
        return Identity(
            surface="seller_central",
            operation=_operation(call),
            region=region,
            client_id=application.client_id if application else "",
            seller=self._chosen(call, region) if call.method == "POST" else "",
        )

    def _chosen(self, call: Call, region: str) -> str:
        return call.form.get("seller") or self.active_seller(region)

    def active_seller(self, region: str) -> str:
        """The account Seller Central was last switched to, or the first one there is."""
        active = self.world.active_sellers.get(region, "")
        known = self.world.sellers_in(region)
        return active or (known[0].seller_id if known else "")

    def answer(self, call: Call, args: Args) -> Reply:
        try:
            application = self.require_application(
                call.query.get("application_id", ""), call.query.get("version", "")
            )
            redirect_uri = require_redirect_uri(application, call.query.get("redirect_uri", ""))
            if call.method != "POST":
                return self._consent_page(application, args["host"])
            if call.form.get("decision") != "confirm":
                return _cancelled()
            return self._confirm(call, args["host"], application, redirect_uri)
        except ConsentStopped as stopped:
            return stopped.reply

    # Checks -----------------------------------------------------------------------------

    def require_application(self, application_id: str, version: str) -> Application:
        application = self.world.application_by_id(application_id)
        if application is None or application.is_draft != (version == "beta"):
            raise ConsentStopped(
                pages.error_page(
                    "MD1000",
                    "This application cannot be authorized",
                    "The application does not exist, or it is a draft and the address lacks "
                    "version=beta, or it is published and the address still has it.",
                )
            )
        if application.is_private or not (application.login_uri or application.redirect_uris):
            raise ConsentStopped(
                pages.error_page(
                    "MD9100",
                    "This application has no OAuth addresses",
                    "The application is registered without an OAuth Login URI and an OAuth "
                    "Redirect URI, or it is private.",
                )
            )
        return application

    def _require_seller(self, application: Application, seller_id: str, region: str) -> Seller:
        seller = self.world.sellers.get(seller_id)
        if seller is None or region not in seller.regions:
            raise ConsentStopped(
                pages.page(
                    "You do not have permissions to view this page",
                    "<p>This account does not exist in this region.</p>",
                    status=403,
                    error="NO_PERMISSION",
                )
            )
        if seller.is_vendor:
            raise ConsentStopped(
                pages.error_page(
                    "SPSA0404",
                    "This application does not support your business",
                    "The application supports sellers and this is a vendor account.",
                    status=403,
                )
            )
        if seller.is_secondary_user:
            raise ConsentStopped(
                pages.error_page(
                    "SPDC8143",
                    "Only the primary user can authorize an application",
                    "You are signed in as a secondary user of this account.",
                    status=403,
                )
            )
        self._require_free_consent(application, seller_id)
        return seller

    def _require_free_consent(self, application: Application, seller_id: str) -> None:
        """25 sellers while unlisted; a seller who consented before does not count again."""
        sellers = self.world.sellers_with_consent(application)
        used = application.other_consents + len(sellers)
        if application.is_listed or seller_id in sellers or used < application.consent_limit:
            return
        raise ConsentStopped(
            pages.error_page(
                "CONSENT_LIMIT_REACHED",
                "This application has reached its limit of authorizations",
                f"An application that is not listed in the Selling Partner Appstore can be "
                f"authorized by {application.consent_limit} sellers.",
                status=403,
            )
        )

    # Pages ------------------------------------------------------------------------------

    def _consent_page(self, application: Application, host: str) -> Reply:
        region = SELLER_CENTRAL_HOSTS[host]
        # By name, as a list of hundreds is searched: by typing in it.
        sellers = sorted(self.world.sellers_in(region), key=lambda one: (one.name, one.seller_id))
        accounts = [(one.seller_id, f"{one.name} ({one.seller_id})") for one in sellers]
        roles = "".join(f"<li>{escape(role)}</li>" for role in application.roles)
        return pages.page(
            f"Authorize {application.name}",
            f"<p>Seller Central at <strong>{escape(host)}</strong>, region {region}.</p>"
            f"<p>{escape(application.name)} asks for these roles:</p><ul>{roles}</ul>",
            pages.form(
                pages.select(
                    "seller", "Selling account", accounts, chosen=self.active_seller(region)
                ),
                pages.buttons("decision", [("confirm", "Confirm"), ("cancel", "Cancel")]),
            ),
        )

    def _confirm(self, call: Call, host: str, application: Application, redirect_uri: str) -> Reply:
        region = SELLER_CENTRAL_HOSTS[host]
        seller = self._require_seller(application, self._chosen(call, region), region)
        self.world.active_sellers[region] = seller.seller_id
        self.world.changed()
        # Amazon documents a consent address without `state` as the way into the Appstore flow.
        if "state" not in call.query and application.login_uri:
            return self.start_appstore_flow(application, host, seller.seller_id)
        return self.finish(
            application, seller.seller_id, region, redirect_uri, call.query.get("state", "")
        )

    def finish(
        self,
        application: Application,
        seller_id: str,
        region: str,
        redirect_uri: str,
        state: str,
    ) -> Reply:
        """The consent is given: back to the application with a code, and no region."""
        grant = self.world.add_grant("spapi", seller_id, region=region)
        params = {"state": state, "selling_partner_id": seller_id}
        if application.is_hybrid:
            params["mws_auth_token"] = f"amzn.mws.{uuid.uuid4()}"
            self.world.remember(params["mws_auth_token"])
        params["spapi_oauth_code"] = self.world.issue_code(grant, redirect_uri=redirect_uri)
        return redirect_reply(with_params(redirect_uri, params))

    def start_appstore_flow(self, application: Application, host: str, seller_id: str) -> Reply:
        """Calls the application's OAuth Login URI; only the host tells the region."""
        amazon_state = secrets.token_urlsafe(48)
        self.world.appstore_states[sha256(amazon_state)] = AppstoreState(
            application.application_id, host, seller_id, self.world.clock.now()
        )
        self.world.remember(amazon_state)
        self.world.changed()
        confirm = f"{self.base_url}/{host}/apps/authorize/confirm/{application.application_id}"
        params = {
            "amazon_callback_uri": confirm,
            "amazon_state": amazon_state,
            "selling_partner_id": seller_id,
        }
        if application.is_draft:
            params["version"] = "beta"
        return redirect_reply(with_params(application.login_uri, params))


def require_redirect_uri(application: Application, redirect_uri: str) -> str:
    """The URI to come back to: the first registered one when none is given."""
    if "#" in unquote(redirect_uri):
        raise ConsentStopped(
            pages.error_page(
                "MD5110", "The redirect URI is not valid", "A redirect URI must not contain #."
            )
        )
    if redirect_uri and redirect_uri not in application.redirect_uris:
        raise ConsentStopped(
            pages.error_page(
                "MD5101",
                "The redirect URI is not registered",
                "The redirect URI must be one of those of the application, letter for letter.",
            )
        )
    return redirect_uri or (application.redirect_uris or [""])[0]


def _operation(call: Call) -> str:
    if call.method != "POST":
        return "consent_page"
    return "confirm" if call.form.get("decision") == "confirm" else "cancel"


def _cancelled() -> Reply:
    return pages.page(
        "You did not authorize the application",
        "<p>Nothing was changed. You can close this page.</p>",
    )
