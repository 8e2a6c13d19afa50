"""The OAuth attack matrix: every flow, with every wrong state, in every wrong session (T2).

One cell is one callback. `what_must_happen` says what each cell must do; the test makes the
cell real, opens it and compares. A callback that is not this browser's and this person's open
trip is refused: nothing is called, nothing changes, one audit event, one neutral page. A trip
that is the person's own but over is told as what it is, and is just as empty of effects.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse

from connections.models import AuthorizationRequest, Connection
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import GERMANY, US
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
MARKETING = "ads@northstar.example"
BACK_FROM_SELLER_CENTRAL = "/amazon/spapi/callback"
PATHS = {
    "spapi": BACK_FROM_SELLER_CENTRAL,
    "appstore": BACK_FROM_SELLER_CENTRAL,
    "ads": "/amazon/ads/callback",
}
SUCCESS = {"spapi": "connected", "appstore": "connected", "ads": "ads_connected"}

# "appstore" begins at Amazon's side, with our OAuth Login URI.
FLOWS = ("spapi", "appstore", "ads")
STATES = (
    "right",
    "missing",
    "empty",
    "doubled",
    "forged",
    "expired",
    "consumed",
    "other browser",
    "other user",
    "other organization",
    "other flow",
    "other region",
)
SESSIONS = ("same", "none", "switched", "demoted", "removed", "deactivated")
CELLS = tuple(itertools.product(FLOWS, STATES, SESSIONS))
RIGHT_CELLS = tuple(itertools.product(FLOWS, ["right"], ["same", "switched"]))

REFERENCE = re.compile(rb"[2-9BCDFGHJKMNPQRSTVWXZ]{8}")


@dataclass
class Scene:
    """A person with two organizations, and the browser in which the trips began."""

    amazon: RunningEmulator
    organization: Organization
    elsewhere: Organization
    person: User
    browser: Client

    def leave(
        self, flow: str, client: Client, organization: Organization, row: Connection | None = None
    ) -> str:
        """Out to Amazon: the consent page's address."""
        if flow == "spapi":
            return trips.leave(client, row or factories.make_waiting_connection(organization))
        if flow == "appstore":
            seller = (row.selling_partner_id if row else None) or NORTHSTAR
            host = "sellercentral-europe.amazon.com" if row else "sellercentral.amazon.com"
            link = trips.reauthorize(self.amazon, host, seller)
            return trips.say_yes(client, link, organization, marketplace=US)
        row = row or factories.make_connection(organization)
        account = factories.make_account(row, row.marketplace_id)
        return trips.leave_for_ads(client, row, [account.pk])

    def consent(self, flow: str) -> Callback:
        """Back from Amazon with everything right, but not opened yet."""
        url = self.leave(flow, self.browser, self.organization)
        if flow == "appstore":
            return trips.arrive_from(url)
        return trips.confirm(url, NORTHSTAR) if flow == "spapi" else trips.allow(url, MARKETING)


@pytest.fixture
def scene(amazon: RunningEmulator) -> Scene:
    organization = factories.make_organization("Northstar Trading")
    elsewhere = factories.make_organization("Second Company")
    person = factories.make_member(organization)
    factories.make_member(elsewhere, Role.OWNER, user=person)
    return Scene(amazon, organization, elsewhere, person, trips.sign_in(person))


# The cells ---------------------------------------------------------------------------------


def with_state(scene: Scene, flow: str, state: str) -> tuple[str, str]:
    """The callback's address with this state, and the state that it names, if any."""
    right = scene.consent(flow)
    match state:
        case "right":
            named = right
        case "missing" | "empty":
            named = right.with_params(state=None if state == "missing" else "")
        case "doubled":
            return f"{right}&state={right.params['state']}", ""
        case "forged":
            named = right.with_params(state="x" * 43)
        case "expired":
            age(right.trip)
            named = right
        case "consumed":
            scene.browser.get(str(right))
            named = right
        case _:
            named = right.with_params(state=state_of(foreign_trip(scene, flow, state)))
    return str(named), named.params.get("state", "")


def foreign_trip(scene: Scene, flow: str, whose: str) -> str:
    """The consent page of somebody else, or of the same person's trip in another browser, for
    the other flow, or for a European row that belongs to another seller."""
    match whose:
        case "other flow":
            other = "spapi" if flow == "ads" else "ads"
            return scene.leave(other, scene.browser, scene.organization)
        case "other region":
            row = factories.make_connection(
                scene.organization, seller=BLUE_HARBOR, marketplace_id=GERMANY
            )
            return scene.leave(flow, scene.browser, scene.organization, row)
        case "other organization":
            stranger = factories.make_organization("Stranger")
            return scene.leave(flow, trips.sign_in(factories.owner_of(stranger)), stranger)
        case "other browser":
            return scene.leave(flow, trips.sign_in(scene.person), scene.organization)
    colleague = factories.make_member(scene.organization)
    return scene.leave(flow, trips.sign_in(colleague), scene.organization)


def state_of(consent_url: str) -> str:
    [state] = parse_qs(urlsplit(consent_url).query)["state"]
    return state


def age(trip: AuthorizationRequest) -> None:
    past = timedelta(minutes=10, seconds=1)
    AuthorizationRequest._base_manager.filter(pk=trip.pk).update(
        created_at=F("created_at") - past, expires_at=F("expires_at") - past
    )


def nothing_happens(_scene: Scene) -> None:
    pass


def sign_out(scene: Scene) -> None:
    scene.browser.logout()


def switch(scene: Scene) -> None:
    """Another tab opens the list of the second organization, which is then the active one."""
    response = scene.browser.get(reverse("account_connections", args=[scene.elsewhere.slug]))
    assert response.status_code == 200
    scene.person.refresh_from_db()
    assert scene.person.last_organization == scene.elsewhere


def demote(scene: Scene) -> None:
    membership(scene).update(role=Role.VIEWER)


def remove(scene: Scene) -> None:
    membership(scene).delete()


def deactivate(scene: Scene) -> None:
    User.objects.filter(pk=scene.person.pk).update(is_active=False)


def membership(scene: Scene) -> Any:
    return Membership.objects.for_organization(scene.organization).filter(user=scene.person)


CHANGES: dict[str, Callable[[Scene], None]] = {
    "same": nothing_happens,
    "none": sign_out,
    "switched": switch,
    "demoted": demote,
    "removed": remove,
    "deactivated": deactivate,
}


# What each must do -------------------------------------------------------------------------


# Checks come in the order of the callback: the state itself, the browser, the person, the flow,
# whether the trip is over, the role. The first that fails decides.
REFUSED_STATES = {
    "missing": "refused: state_missing",
    "empty": "refused: state_missing",
    "doubled": "refused: state_missing",
    "forged": "refused: state_unknown",
    "other browser": "refused: other_browser",
    "other user": "refused: other_browser",
    "other organization": "refused: other_browser",
}
REFUSED_SESSIONS = {"none": "refused: other_browser", "deactivated": "refused: other_person"}
LOST_RIGHTS = {"demoted": "role_too_low", "removed": "role_too_low"}


def what_must_happen(flow: str, state: str, session: str) -> tuple[str, int]:
    """The ending and how often Amazon is called."""
    over = {"other flow": "refused: other_kind", "consumed": SUCCESS[flow], "expired": "expired"}
    for failing, found in (
        (REFUSED_STATES, state),
        (REFUSED_SESSIONS, session),
        (over, state),
        (LOST_RIGHTS, session),
    ):
        if found in failing:
            return failing[found], 0
    if state == "other region":
        # Seller Central names the seller, so the trip stops. Amazon Ads names nobody: there
        # PKCE binds the code to its own trip, and Amazon refuses it.
        return ("code_rejected", 1) if flow == "ads" else ("wrong_account", 0)
    return SUCCESS[flow], 1


def events_of(ending: str, state: str) -> tuple[str, ...]:
    if ending.startswith("refused"):
        return ("authorization_refused",)
    # A trip that was used up says again what it said the first time.
    return () if state == "consumed" else ("authorization_ended",)


def ending_of(address: str, client: Client) -> tuple[str, Any]:
    """How the callback ended, as staff find it, and the answer."""
    answer = client.get(address)
    location = answer.headers["Location"]
    assert answer.status_code == 303
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content == b""
    if not location.startswith("/amazon/outcome/"):
        assert location.startswith("/o/northstar-trading/connections/?connected=")
        return "success", answer
    reference = location.removeprefix("/amazon/outcome/")
    assert REFERENCE.fullmatch(reference.encode())
    trip = AuthorizationRequest._base_manager.filter(reference=reference).first()
    if trip is not None:
        return trip.outcome, answer
    [event] = AuditEvent._base_manager.filter(code="authorization_refused", reference=reference)
    return f"refused: {event.details['cause']}", answer


def title(cell: tuple[str, str, str]) -> str:
    return "-".join(cell).replace(" ", "_")


def test_the_matrix_has_every_cell() -> None:
    endings = [what_must_happen(*cell) for cell in CELLS]

    assert len(CELLS) == 3 * 12 * 6 == 216
    assert [cell for cell in CELLS if what_must_happen(*cell)[1] and cell[1] == "right"] == list(
        RIGHT_CELLS
    )
    assert len(RIGHT_CELLS) == 6
    # 210 wrong cells; two of them (Ads, another region's trip) are refused by Amazon's PKCE.
    assert sum(calls == 0 for _, calls in endings) == 208


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in RIGHT_CELLS], ids=title)
def test_a_wrong_callback_has_no_effect(cell: tuple[str, str, str], scene: Scene) -> None:
    flow, state, session = cell
    address, value = with_state(scene, flow, state)
    CHANGES[session](scene)
    ending, calls = what_must_happen(*cell)
    trip = Callback(PATHS[flow], {"state": value}).trip if ending in OWN_ENDINGS else None

    with nothing_changes(scene.amazon, events=events_of(ending, state), ended=trip, calls=calls):
        found, answer = ending_of(address, scene.browser)

    assert found == ("success" if ending in SUCCESS.values() else ending)
    assert_nothing_travels(address, answer)
    if ending.startswith("refused"):
        assert_is_the_neutral_page(scene, answer, is_signed_in=session not in ("none",))


OWN_ENDINGS = frozenset({"expired", "role_too_low", "wrong_account", "code_rejected"})


@pytest.mark.parametrize("cell", RIGHT_CELLS, ids=title)
def test_a_right_callback_succeeds_exactly_once(cell: tuple[str, str, str], scene: Scene) -> None:
    flow, state, session = cell
    address, value = with_state(scene, flow, state)
    CHANGES[session](scene)

    first, answer = ending_of(address, scene.browser)

    assert first == "success"
    assert Callback(PATHS[flow], {"state": value}).trip.outcome == SUCCESS[flow]
    assert scene.amazon.ledger.count(surface="lwa") == 1
    assert_nothing_travels(address, answer)
    assert not Connection.objects.for_organization(scene.elsewhere).exists()
    with nothing_changes(scene.amazon, events=()):
        assert ending_of(address, scene.browser)[0] == "success"


def assert_nothing_travels(address: str, answer: Any) -> None:
    """Neither code nor state nor anything else of the query is in where the browser goes."""
    for pair in address.partition("?")[2].split("&"):
        value = pair.partition("=")[2]
        assert not value or value not in answer.headers["Location"]
        assert not value or value not in str(answer.cookies)


def assert_is_the_neutral_page(scene: Scene, answer: Any, *, is_signed_in: bool) -> None:
    """To the byte what somebody sees who made the reference up."""
    client = scene.browser
    if not is_signed_in or not User.objects.get(pk=scene.person.pk).is_active:
        login = client.get(answer.headers["Location"])
        assert login.headers["Location"].startswith(reverse("account_login"))
        client = trips.sign_in(factories.make_user())
    real = client.get(answer.headers["Location"])
    made_up = client.get(reverse("authorization_outcome", args=["BCDFGHJK"]))
    assert real.status_code == made_up.status_code == 400
    assert REFERENCE.search(real.content)
    assert without_chance(real) == without_chance(made_up)


def without_chance(page: Any) -> bytes:
    """Without what differs between two answers: reference, masked CSRF token, nonce."""
    body = re.sub(rb'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"', b"", page.content)
    return REFERENCE.sub(b"", body)


# Another region, same seller ---------------------------------------------------------------


def test_a_region_in_the_address_means_nothing(scene: Scene) -> None:
    """The region is the stored trip's; a callback path with a region does not exist (A10)."""
    callback = scene.consent("spapi")
    labelled = callback.with_params(region="EU", marketplaceId=GERMANY, marketplace_ids=GERMANY)

    with nothing_changes(scene.amazon, events=()):
        for path in ("/amazon/eu/spapi/callback", "/amazon/spapi/eu/callback"):
            assert scene.browser.get(f"{path}?{callback}").status_code == 404
    ending = trips.come_back(scene.browser, labelled)

    [row] = Connection.objects.for_organization(scene.organization)
    assert ending == "connected"
    assert (row.region, row.marketplace_id) == ("NA", US)


# The Appstore's entry ----------------------------------------------------------------------

HOSTILE_CALLBACK_URIS = (
    "https://evil.example/",
    "http://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "////evil.example",
    r"\\evil.example",
    r"/\evil.example",
    r"https:\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https://sellercentral.amazon.com@evil.example/apps/authorize/confirm/x",
    "https://sellercentral.amazon.com:x@evil.example/",
    "https://sellercentral.amazon.com.evil.example/apps/authorize/confirm/x",
    "https://evil.example/sellercentral.amazon.com",
    "https://evil.example#sellercentral.amazon.com",
    "https://evil.example?sellercentral.amazon.com",
    "https://sellercentral.amazon.com%2eevil.example/",
    "https://sellercentral.amazon.com%00.evil.example/",
    "https://sellercentral\N{FULLWIDTH FULL STOP}amazon.com.evil.example/",
    "https://sellercentral.amaz\N{CYRILLIC SMALL LETTER O}n.com/apps/authorize/confirm/x",
    "http://sellercentral.amazon.com/apps/authorize/confirm/x",
    "https://sellercentral.amazon.com:8443/apps/authorize/confirm/x",
    "https://sellercentral.amazon.com/gp/redirect?location=https://evil.example/",
    "https://sellercentral.amazon.com/apps/authorize/confirm/../../../redirect",
    "https://sellercentral.amazon.com/apps/authorize/confirm/amzn1.sp.solution.other",
    "https://sellercentral.amazon.com/apps/authorize/confirm/amzn1.sp.solution.emulator",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "\x00https://evil.example/",
    "https://evil.example/\r\nLocation: https://evil.example/",
    "",
)


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["member", "anonymous"])
def test_the_login_uri_redirects_nowhere_and_starts_nothing(
    scene: Scene, is_signed_in: bool
) -> None:
    """A17: no address but Amazon's own confirm page, letter for letter, is kept or used."""
    client = scene.browser if is_signed_in else Client()
    before = dict(client.session)
    refused = None
    assert len(set(HOSTILE_CALLBACK_URIS)) >= 30

    for uri in HOSTILE_CALLBACK_URIS:
        names = ("amazon_callback_uri", "redirect_uri", "next")
        sent = dict.fromkeys(names, uri) | {
            "amazon_state": "attackers-state",
            "selling_partner_id": BLUE_HARBOR,
            "version": "beta",
        }
        with nothing_changes(scene.amazon, events=()):
            response = client.get(reverse("spapi_login"), sent)
            posted = client.post(reverse("spapi_login"), sent)

        assert (response.status_code, posted.status_code) == (400, 405), uri
        assert not {"Location", "Refresh", "HX-Redirect", "HX-Location"} & set(response.headers)
        assert b"http-equiv" not in response.content
        refused = refused or without_chance(response)
        assert without_chance(response) == refused
        assert dict(client.session) == before
