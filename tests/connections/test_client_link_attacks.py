"""Ways to abuse a client link: each changes nothing.

A link is an address that whoever has it may use, so the holder himself is one of the attackers:
he gets one consent for one row, and neither another page nor another store.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.signing import TimestampSigner
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import client_browsers, client_links
from connections.client_link_models import ClientLink
from connections.client_links import Recipient
from connections.models import AuthorizationRequest, Connection
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.logs import JsonFormatter
from sellerlegend.organizations import limits, quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from tests import client_trips, factories, threads, trips
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import ORGANIZATION_ROUTES, PERSONAL_ROUTES
from tests.client_trips import Asked
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly
from tests.trips import Callback

pytestmark = pytest.mark.django_db

SELLER, OTHER = "A1NORTHSTAR001", "A2BLUEHARBOR02"
Status = ClientLink.Status
UNKNOWN = "/c/" + "A" * 43


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Northstar NA", seller=SELLER)


@pytest.fixture
def asked(row: Connection) -> Asked:
    return client_trips.ask(row)


@pytest.fixture
def phone() -> Client:
    return Client()


@pytest.fixture
def stranger() -> Client:
    """A browser that was never given anything."""
    return Client()


def callback_of(browser: Client, asked: Asked, seller: str = SELLER) -> Callback:
    """The holder has been at Amazon, and has not come back yet."""
    return trips.confirm(client_trips.press_continue(browser, asked.path), seller)


def shape_of(answer: Any) -> tuple[int, dict[str, str], list[str]]:
    """What could tell two answers apart, besides their words."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("Content-Length", "X-Request-ID", "Content-Security-Policy")
    }
    return answer.status_code, headers, re.findall(r"<(\w+)", answer.content.decode())


# Links that open nothing ---------------------------------------------------------------------


def used(asked: Asked, phone: Client) -> None:
    client_trips.whole_trip(phone, asked, SELLER)


def revoked(asked: Asked, _phone: Client) -> None:
    client_links.revoke(link=asked.link, actor=COMMAND)


def replaced(asked: Asked, _phone: Client) -> None:
    client_trips.ask(asked.link.connection)


def declined(asked: Asked, phone: Client) -> None:
    phone.post(asked.path, {"decision": "decline"})


def expired(asked: Asked, _phone: Client) -> None:
    ClientLink._base_manager.filter(pk=asked.pk).update(expires_at=timezone.now())


OVER = {
    "used": used,
    "revoked": revoked,
    "replaced": replaced,
    "declined": declined,
    "expired": expired,
}


@pytest.mark.parametrize("end", OVER.values(), ids=OVER)
@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_a_link_that_is_over_does_nothing_and_looks_like_any_other(
    end: Callable[..., None],
    method: str,
    asked: Asked,
    phone: Client,
    stranger: Client,
    amazon: RunningEmulator,
) -> None:
    end(asked, phone)

    with nothing_changes(amazon, events=()):
        answer = getattr(stranger, method)(asked.path)
        unknown = getattr(stranger, method)(UNKNOWN)

    assert shape_of(answer) == shape_of(unknown)
    assert answer.status_code == 410
    assert stranger.cookies.keys() <= {django_settings.CSRF_COOKIE_NAME}
    assert "Northstar" not in unknown.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        UNKNOWN,
        "/c/x",
        "/c/" + "x" * 5000,
        "/c/%00",
        "/c/..%2f..%2fadmin",
        "/c/" + "%F0%9F%98%80" * 43,
        "/c/' OR 1=1--",
        "/c/" + "A" * 43 + "%0A",
        UNKNOWN + "/",
        UNKNOWN + "//",
        UNKNOWN + "/%0A",
        "/c/ended/",
    ],
)
def test_a_guessed_token_finds_nothing(
    path: str, asked: Asked, stranger: Client, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        for method in ("get", "post"):
            answer = getattr(stranger, method)(path)
            assert answer.status_code in (404, 410)
            assert "Northstar" not in answer.content.decode()


def test_neither_the_id_nor_the_digest_of_a_link_opens_it(
    asked: Asked, stranger: Client, amazon: RunningEmulator
) -> None:
    link = asked.link

    with nothing_changes(amazon, events=()):
        for known in (str(link.pk), link.pk.hex, link.token_hash, link.token_hash[:43]):
            assert stranger.post(f"/c/{known}").status_code == 410


def test_who_tries_many_tokens_is_kept_waiting(
    asked: Asked, stranger: Client, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        answers = [stranger.get(UNKNOWN) for _ in range(client_links.LOOK.burst + 1)]

    assert [answer.status_code for answer in answers[:-1]] == [410] * client_links.LOOK.burst
    assert answers[-1].status_code == 429
    assert answers[-1].headers["Retry-After"]


def test_one_link_opens_a_limited_number_of_trips(asked: Asked, amazon: RunningEmulator) -> None:
    codes = [Client().post(asked.path).status_code for _ in range(client_links.TRIP.burst + 1)]

    assert codes == [302] * client_links.TRIP.burst + [429]
    assert AuthorizationRequest._base_manager.count() == client_links.TRIP.burst


# Looking, and forms from elsewhere -----------------------------------------------------------


def test_a_scanner_uses_nothing_up(asked: Asked, stranger: Client, amazon: RunningEmulator) -> None:
    stranger.get(asked.path)

    with nothing_changes(amazon, events=()):
        for method in ("get", "head"):
            for query in ({}, {"decision": "decline"}, {"_method": "POST"}):
                assert getattr(stranger, method)(asked.path, query).status_code == 200
    assert asked.link.is_live


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_another_method_is_refused(
    method: str, asked: Asked, stranger: Client, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        assert getattr(stranger, method)(asked.path).status_code == 405


@pytest.mark.parametrize("fields", [{}, {"decision": "decline"}])
def test_a_form_without_a_csrf_token_does_nothing(
    fields: dict[str, str], asked: Asked, amazon: RunningEmulator
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.get(asked.path)

    with nothing_changes(amazon, events=()):
        for origin in (None, "https://evil.example", "null"):
            headers = {"Origin": origin} if origin else {}
            assert strict.post(asked.path, fields, headers=headers).status_code == 403


def test_a_slash_that_a_mail_program_added_leads_to_the_same_answer(
    asked: Asked, phone: Client, amazon: RunningEmulator
) -> None:
    """Answered there, and nothing sends the token on: no redirect, and the same headers."""
    plain, slashed = phone.get(asked.path), phone.get(asked.path + "/")

    assert slashed.status_code == 200
    assert shape_of(slashed) == shape_of(plain)
    assert slashed.headers["Referrer-Policy"] == "strict-origin"
    assert "Location" not in slashed.headers
    assert asked.path not in slashed.content.decode()
    left = phone.post(asked.path + "/")
    assert left.headers["Referrer-Policy"] == "no-referrer"
    assert asked.path.removeprefix("/c/") not in left.headers["Location"]
    assert asked.link.status == Status.LEFT


def test_the_page_is_neither_framed_nor_stored_nor_indexed_nor_referred_from(
    asked: Asked, stranger: Client
) -> None:
    for answer in (stranger.get(asked.path), stranger.get(UNKNOWN), stranger.post(asked.path)):
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        # A referrer of the origin alone, or none: never the path, which is the secret.
        assert answer.headers["Referrer-Policy"] in ("strict-origin", "no-referrer")
    body = stranger.get(asked.path).content.decode()
    assert "http" not in body.split("<body>")[1].replace("http://testserver", "")


def test_the_page_leads_nowhere_else(asked: Asked, stranger: Client) -> None:
    body = stranger.get(asked.path, {"next": "https://evil.example/"}).content.decode()
    answer = stranger.post(
        f"{asked.path}?next=https://evil.example/",
        {"next": "https://evil.example/", "redirect_uri": "https://evil.example/"},
    )

    assert "evil.example" not in body
    sent = urlsplit(answer.headers["Location"])
    hosts = django_settings.AMAZON_ENDPOINTS.hosts_for_form_action()
    assert f"{sent.scheme}://{sent.netloc}" in hosts
    assert "evil" not in answer.headers["Location"]
    assert parse_qs(sent.query)["redirect_uri"] == [django_settings.SPAPI_REDIRECT_URI]


# Other browsers, other trips -----------------------------------------------------------------


def test_a_callback_in_another_browser_is_refused(
    asked: Asked, row: Connection, phone: Client, stranger: Client, amazon: RunningEmulator
) -> None:
    """The attacker sends his own consent page's address to the victim, who confirms there."""
    callback = callback_of(phone, asked)

    with nothing_changes(amazon):
        page = client_trips.come_back(stranger, callback)

    assert page.status_code == 400
    assert "Northstar" not in page.content.decode()
    assert AuditEvent._base_manager.latest("pk").details["cause"] == "other_browser"


def test_the_cookie_of_one_link_does_not_finish_the_trip_of_another(
    asked: Asked, organization: Organization, phone: Client, amazon: RunningEmulator
) -> None:
    other = client_trips.ask(factories.make_connection(organization, seller=OTHER))
    attacker = Client()
    callback = callback_of(phone, asked)
    client_trips.press_continue(attacker, other.path)
    [stolen] = [c for name, c in attacker.cookies.items() if "client-" in name]
    attacker.cookies[client_browsers.cookie_name(asked.pk)] = stolen.value

    with nothing_changes(amazon):
        page = client_trips.come_back(attacker, callback)

    assert page.status_code == 400


@pytest.mark.parametrize("planted", ["chosen", "chosen:1abcde:forged", "", "a" * 4000])
def test_a_cookie_that_somebody_planted_is_not_taken_over(
    planted: str, asked: Asked, phone: Client
) -> None:
    name = client_browsers.cookie_name(asked.pk)
    phone.cookies[name] = planted

    client_trips.press_continue(phone, asked.path)

    kept = phone.cookies[name].value
    assert kept != planted
    assert not kept.startswith("chosen")
    trip = client_trips.trip_of(asked)
    assert trip.browser_hash


def test_a_cookie_signed_for_something_else_of_ours_is_none(
    asked: Asked, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    callback = callback_of(phone, asked)
    value = phone.cookies[client_browsers.cookie_name(asked.pk)].value.split(":")[0]
    attacker = Client()
    forged = TimestampSigner(salt="something.else").sign(value)
    attacker.cookies[client_browsers.cookie_name(asked.pk)] = forged

    with nothing_changes(amazon):
        assert client_trips.come_back(attacker, callback).status_code == 400


def test_the_cookie_ends_by_itself(asked: Asked, phone: Client, amazon: RunningEmulator) -> None:
    callback = callback_of(phone, asked)

    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=1), tick=False):
        with nothing_changes(amazon):
            page = client_trips.come_back(phone, callback)
        assert page.status_code == 400


def test_a_session_is_no_cookie_of_a_link_and_the_other_way_round(
    asked: Asked, row: Connection, member: User, phone: Client, amazon: RunningEmulator
) -> None:
    """A person's trip is finished by his session alone, a client's by the cookie alone."""
    desk = trips.sign_in(member)
    of_person = trips.confirm(trips.leave(desk, row), SELLER)
    of_client = callback_of(phone, asked)

    with nothing_changes(amazon, events=("authorization_refused", "authorization_refused")):
        client_trips.come_back(phone, of_person)
        client_trips.come_back(desk, of_client)
    causes = AuditEvent._base_manager.filter(code="authorization_refused").order_by("pk")
    assert [event.details["cause"] for event in causes] == ["other_browser", "other_browser"]


def test_a_replayed_callback_shows_the_first_outcome(
    asked: Asked, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    callback = callback_of(phone, asked)
    client_trips.come_back(phone, callback)

    with nothing_changes(amazon, events=()):
        for _ in range(3):
            page = client_trips.come_back(phone, callback)
            assert "Thank you, that is done" in page.content.decode()
    assert factories.grant_of(row).version == 2


def test_another_code_behind_a_used_state_is_not_exchanged(
    asked: Asked, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    first = callback_of(phone, asked)
    second = callback_of(phone, asked)
    client_trips.come_back(phone, first)

    with nothing_changes(amazon, events=()):
        mixed = first.with_params(spapi_oauth_code=second.params["spapi_oauth_code"])
        client_trips.come_back(phone, mixed)


def test_the_end_of_a_trip_is_for_its_own_browser(
    asked: Asked, phone: Client, stranger: Client, amazon: RunningEmulator
) -> None:
    client_trips.come_back(phone, callback_of(phone, asked, OTHER))
    reference = client_trips.trip_of(asked).reference
    member = trips.sign_in(factories.make_member(asked.link.organization))

    with nothing_changes(amazon, events=()):
        for browser in (stranger, member):
            for method in ("get", "post"):
                answer = getattr(browser, method)(reverse("client_link_ended", args=[reference]))
                none = getattr(browser, method)(reverse("client_link_ended", args=["BCDFGH23"]))
                assert shape_of(answer) == shape_of(none)
                assert answer.status_code == 400
                assert "A1N" not in answer.content.decode()


def test_a_trip_of_a_person_has_no_end_for_a_client(
    row: Connection, member: User, phone: Client, amazon: RunningEmulator
) -> None:
    desk = trips.sign_in(member)
    callback = trips.confirm(trips.leave(desk, row), SELLER)
    trips.come_back(desk, callback)

    with nothing_changes(amazon, events=()):
        for browser in (phone, desk):
            path = reverse("client_link_ended", args=[callback.trip.reference])
            assert browser.get(path).status_code == 400


def test_the_callback_of_the_other_integration_takes_no_trip_of_a_client(
    asked: Asked, phone: Client, amazon: RunningEmulator
) -> None:
    callback = callback_of(phone, asked)
    state, code = callback.params["state"], callback.params["spapi_oauth_code"]

    with nothing_changes(amazon):
        answer = phone.get(reverse("ads_callback"), {"state": state, "code": code})

    assert answer.headers["Location"].startswith("/c/ended/")


# Other stores, other rows, other organizations ------------------------------------------------


@pytest.mark.parametrize("claimed", [OTHER, "", "x" * 41, "A1NORTHSTAR001'--"])
def test_another_seller_than_the_expected_one_stops_before_the_exchange(
    claimed: str, asked: Asked, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    callback = callback_of(phone, asked).with_params(selling_partner_id=claimed)
    version, known = factories.grant_of(row).version, amazon.ledger.last_number

    client_trips.come_back(phone, callback)

    assert [c for c in amazon.ledger.calls(since=known) if c.surface == "lwa"] == []
    assert factories.grant_of(row).version == version
    assert Connection._base_manager.count() == 1


def test_a_form_field_chooses_neither_row_nor_seller_nor_organization(
    asked: Asked, row: Connection, organization: Organization, phone: Client
) -> None:
    other = factories.make_connection(organization, seller=OTHER)

    phone.post(
        f"{asked.path}?connection={other.pk}",
        {
            "connection": str(other.pk),
            "connection_id": str(other.pk),
            "expected_seller": "",
            "organization": "other",
            "region": "EU",
        },
    )

    trip = client_trips.trip_of(asked)
    assert (trip.connection_id, trip.expected_selling_partner_id) == (row.pk, SELLER)
    assert (trip.organization_id, trip.region) == (organization.pk, "NA")


def test_a_person_of_another_organization_is_just_a_browser(
    asked: Asked, row: Connection, amazon: RunningEmulator
) -> None:
    foreign = factories.make_organization("Foreign")
    person = factories.owner_of(foreign)
    desk = trips.sign_in(person)

    client_trips.whole_trip(desk, asked, SELLER)

    grant = factories.grant_of(row)
    assert (grant.version, grant.authorized_by) == (2, None)
    assert not Connection.objects.for_organization(foreign).exists()
    assert (
        not AuditEvent._base_manager.filter(organization=foreign, actor=person)
        .exclude(code="organization_created")
        .exists()
    )


def test_a_member_of_another_organization_ends_and_repeats_no_link_of_this_one(
    asked: Asked, amazon: RunningEmulator
) -> None:
    foreign = factories.make_organization("Foreign")
    desk = signed_in_freshly(factories.owner_of(foreign))

    with nothing_changes(amazon, events=()):
        for name in ("client_link_revoke", "client_link_again"):
            for slug in (foreign.slug, asked.link.organization.slug):
                assert desk.post(reverse(name, args=[slug, asked.pk])).status_code == 404
                again = reverse("client_link_again", args=[slug, asked.pk])
                assert desk.get(again).status_code == 404
                assert desk.post(reverse(name, args=[slug, uuid4()])).status_code == 404


def test_the_cookie_opens_no_page_of_the_product(
    asked: Asked, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    client_trips.whole_trip(phone, asked, SELLER)
    ids = {"slug": row.organization.slug, "connection_id": row.pk, "link_id": asked.pk}
    ids |= {"account_id": uuid4(), "notice_id": uuid4(), "reference": "BCDFGH23", "pk": 1}
    ids |= {"ticket": "none", "member_id": uuid4(), "invitation_id": uuid4(), "tag_id": 1}
    ids |= {"person_id": uuid4()}
    ids |= {"client_id": uuid4(), "import_id": uuid4(), "list_id": uuid4(), "batch": uuid4()}

    with nothing_changes(amazon, events=()):
        for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES):
            names = ("slug", *route.takes) if route.role else route.takes
            path = reverse(route.name, kwargs={name: ids[name] for name in names})
            for method in route.methods:
                answer = phone.generic(method, path)
                assert answer.status_code == 302, path
                assert answer.headers["Location"].startswith(reverse("account_login"))
    assert django_settings.SESSION_COOKIE_NAME not in phone.cookies


# The maker as the attacker --------------------------------------------------------------------

FORM = {
    "recipient_name": "Maria",
    "recipient_email": "maria@client.example",
    "language": "en",
    "message": "Please.",
    "days": "14",
}
HOSTILE = {
    "a header in the address": {"recipient_email": "a@b.example\r\nBcc: all@evil.example"},
    "two addresses": {"recipient_email": "a@b.example, c@evil.example"},
    "a link in the message": {"message": "Sign in at https://evil.example/login first"},
    "a bare link": {"message": "See evil.example for more"},
    "a full-width dot": {"message": "See evil\uff0eexample"},
    "a half-width dot": {"message": "See evil\uff61example"},
    "an ideographic full stop": {"message": "See evil\u3002example"},
    "full-width letters": {"message": "See \uff45\uff56\uff49\uff4c\uff0e\uff43\uff4f\uff4d"},
    "a dot in brackets": {"message": "See evil[.]example"},
    "a word for a dot": {"message": "See evil (dot) example"},
    "an unseen letter": {"message": "See evil\u200b.\u00adexample"},
    "a dot in brackets in the name": {"recipient_name": "evil{.}example"},
    "a mail address": {"message": "Write to x@evil.example"},
    "a link in the name": {"recipient_name": "Go to www.evil.example"},
    "a long message": {"message": "x" * 501},
    "a huge message": {"message": "x" * 1_000_000},
    "a long name": {"recipient_name": "x" * 151},
    "a long address": {"recipient_email": "x" * 300 + "@b.example"},
    "for ever": {"days": "31"},
    "never": {"days": "0"},
    "in no time": {"days": "-1"},
    "no number": {"days": "1e9"},
    "no language of ours": {"language": "../../etc/passwd"},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
def test_hostile_input_makes_no_link(
    fields: dict[str, str], row: Connection, member: User, amazon: RunningEmulator
) -> None:
    desk = signed_in_freshly(member)
    path = reverse("client_link_new", args=[row.organization.slug, row.pk])

    with nothing_changes(amazon, events=()):
        answer = desk.post(path, FORM | fields)

    assert answer.status_code == 422
    assert mail.outbox == []


@pytest.mark.parametrize(
    "name",
    [
        "St. John & Co.",
        "Dr. Müller",
        "J. R. R. Tolkien (Ltd.)",
        "Smith, Inc. [EU]",
        "田中。よろしくお願いします。",
        "A/S Ørsted…",
        "№ 1 Shop",
    ],
)
def test_honest_names_are_taken(name: str, row: Connection, member: User) -> None:
    path = reverse("client_link_new", args=[row.organization.slug, row.pk])

    answer = signed_in_freshly(member).post(path, FORM | {"recipient_name": name, "message": name})

    assert answer.status_code == 303
    made = ClientLink._base_manager.get()
    assert (made.recipient_name, made.message) == (name, name)


@pytest.mark.parametrize(
    "name", ["Maria\r\nBcc: all@evil", "\u202eairaM", "\x00Maria", "<b>Maria</b>"]
)
def test_hostile_names_stay_text(
    name: str, row: Connection, organization: Organization, member: User
) -> None:
    Organization.objects.filter(pk=organization.pk).update(name="Evil\r\nBcc: all@evil.example")
    Connection._base_manager.filter(pk=row.pk).update(name="<script>1</script>\r\nX: y")
    asked = client_trips.ask(row, recipient=Recipient(name, "maria@client.example", "en"))

    [job] = Job._base_manager.filter(kind=client_links.MAIL)
    ledger.run(job.pk)

    [message] = mail.outbox
    assert isinstance(message, EmailMultiAlternatives)
    raw = message.message()
    assert raw["Bcc"] is None
    assert raw["X"] is None
    assert message.recipients() == ["maria@client.example"]
    assert "<script>" not in str(message.alternatives[0][0])
    body = Client().get(asked.path).content.decode()
    assert "<script>1" not in body
    assert asked.link.status in (Status.SENT, Status.OPENED)


def test_viewers_ask_nobody_and_see_no_addresses(
    asked: Asked, row: Connection, amazon: RunningEmulator
) -> None:
    desk = signed_in_freshly(factories.make_member(row.organization, Role.VIEWER))
    slug = row.organization.slug

    with nothing_changes(amazon, events=()):
        assert desk.post(reverse("client_link_new", args=[slug, row.pk]), FORM).status_code == 403
        assert desk.get(reverse("client_links", args=[slug])).status_code == 403
        for name in ("client_link_revoke", "client_link_again"):
            assert desk.post(reverse(name, args=[slug, asked.pk])).status_code == 403
    details = desk.get(reverse("connection_details", args=[slug, row.pk])).content.decode()
    assert "maria@client.example" not in details


def test_one_address_gets_a_limited_number_of_mails(
    row: Connection, organization: Organization, member: User
) -> None:
    desk = signed_in_freshly(member)
    path = reverse("client_link_new", args=[organization.slug, row.pk])

    # Colleagues have asked before.
    for _ in range(client_links.MAIL_TO_ADDRESS.burst - 2):
        assert limits.take((client_links.MAIL_TO_ADDRESS, FORM["recipient_email"])) == 0.0

    codes = [desk.post(path, FORM).status_code for _ in range(3)]

    assert codes == [303, 303, 429]
    assert ClientLink._base_manager.count() == 2
    other = FORM | {"recipient_email": ""}
    assert desk.post(path, other).status_code == 200


def test_a_callback_that_is_refused_again_and_again_is_kept_waiting(
    asked: Asked, phone: Client, stranger: Client, amazon: RunningEmulator
) -> None:
    callback = str(callback_of(phone, asked))
    burst = limits.REFUSED_CALLBACK.burst

    codes = [stranger.get(callback).status_code for _ in range(burst + 1)]

    assert codes == [303] * burst + [429]
    assert asked.link.status == Status.LEFT


# At the same moment ---------------------------------------------------------------------------


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_consents_at_once_one_is_taken(amazon: RunningEmulator) -> None:
    row = factories.make_connection(factories.make_organization(), seller=SELLER)
    asked = client_trips.ask(row)
    browsers = [Client() for _ in range(4)]
    callbacks = [callback_of(browser, asked) for browser in browsers]

    pages: list[Any] = threads.run_together(
        *(partial(client_trips.come_back, *pair) for pair in zip(browsers, callbacks, strict=True))
    )

    done = [page for page in pages if "Thank you, that is done" in page.content.decode()]
    assert len(done) == 1
    assert factories.grant_of(row).version == 2
    assert asked.link.status == Status.CONSENTED
    events = AuditEvent._base_manager.filter(code="client_link_consented")
    assert events.count() == 1


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_links_made_at_once_one_lives(amazon: RunningEmulator) -> None:
    row = factories.make_connection(factories.make_organization(), seller=SELLER)

    made: list[Any] = threads.run_many(4, partial(client_trips.ask, row))

    living = [one for one in made if one.link.is_live]
    assert len(living) == 1
    assert Client().get(living[0].path).status_code == 200


# What is written about it ---------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("trouble", ["over", "quarantined", "broken"])
def test_the_token_is_in_no_line_of_the_log(
    trouble: str,
    slash: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Django writes the path of whatever ends in a fault of ours."""
    token = asked.path.removeprefix("/c/")
    browser = Client(raise_request_exception=False)
    if trouble == "over":
        client_links.revoke(link=asked.link, actor=COMMAND)
    elif trouble == "quarantined":
        quarantine.begin(actor=COMMAND, reason="ordered")
    else:
        monkeypatch.setattr(client_links, "standing", None)

    with caplog.at_level(logging.DEBUG):
        for method in ("get", "post"):
            answer = getattr(browser, method)(asked.path + slash)
            assert answer.status_code in (410, 500, 503)

    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert lines
    assert [line for line in lines if token in line] == []
