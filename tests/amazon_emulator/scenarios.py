"""Named situations that people and tests can bring about: changed accounts and applications.

Those that only spoil the answers are in `troubles.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tests.amazon_emulator import clock as times
from tests.amazon_emulator import demo, troubles
from tests.amazon_emulator.accounts import AdsLogin, Seller
from tests.amazon_emulator.applications import ROLES
from tests.amazon_emulator.faults import Faults
from tests.amazon_emulator.marketplaces import find_marketplace
from tests.amazon_emulator.world import World

Start = Callable[..., None]


@dataclass(frozen=True)
class Scenario:
    """`options` are the names and defaults of what it can be told."""

    name: str
    description: str
    options: dict[str, str | int | float]
    start: Start


class Scenarios:
    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults
        self.all = {
            **{item.name: item for item in _scenarios(_IN_THE_WORLD, world)},
            **{item.name: item for item in _scenarios(troubles.TROUBLES, faults)},
            "normal": Scenario("normal", inspect.getdoc(self._normal) or "", {}, self._normal),
        }

    def start(self, name: str, /, **options: Any) -> None:
        """KeyError for an unknown name, TypeError for unknown options, ValueError for values
        that mean nothing. Numbers may come as text, as forms send them."""
        scenario = self.all[name]
        unknown = set(options) - set(scenario.options)
        if unknown:
            raise TypeError(f"{name} has no option {', '.join(sorted(unknown))}")
        with self.world.lock:
            scenario.start(
                **{key: type(scenario.options[key])(value) for key, value in options.items()}
            )
            self.world.changed()
            self.world.save_if_changed()

    def _normal(self) -> None:
        """End every trouble and every switch of the applications; accounts stay as they are."""
        self.faults.clear()
        for application in self.world.applications.values():
            application.is_draft = application.is_private = application.is_hybrid = False
            application.refuses_secrets = False
            application.has_rotation_queue = True
            application.other_consents = 0
            application.roles = list(ROLES)
            application.secrets[-1].expires_at = max(
                application.secrets[-1].expires_at,
                self.world.clock.now() + times.SECRET_SECONDS,
            )
        self.world.use_product_url(self.world.product_url)
        self.world.active_sellers.clear()
        self.world.active_login = ""
        for seller in self.world.sellers.values():
            seller.is_secondary_user = False


def _scenarios(starts: Iterable[Start], stage: object) -> Iterable[Scenario]:
    for start in starts:
        parameters = list(inspect.signature(start).parameters.values())[1:]
        yield Scenario(
            name=start.__name__,
            description=inspect.getdoc(start) or "",
            options={item.name: item.default for item in parameters},
            start=_bound(start, stage),
        )


def _bound(start: Start, stage: object) -> Start:
    def bound(**options: Any) -> None:
        start(stage, **options)

    return bound


def _seller(world: World, seller: str) -> Seller:
    if seller not in world.sellers:
        raise ValueError(f"there is no seller {seller}")
    return world.sellers[seller]


def _login(world: World, login: str) -> AdsLogin:
    if login not in world.ads_logins:
        raise ValueError(f"there is no Ads login {login}")
    return world.ads_logins[login]


# Grants ---------------------------------------------------------------------------------


def revoked_grant(world: World, seller: str = demo.NORTHSTAR, region: str = "") -> None:
    """The seller disables the authorization (in one region, or all), or an Ads login removes
    the application: refreshing answers 400 invalid_grant, access tokens in use 403."""
    world.revoke(seller, region or None)


def expired_grant(world: World, seller: str = demo.NORTHSTAR) -> None:
    """365 days have passed since the consents of this Seller ID or Ads login."""
    for grant in world.grants.values():
        if grant.seller == seller:
            grant.granted_at = world.clock.now() - times.GRANT_SECONDS


# The account switcher -------------------------------------------------------------------


def wrong_account(world: World, seller: str = demo.BLUE_HARBOR) -> None:
    """Seller Central is switched to another account, which Confirm then authorizes."""
    for region in _seller(world, seller).regions:
        world.active_sellers[region] = seller


def wrong_login(world: World, login: str = demo.PERSONAL_LOGIN) -> None:
    """The browser is signed in to Amazon Ads as somebody else."""
    world.active_login = _login(world, login).login


def secondary_user(world: World, seller: str = demo.NORTHSTAR) -> None:
    """Whoever is signed in is not the primary user of the account: SPDC8143."""
    _seller(world, seller).is_secondary_user = True


# The applications -----------------------------------------------------------------------


def draft_app(world: World) -> None:
    """The application is a draft: without version=beta everything ends at MD1000."""
    world.applications["spapi"].is_draft = True


def private_app(world: World) -> None:
    """The application is private, OAuth is not for it: MD9100."""
    world.applications["spapi"].is_private = True


def no_oauth_addresses(world: World) -> None:
    """Neither a login nor a redirect URI is registered: MD9100."""
    world.applications["spapi"].login_uri = ""
    world.applications["spapi"].redirect_uris = []


def hybrid_app(world: World) -> None:
    """An old "SP-API and MWS" application: the callback also carries mws_auth_token."""
    world.applications["spapi"].is_hybrid = True


def consent_limit(world: World) -> None:
    """25 sellers have consented already: a new one ends at CONSENT_LIMIT_REACHED."""
    application = world.applications["spapi"]
    application.other_consents = application.consent_limit


def missing_role(world: World) -> None:
    """The application has lost its roles: 403 with empty details."""
    world.applications["spapi"].roles = []


def expired_secret(world: World) -> None:
    """The client secret was not rotated in 180 days: Login with Amazon still answers 200, the
    Selling Partner API 403."""
    world.applications["spapi"].secrets[-1].expires_at = world.clock.now()


def wrong_secret(world: World, application: str = "spapi") -> None:
    """Amazon knows another client secret than the product (spapi or ads): 401 invalid_client."""
    world.applications[_application_kind(application)].refuses_secrets = True


def rotated_secret(world: World, application: str = "spapi") -> None:
    """Somebody rotated the client secret in the console (spapi or ads), which shows the new one, as
    the control page does; that of spapi goes to the rotation queue too. The old one works 7 more
    days."""
    kind = _application_kind(application)
    world.console_secrets[kind] = world.rotate_secret(kind)


def ended_overlap(world: World, application: str = "spapi") -> None:
    """The 7 days after a rotation are over: Login with Amazon refuses the older secret."""
    for secret in world.applications[_application_kind(application)].secrets[:-1]:
        secret.expires_at = world.clock.now()


def no_rotation_queue(world: World) -> None:
    """No queue is registered for rotation: the API answers 400."""
    world.applications["spapi"].has_rotation_queue = False


def _application_kind(name: str) -> Literal["spapi", "ads"]:
    if name == "spapi":
        return "spapi"
    if name == "ads":
        return "ads"
    raise ValueError("application is spapi or ads")


# Marketplaces ---------------------------------------------------------------------------


def lost_marketplace(world: World, seller: str = demo.NORTHSTAR, marketplace: str = "CA") -> None:
    """The marketplace is no longer in Amazon's answer."""
    _seller(world, seller).lose_marketplace(marketplace)


def new_marketplace(world: World, seller: str = demo.NORTHSTAR, marketplace: str = "BR") -> None:
    """The seller begins to sell in a marketplace."""
    _seller(world, seller).add_marketplace(marketplace)


def not_participating(world: World, seller: str = demo.NORTHSTAR, marketplace: str = "MX") -> None:
    """The seller stops selling in a marketplace that stays in the answer."""
    _seller(world, seller).participation(marketplace).is_participating = False


def suspended_listings(world: World, seller: str = demo.NORTHSTAR, marketplace: str = "US") -> None:
    """The listing status is inactive (vacation)."""
    _seller(world, seller).participation(marketplace).has_suspended_listings = True


def empty_participations(world: World, seller: str = demo.NORTHSTAR) -> None:
    """Amazon lists no marketplace at all."""
    _seller(world, seller).participations.clear()


# Ads profiles ---------------------------------------------------------------------------


def empty_profiles(world: World, login: str = demo.NORTHSTAR_LOGIN) -> None:
    """The login has no advertiser account: the answer is []."""
    _login(world, login).profiles.clear()


def view_only(world: World, login: str = demo.NORTHSTAR_LOGIN) -> None:
    """The login may look but not edit: its profiles are listed with accessLevel=view only."""
    for profile in _login(world, login).profiles:
        profile.access = "view"


def lost_profile(world: World, login: str = demo.NORTHSTAR_LOGIN, marketplace: str = "CA") -> None:
    """The login has no profile in this marketplace any more."""
    account = _login(world, login)
    lost = find_marketplace(marketplace).marketplace_id
    account.profiles = [item for item in account.profiles if item.marketplace_id != lost]


def new_profile(
    world: World,
    login: str = demo.NORTHSTAR_LOGIN,
    account_id: str = demo.NORTHSTAR,
    marketplace: str = "MX",
) -> None:
    """The seller runs a first campaign in a marketplace, so the login has a profile there."""
    _login(world, login).add_profile(marketplace, account_id=account_id)


_IN_THE_WORLD: tuple[Start, ...] = (
    revoked_grant,
    expired_grant,
    wrong_account,
    wrong_login,
    secondary_user,
    draft_app,
    private_app,
    no_oauth_addresses,
    hybrid_app,
    consent_limit,
    missing_role,
    expired_secret,
    wrong_secret,
    rotated_secret,
    ended_overlap,
    no_rotation_queue,
    lost_marketplace,
    new_marketplace,
    not_participating,
    suspended_listings,
    empty_participations,
    empty_profiles,
    view_only,
    lost_profile,
    new_profile,
)
