"""Trips that begin at Amazon: the Appstore, and Re-Authorize in Manage Your Apps (A15, A17, A18).

The link that opens our OAuth Login URI is anybody's word. Opening it does nothing; a person
confirms, for an organization of theirs, and Amazon must come back with the seller it named.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from connections import appstore, reasons
from connections.models import AuthorizationRequest, Connection
from sellerlegend.amazon.consent import appstore_callback_uris
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.regions import MARKETPLACES, SELLER_CENTRAL_HOSTS
from sellerlegend.organizations import limits
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import GERMANY, JAPAN, UK, US
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
NA_HOST, EU_HOST = "sellercentral.amazon.com", "sellercentral-europe.amazon.com"


def rows_of(organization: Organization) -> list[Connection]:
    return list(Connection.objects.for_organization(organization).order_by("created_at"))


def page_text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.fixture
def link(amazon: RunningEmulator) -> Callback:
    """What Amazon opens for Northstar in North America."""
    return trips.reauthorize(amazon, NA_HOST, NORTHSTAR)


# The whole way -----------------------------------------------------------------------------


def test_a_start_in_the_appstore_connects_a_new_row(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    link = trips.authorize_now(amazon, NA_HOST, NORTHSTAR)

    confirm_page = trips.say_yes(browser, link, organization, marketplace=US)
    ending = trips.come_back(browser, trips.arrive_from(confirm_page))

    [row] = rows_of(organization)
    assert ending == "connected"
    assert (row.name, row.selling_partner_id, row.region) == ("From Amazon", NORTHSTAR, "NA")
    assert factories.grant_of(row).status == "active"
    assert amazon.ledger.count(surface="lwa") == 1


def test_the_browser_goes_on_with_amazons_state_and_ours(
    browser: Client, organization: Organization, link: Callback
) -> None:
    confirm_page = trips.say_yes(browser, link, organization, marketplace=US)

    page, _, query = confirm_page.partition("?")
    sent = parse_qs(query)
    assert page == link.params["amazon_callback_uri"]
    assert sent.keys() == {"redirect_uri", "amazon_state", "state"}
    assert sent["amazon_state"] == [link.params["amazon_state"]]
    assert sent["redirect_uri"] == [django_settings.SPAPI_REDIRECT_URI]
    trip = AuthorizationRequest._base_manager.get()
    assert trip.starts_at_amazon
    assert trip.expected_selling_partner_id == NORTHSTAR
    assert sent["state"] != [trip.state_hash]


def test_re_authorize_renews_exactly_the_row_of_the_seller_and_region(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization, name="Northstar NA", seller=NORTHSTAR)
    europe = factories.make_connection(
        organization, name="Northstar EU", seller=NORTHSTAR, marketplace_id=GERMANY
    )
    other = factories.make_connection(organization, seller=BLUE_HARBOR)
    before = {one.pk: factories.grant_of(one) for one in (row, europe, other)}
    link = trips.reauthorize(amazon, NA_HOST, NORTHSTAR)

    question = browser.get(str(link))
    ending = trips.come_back(browser, trips.arrive_from(trips.say_yes(browser, link, organization)))

    after = {one.pk: factories.grant_of(one) for one in (row, europe, other)}
    assert "Renew the consent of Northstar NA?" in page_text(question)
    assert 'name="marketplace"' not in question.content.decode()
    assert ending == "reconnected"
    assert [one.pk for one in rows_of(organization)] == [row.pk, europe.pk, other.pk]
    assert after[row.pk].pk == before[row.pk].pk
    assert after[row.pk].version == before[row.pk].version + 1
    assert after[row.pk].authorized_at > before[row.pk].authorized_at
    for one in (europe, other):
        assert after[one.pk].version == before[one.pk].version


def test_the_host_tells_the_region(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    link = trips.reauthorize(amazon, EU_HOST, NORTHSTAR)

    form = browser.get(str(link)).context["form"]
    offered = {value for value, _ in form.fields["marketplace"].choices if value}
    confirm_page = trips.say_yes(browser, link, organization, marketplace=UK)
    refused = browser.post(
        trips.step_of(browser, link),
        {"organization": organization.slug, "name": "Another", "marketplace": US},
    )

    assert {MARKETPLACES[one].country_code for one in offered} == {"ES", "GB", "FR", "DE", "IT"}
    assert confirm_page.startswith(f"{amazon.url}/{EU_HOST}/apps/authorize/confirm/")
    assert refused.status_code == 422
    [row] = rows_of(organization)
    assert (row.region, row.marketplace_id) == ("EU", UK)


def test_a_disconnected_row_comes_back_by_the_same_door(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization, seller=NORTHSTAR)
    grant = factories.grant_of(row)
    type(grant)._base_manager.filter(pk=grant.pk).update(status="disconnected", refresh_token="")
    link = trips.reauthorize(amazon, NA_HOST, NORTHSTAR)

    ending = trips.come_back(browser, trips.arrive_from(trips.say_yes(browser, link, organization)))

    assert ending == "reconnected"
    assert [one.pk for one in rows_of(organization)] == [row.pk]
    assert factories.grant_of(row).status == "active"


@pytest.mark.parametrize("says_beta", [True, False], ids=["its link says so", "we know"])
def test_a_draft_application_goes_on_as_beta(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    settings: Settings,
    says_beta: bool,
) -> None:
    amazon.world.applications["spapi"].is_draft = True
    settings.SPAPI_DRAFT_APPLICATION = not says_beta
    link = trips.authorize_now(amazon, NA_HOST, NORTHSTAR)
    assert link.params["version"] == "beta"
    opened = link if says_beta else link.with_params(version=None)

    confirm_page = trips.say_yes(browser, opened, organization, marketplace=US)

    assert parse_qs(urlsplit(confirm_page).query)["version"] == ["beta"]
    assert trips.come_back(browser, trips.arrive_from(confirm_page)) == "connected"


def test_the_door_that_tells_no_region_asks_for_the_marketplace(
    browser: Client, organization: Organization, link: Callback
) -> None:
    """`https://amazon.com/apps/authorize/confirm/…`, as Amazon's guide writes it."""
    known = factories.make_connection(organization, seller=NORTHSTAR, marketplace_id=JAPAN)
    door = link.params["amazon_callback_uri"].replace(NA_HOST, "amazon.com")
    general = link.with_params(amazon_callback_uri=door)

    page = browser.get(str(general))
    in_german = browser.get(str(general), headers={"accept-language": "de"}).text
    form = page.context["form"]
    to_japan = trips.say_yes(browser, general, organization, marketplace=JAPAN)
    to_europe = trips.say_yes(browser, general, organization, marketplace=GERMANY)

    offered = {value for value, _ in form.fields["marketplace"].choices if value}
    assert offered == set(MARKETPLACES)
    assert form.initial["marketplace"] == JAPAN
    assert f"{known.name} is this seller's row (FE)." in page.text
    assert "Deutschland" in in_german
    assert to_japan.startswith(door)
    assert to_europe.startswith(door)
    [row, fresh] = rows_of(organization)
    assert (row.pk, fresh.region) == (known.pk, "EU")
    trip = AuthorizationRequest._base_manager.earliest("created_at")
    assert trip.connection == known


# Looking is not doing ----------------------------------------------------------------------


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["member", "stranger"])
def test_opening_the_link_creates_nothing_and_leads_nowhere(
    amazon: RunningEmulator, browser: Client, link: Callback, is_signed_in: bool
) -> None:
    """A18: a forged link in a victim's browser only asks a question."""
    client = browser if is_signed_in else Client()

    with nothing_changes(amazon, events=()):
        opened = client.get(str(link))
        again = client.get(reverse("appstore_start", args=[opened.context["start"].ticket]))

    assert (opened.status_code, again.status_code) == (200, 200 if is_signed_in else 302)
    assert not {"Location", "Refresh", "HX-Redirect"} & set(opened.headers)
    assert NORTHSTAR in page_text(opened)
    for secret in ("amazon_state", "amazon_callback_uri"):
        assert link.params[secret] not in opened.content.decode()


def test_the_form_wants_a_csrf_token(
    amazon: RunningEmulator, member: User, organization: Organization, link: Callback
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(member)
    step = trips.step_of(strict, link)

    with nothing_changes(amazon, events=()):
        answer = strict.post(
            step, {"organization": organization.slug, "name": "Theirs", "marketplace": US}
        )

    assert answer.status_code == 403


def test_a_step_belongs_to_its_browser(
    amazon: RunningEmulator, member: User, browser: Client, link: Callback
) -> None:
    step = trips.step_of(browser, link)
    other = trips.sign_in(member)

    with nothing_changes(amazon, events=()):
        looked, sent = other.get(step), other.post(step, {"organization": "northstar-trading"})

    assert (looked.status_code, sent.status_code) == (404, 404)
    assert "SL-121" in page_text(looked)


def test_a_second_link_does_not_slip_under_an_open_page(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    """What the person read is what the form sends, whatever another site opens meanwhile."""
    step = trips.step_of(browser, link)
    forged = link.with_params(selling_partner_id=BLUE_HARBOR, amazon_state="attackers-state")
    browser.get(str(forged))

    answer = browser.post(
        step, {"organization": organization.slug, "name": "Mine", "marketplace": US}
    )

    assert parse_qs(urlsplit(answer.headers["Location"]).query)["amazon_state"] == [
        link.params["amazon_state"]
    ]
    assert AuthorizationRequest._base_manager.get().expected_selling_partner_id == NORTHSTAR


def test_a_step_is_over_after_ten_minutes(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    step = trips.step_of(browser, link)

    later = timezone.now() + timedelta(minutes=10, seconds=1)
    with time_machine.travel(later), nothing_changes(amazon, events=()):
        answer = browser.post(step, {"organization": organization.slug})

    assert answer.status_code == 404
    assert "This step is over" in page_text(answer)


def test_a_session_keeps_the_newest_five(
    browser: Client, organization: Organization, link: Callback
) -> None:
    steps = [trips.step_of(browser, link) for _ in range(7)]

    assert [browser.get(step).status_code for step in steps] == [404] * 2 + [200] * 5
    assert len(str(browser.session[appstore.SESSION_KEY])) < 5 * 2048


def test_opening_links_is_limited(amazon: RunningEmulator, link: Callback) -> None:
    """Each look of a stranger makes a session."""
    client = Client()
    for _ in range(limits.APPSTORE_START.burst):
        assert client.get(str(link)).status_code == 200

    answer = client.get(str(link))

    assert answer.status_code == 429
    assert "Retry-After" in answer.headers


# What is no link of Amazon's ---------------------------------------------------------------

REAL = appstore_callback_uris(
    endpoints=Endpoints.amazon(), application_id=django_settings.SPAPI_APPLICATION_ID
)
OWN = f"/apps/authorize/confirm/{django_settings.SPAPI_APPLICATION_ID}"
NEARLY = (
    f"http://{NA_HOST}{OWN}",
    f"HTTPS://{NA_HOST}{OWN}",
    f"//{NA_HOST}{OWN}",
    f"https:{NA_HOST}{OWN}",
    f"https:/{NA_HOST}{OWN}",
    f"https:///{NA_HOST}{OWN}",
    f"https:\\\\{NA_HOST}{OWN}",
    f"https://{NA_HOST}:443{OWN}",
    f"https://{NA_HOST}:8443{OWN}",
    f"https://{NA_HOST}.{OWN}",
    f"https://user@{NA_HOST}{OWN}",
    f"https://user:word@{NA_HOST}{OWN}",
    f"https://{NA_HOST}@evil.example{OWN}",
    f"https://evil.example@{NA_HOST}{OWN}",
    f"https://{NA_HOST}.evil.example{OWN}",
    f"https://evil.example/{NA_HOST}{OWN}",
    f"https://evil.example{OWN}",
    f"https://evil.example?{NA_HOST}{OWN}",
    f"https://evil.example#{NA_HOST}{OWN}",
    f"https://evil.example\\.{NA_HOST}{OWN}",
    f"https://{NA_HOST}\\@evil.example{OWN}",
    f"https://{NA_HOST}%2eevil.example{OWN}",
    f"https://{NA_HOST}%00.evil.example{OWN}",
    f"https://x{NA_HOST}{OWN}",
    f"https://www.amazon.com{OWN}",
    f"https://vendorcentral.amazon.com{OWN}",
    f"https://amazon.com.{OWN}",
    f"https://amazon.co{OWN}",
    f"https://sellercentral\N{FULLWIDTH FULL STOP}amazon.com{OWN}",
    f"https://sellercentral.amaz\N{CYRILLIC SMALL LETTER O}n.com{OWN}",
    f"https://{NA_HOST}{OWN}/",
    f"https://{NA_HOST}{OWN}?next=https://evil.example",
    f"https://{NA_HOST}{OWN}#evil.example",
    f"https://{NA_HOST}{OWN};evil",
    f"https://{NA_HOST}{OWN}/../../../redirect",
    f"https://{NA_HOST}/gp/../apps/authorize/confirm/amzn1.sp.solution.demo-0000",
    f"https://{NA_HOST}//apps/authorize/confirm/amzn1.sp.solution.demo-0000",
    f"https://{NA_HOST}/apps/authorize/consent/amzn1.sp.solution.demo-0000",
    f"https://{NA_HOST}/apps/authorize/confirm/amzn1.sp.solution.other",
    f"https://{NA_HOST}/apps/authorize/confirm/",
    f"https://{NA_HOST}/apps/authorize/confirm/%61mzn1.sp.solution.demo-0000",
    f" https://{NA_HOST}{OWN}",
    f"https://{NA_HOST}{OWN} ",
    f"https://{NA_HOST}{OWN}\r\nLocation: https://evil.example",
    f"\x00https://{NA_HOST}{OWN}",
    f"http://127.0.0.1:9001/{NA_HOST}{OWN}",
    f"javascript:alert(1)//{NA_HOST}{OWN}",
    f"data:text/html,{NA_HOST}{OWN}",
)


def start_at(client: Client, **changes: Any) -> Any:
    told = {
        "amazon_callback_uri": f"https://{NA_HOST}{OWN}",
        "amazon_state": "MTYyOTc4-9bz7Wq--_vSA",
        "selling_partner_id": NORTHSTAR,
    } | changes
    pairs = {name: value for name, value in told.items() if value is not None}
    return client.get(f"{reverse('spapi_login')}?{urlencode(pairs, doseq=True)}")


@pytest.fixture
def real_amazon(amazon: RunningEmulator, settings: Settings) -> None:
    """The addresses of the real one; nothing here calls it."""
    settings.AMAZON_ENDPOINTS = Endpoints.amazon()


def test_there_are_as_many_doors_as_hosts() -> None:
    assert set(REAL) == {f"https://{host}{OWN}" for host in (*SELLER_CENTRAL_HOSTS, "amazon.com")}
    assert len(set(NEARLY)) >= 30
    assert appstore_callback_uris(endpoints=Endpoints.amazon(), application_id="") == {}


@pytest.mark.usefixtures("real_amazon")
@pytest.mark.parametrize("uri", sorted(REAL))
def test_every_door_of_amazons_is_one(browser: Client, uri: str) -> None:
    assert start_at(browser, amazon_callback_uri=uri).status_code == 200


@pytest.mark.usefixtures("real_amazon")
@pytest.mark.parametrize("is_signed_in", [True, False], ids=["member", "stranger"])
def test_what_is_nearly_a_door_is_none(
    amazon: RunningEmulator, browser: Client, is_signed_in: bool
) -> None:
    client = browser if is_signed_in else Client()
    before = dict(client.session)

    for number, uri in enumerate(NEARLY):
        if number % 30 == 0:
            limits.forget(limits.APPSTORE_START, "127.0.0.1")
        with nothing_changes(amazon, events=()):
            answer = start_at(client, amazon_callback_uri=uri)

        assert answer.status_code == 400, uri
        assert "Location" not in answer.headers
        assert "evil" not in answer.content.decode()
        assert dict(client.session) == before, uri


@pytest.mark.usefixtures("real_amazon")
@pytest.mark.parametrize(
    "changes",
    [
        {"amazon_state": None},
        {"amazon_state": ""},
        {"amazon_state": "x" * 1025},
        {"amazon_state": "a b"},
        {"amazon_state": "a\r\nb"},
        {"amazon_state": "\x00"},
        {"amazon_state": "st\N{LATIN SMALL LETTER A WITH DIAERESIS}te"},
        {"amazon_state": ["one", "two"]},
        {"selling_partner_id": None},
        {"selling_partner_id": ""},
        {"selling_partner_id": "A" * 41},
        {"selling_partner_id": "A1<script>"},
        {"selling_partner_id": ["A1", "A2"]},
        {"amazon_callback_uri": None},
        {"amazon_callback_uri": [f"https://{NA_HOST}{OWN}"] * 2},
        {"version": "alpha"},
        {"version": ["beta", "beta"]},
    ],
    ids=str,
)
def test_a_garbled_link_is_refused(
    amazon: RunningEmulator, browser: Client, changes: dict[str, Any]
) -> None:
    with nothing_changes(amazon, events=()):
        answer = start_at(browser, **changes)

    assert answer.status_code == 400
    assert appstore.SESSION_KEY not in browser.session
    assert "SL-120" in page_text(answer)


def test_without_an_application_there_is_no_door(
    browser: Client, settings: Settings, link: Callback
) -> None:
    settings.SPAPI_APPLICATION_ID = ""

    assert browser.get(str(link)).status_code == 400


def test_the_page_alone_explains_itself(client: Client) -> None:
    answer = client.get(reverse("spapi_login"))

    assert answer.status_code == 200
    assert "Re-Authorize" in page_text(answer)
    assert dict(client.session) == {}


# Who may -----------------------------------------------------------------------------------


def test_signing_in_on_the_way_leads_back_to_the_step(
    amazon: RunningEmulator, member: User, organization: Organization, link: Callback
) -> None:
    client = Client()
    opened = client.get(str(link))
    step = reverse("appstore_start", args=[opened.context["start"].ticket])
    login = f"{reverse('account_login')}?next={quote(step)}"
    assert f'href="{login}"' in opened.content.decode().replace("&amp;", "&")

    signed_in = client.post(
        login, {"login": member.email, "password": factories.PASSWORD, "next": step}
    )
    question = client.get(signed_in.headers["Location"])
    answer = client.post(
        step, {"organization": organization.slug, "name": "Mine", "marketplace": US}
    )

    assert signed_in.headers["Location"] == step
    assert f"Connect this seller to {organization.name}?" in page_text(question)
    ending = trips.come_back(client, trips.arrive_from(answer.headers["Location"]))
    assert ending == "connected"


def test_signing_up_and_naming_an_organization_on_the_way_too(
    amazon: RunningEmulator, link: Callback
) -> None:
    client = Client()
    step = trips.step_of(client, link)
    sign_up = {"email": "new@seller.example", "password1": "A-long-one-2026!", "next": step}

    asked = client.post(reverse("account_signup"), sign_up)
    code = re.search(r"^[A-Z0-9-]{6,9}$", str(mail.outbox[-1].body), re.MULTILINE)
    assert code
    verified = client.post(asked.headers["Location"], {"code": code.group()})
    nowhere = client.get(verified.headers["Location"])
    named = client.post(reverse("organization_new"), {"name": "Brand New"})
    question = client.get(named.headers["Location"])
    answer = client.post(
        step, {"organization": "brand-new", "name": "First store", "marketplace": US}
    )

    assert verified.headers["Location"] == step
    assert "Name your organization first" in page_text(nowhere)
    assert named.headers["Location"] == step
    assert "Connect this seller to Brand New?" in page_text(question)
    ending = trips.come_back(client, trips.arrive_from(answer.headers["Location"]))
    assert ending == "connected"
    # The step is done: the next organization leads to its own list.
    again = client.post(reverse("organization_new"), {"name": "Second"})
    assert again.headers["Location"] == reverse("account_connections", args=["second"])


def test_of_several_organizations_one_is_chosen(
    browser: Client, member: User, organization: Organization, link: Callback
) -> None:
    second = factories.make_organization("Second Company", owner=member)
    knows = factories.make_organization("Zebra Holding", owner=member)
    factories.make_connection(knows, name="Zebra store", seller=NORTHSTAR)
    looks_only = factories.make_organization("Viewed Company")
    factories.make_member(looks_only, Role.VIEWER, user=member)
    factories.make_organization("Foreign Company")

    question = browser.get(str(link))
    step = reverse("appstore_start", args=[question.context["start"].ticket])
    chosen = browser.get(step, {"organization": second.slug})
    renewal = browser.get(step, {"organization": knows.slug})

    offered = [choice.organization for choice in question.context["choices"]]
    assert offered == [knows, organization, second]
    assert "has this seller already, as Zebra store" in page_text(question)
    assert "Connect this seller to Second Company?" in page_text(chosen)
    assert "Renew the consent of Zebra store?" in page_text(renewal)
    for slug in (looks_only.slug, "foreign-company", "\x00", "no-such-thing"):
        unchosen = browser.get(step, {"organization": slug})
        assert "Which organization is this seller for?" in page_text(unchosen)


@pytest.mark.parametrize(
    ("slug", "status"),
    [("viewed-company", 403), ("foreign-company", 404), ("\x00", 404), ("", 404)],
)
def test_the_form_leads_to_no_other_organization(
    amazon: RunningEmulator, browser: Client, member: User, link: Callback, slug: str, status: int
) -> None:
    viewed = factories.make_organization("Viewed Company")
    factories.make_member(viewed, Role.VIEWER, user=member)
    factories.make_organization("Foreign Company")
    step = trips.step_of(browser, link)

    with nothing_changes(amazon, events=()):
        answer = browser.post(step, {"organization": slug, "name": "Mine", "marketplace": US})

    assert answer.status_code == status


def test_a_viewer_is_told_who_can_help(
    amazon: RunningEmulator, organization: Organization, link: Callback
) -> None:
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    answer = viewer.get(str(link))

    assert "Ask an administrator" in page_text(answer)
    assert "<form" not in answer.content.decode().partition('id="start-title"')[2]


def test_who_lost_the_role_meanwhile_changes_nothing(
    amazon: RunningEmulator,
    browser: Client,
    member: User,
    organization: Organization,
    link: Callback,
) -> None:
    callback = trips.arrive_from(trips.say_yes(browser, link, organization, marketplace=US))
    Membership.objects.for_organization(organization).filter(user=member).update(role=Role.VIEWER)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        assert trips.come_back(browser, callback) == "role_too_low"


# One row, one seller -----------------------------------------------------------------------


def test_pressing_twice_makes_no_second_row(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    step = trips.step_of(browser, link)
    sent = {"organization": organization.slug, "name": "Mine", "marketplace": US}

    first, second = browser.post(step, sent), browser.post(step, sent)
    ending = trips.come_back(browser, trips.arrive_from(second.headers["Location"]))

    assert (first.status_code, second.status_code) == (302, 302)
    assert ending == "connected"
    [row] = rows_of(organization)
    assert row.selling_partner_id == NORTHSTAR


def test_a_name_that_is_taken_is_said(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    factories.make_connection(organization, name="Taken")
    step = trips.step_of(browser, link)

    with nothing_changes(amazon, events=()):
        answer = browser.post(
            step, {"organization": organization.slug, "name": "taken", "marketplace": US}
        )

    assert answer.status_code == 422
    assert "You already have a connection with this name." in page_text(answer)


def test_the_suggested_name_is_free_and_follows_the_seller(
    browser: Client, organization: Organization, link: Callback
) -> None:
    fresh = browser.get(str(link)).context["form"].initial["name"]
    factories.make_connection(
        organization, name="Northstar", seller=NORTHSTAR, marketplace_id=GERMANY
    )
    related = browser.get(str(link)).context["form"].initial["name"]
    factories.make_connection(organization, name="northstar na")
    numbered = browser.get(str(link)).context["form"].initial["name"]

    assert (fresh, related, numbered) == (
        f"Seller {NORTHSTAR} NA",
        "Northstar NA",
        "Northstar NA 2",
    )


@pytest.mark.parametrize("is_known", [True, False], ids=["a row", "a new row"])
def test_another_seller_than_the_link_named_is_refused(
    amazon: RunningEmulator, browser: Client, organization: Organization, is_known: bool
) -> None:
    """A15: the ids of the two legs differ. No code is exchanged, and the event tells both."""
    if is_known:
        factories.make_connection(organization, seller=NORTHSTAR)
    link = trips.reauthorize(amazon, NA_HOST, NORTHSTAR)
    callback = trips.arrive_from(trips.say_yes(browser, link, organization, marketplace=US))
    tampered = callback.with_params(selling_partner_id=BLUE_HARBOR)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        ending = trips.come_back(browser, tampered)

    assert ending == "wrong_account"
    trip = callback.trip
    assert (trip.expected_selling_partner_id, trip.returned_selling_partner_id) == (
        NORTHSTAR,
        BLUE_HARBOR,
    )
    event = AuditEvent._base_manager.get(code="authorization_ended")
    assert (event.reference, event.details["outcome"]) == (trip.reference, "wrong_account")


def test_a_link_with_another_seller_than_amazons_ends_the_same_way(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    """The attacker changes the first leg instead."""
    forged = link.with_params(selling_partner_id=BLUE_HARBOR)
    callback = trips.arrive_from(trips.say_yes(browser, forged, organization, marketplace=US))

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        assert trips.come_back(browser, callback) == "wrong_account"


def test_a_row_that_got_another_seller_meanwhile_is_left_alone(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    callback = trips.arrive_from(trips.say_yes(browser, link, organization, marketplace=US))
    [row] = rows_of(organization)
    factories.consent(row, seller=BLUE_HARBOR, refresh_token="Atzr|other")

    ending = trips.come_back(browser, callback)

    sellers = {one.pk: one.selling_partner_id for one in rows_of(organization)}
    assert ending == "connected"
    assert sellers[row.pk] == BLUE_HARBOR
    assert set(sellers.values()) == {NORTHSTAR, BLUE_HARBOR}
    assert len(sellers) == 2


def test_the_callback_opened_again_shows_the_first_outcome(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    callback = trips.arrive_from(trips.say_yes(browser, link, organization, marketplace=US))
    trips.come_back(browser, callback)

    with nothing_changes(amazon, events=()):
        assert trips.come_back(browser, callback) == "connected"


def test_trips_are_limited(
    browser: Client, member: User, organization: Organization, link: Callback
) -> None:
    step = trips.step_of(browser, link)
    sent = {"organization": organization.slug, "name": "Mine", "marketplace": US}
    for _ in range(limits.TRIP.burst):
        limits.take((limits.TRIP, member.pk.hex))

    assert browser.post(step, sent).status_code == 429
    assert rows_of(organization) == []


def test_without_our_credentials_nobody_is_sent_away(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    settings: Settings,
    link: Callback,
) -> None:
    step = trips.step_of(browser, link)
    settings.SPAPI_CLIENT = type(settings.SPAPI_CLIENT)(client_id="", secrets=())

    with nothing_changes(amazon, events=()):
        answer = browser.post(
            step, {"organization": organization.slug, "name": "Mine", "marketplace": US}
        )

    assert answer.status_code == 503
    assert "SL-511" in page_text(answer)


def test_after_a_failure_the_person_starts_again_from_here(
    amazon: RunningEmulator, browser: Client, organization: Organization, link: Callback
) -> None:
    """The usual way works for a row that began at Amazon, and expects the same seller."""
    callback = trips.arrive_from(trips.say_yes(browser, link, organization, marketplace=US))
    response = browser.get(str(callback.with_params(spapi_oauth_code=None)), follow=True)
    assert response.context["words"] == reasons.OUTCOMES["code_missing"]

    start = browser.post(response.context["restart_url"])
    wrong = trips.confirm(start.headers["Location"], BLUE_HARBOR)
    assert trips.come_back(browser, wrong) == "wrong_account"
    again = browser.post(response.context["restart_url"])
    right = trips.confirm(again.headers["Location"], NORTHSTAR)
    assert trips.come_back(browser, right) == "connected"
