"""Inviting people by mail: through the front door, from the form to the new member."""

from __future__ import annotations

import logging
import re
import smtplib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import retention
from ppc import erasure, leaving
from sellerlegend import crypto
from sellerlegend.logs import JsonFormatter
from sellerlegend.organizations import invitations
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organization,
    Role,
    User,
)
from tests import factories, threads
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import all_rows, nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

GUEST = "grace@example.com"
LINK = re.compile(r"/invitation/[\w-]{43}(?=\s)")
# What differs between two answers alike: the masked CSRF token, the CSP nonce, a row's own id.
CHANCE = re.compile(r'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"|invitations/[0-9a-f-]{36}')
PAGE = "/invitation"
ACCEPT = "/invitation/accept"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def admin(organization: Organization) -> User:
    user = factories.make_user("ada@example.com", name="Ada Benson")
    return factories.make_member(organization, Role.ADMIN, user=user)


@pytest.fixture
def browser(admin: User) -> Client:
    return signed_in_freshly(admin)


@pytest.fixture
def guest() -> User:
    return factories.make_user(GUEST)


def invite(client: Client, organization: Organization, **fields: str) -> Any:
    url = reverse("member_invite", args=[organization.slug])
    return client.post(url, {"email": GUEST, "role": "member"} | fields, follow=True)


def newest_link() -> str:
    found = LINK.search(str(mail.outbox[-1].body))
    assert found
    return found[0]


def the_invitation() -> Invitation:
    return Invitation._base_manager.latest("created_at")


def act(client: Client, name: str) -> Any:
    invitation = the_invitation()
    url = reverse(name, args=[invitation.organization.slug, invitation.pk])
    return client.post(url, follow=True)


def codes(organization: Organization) -> list[str]:
    events = AuditEvent._base_manager.filter(organization=organization).order_by("pk")
    of_people = ("invitation", "member", "ownership")
    return [code for code in events.values_list("code", flat=True) if code.startswith(of_people)]


def roles(organization: Organization) -> dict[str, str]:
    rows = Membership.objects.for_organization(organization)
    return dict(rows.values_list("user__email", "role"))


# From the form to the member ----------------------------------------------------------------


def test_from_the_form_to_the_new_member(
    organization: Organization, browser: Client, guest: User
) -> None:
    answer = invite(browser, organization)
    assert "The invitation is on its way to grace@example.com." in answer.text
    assert GUEST in answer.text

    (message,) = mail.outbox
    assert message.to == [GUEST]
    assert message.subject == "[SellerLegend] Ada Benson invites you to Northstar Trading"
    body = str(message.body)
    assert "Ada Benson invites you to Northstar Trading at SellerLegend, with the role Member." in (
        body
    )
    html = str(message.alternatives[0][0])  # type: ignore[attr-defined]  # EmailMultiAlternatives
    assert newest_link() in html
    arrived = signed_in_freshly(guest)

    opened = arrived.get(newest_link())
    assert (opened.status_code, opened.headers["Location"]) == (303, PAGE)
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    assert "Join Northstar Trading?" in arrived.get(PAGE).text
    joined = arrived.post(ACCEPT, follow=True)

    assert "You are a member of Northstar Trading now." in joined.text
    assert roles(organization)[GUEST] == Role.MEMBER
    invitation = the_invitation()
    assert (invitation.status, invitation.ended_at is not None) == ("accepted", True)
    assert codes(organization) == ["invitation_sent", "invitation_accepted"]
    assert arrived.post(ACCEPT).status_code == 404
    assert arrived.get(newest_link()).status_code == 404


def test_who_has_no_account_signs_up_on_the_way(
    organization: Organization, browser: Client
) -> None:
    invite(browser, organization)
    link, stranger = newest_link(), Client()

    stranger.get(link)
    page = stranger.get(PAGE).text
    assert "Join Northstar Trading?" in page
    assert f'href="{reverse("account_signup")}?next=/invitation"' in page
    stranger.post(
        f"{reverse('account_signup')}?next={PAGE}",
        {"email": GUEST, "password1": factories.PASSWORD, "next": PAGE},
    )
    code = re.search(r"^\s*([A-Z0-9-]{6,})\s*$", str(mail.outbox[-1].body), re.M)
    assert code, mail.outbox[-1].body
    answer = stranger.post(reverse("account_email_verification_sent"), {"code": code[1]})
    assert answer.headers["Location"] == PAGE
    stranger.post(ACCEPT)

    assert roles(organization)[GUEST] == Role.MEMBER


def test_signing_in_leads_back_to_it(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization)
    arrived = Client()
    arrived.get(newest_link())

    answer = arrived.post(
        reverse("account_login"),
        {"login": guest.email, "password": factories.PASSWORD, "next": PAGE},
    )

    assert answer.headers["Location"] == PAGE
    assert "Join Northstar Trading?" in arrived.get(PAGE).text


def test_a_limited_one_comes_without_any_reach(
    organization: Organization, browser: Client, guest: User
) -> None:
    factories.make_connection(organization, name="Secret store")
    invite(browser, organization, is_limited="on")
    arrived = signed_in_freshly(guest)
    arrived.get(newest_link())

    page = arrived.post(ACCEPT, follow=True).text

    assert "No connection is in your reach" in page
    assert "Secret store" not in page


# Who may not ---------------------------------------------------------------------------------


def test_another_person_is_told_so_and_nothing_else(
    amazon: RunningEmulator, organization: Organization, browser: Client
) -> None:
    invite(browser, organization)
    other = signed_in_freshly(factories.make_user("eve@example.com"))
    with nothing_changes(amazon, events=()):
        other.get(newest_link())
        answers = [other.get(PAGE), other.post(ACCEPT)]
    for answer in answers:
        assert answer.status_code == 403
        assert "You are signed in as eve@example.com" in answer.text
        assert "Northstar" not in answer.text
        assert GUEST not in answer.text


def test_an_address_that_nobody_proved_does_not_count(
    organization: Organization, browser: Client
) -> None:
    """Also not one that a database might take for the same: a dotless i is no i."""
    invite(browser, organization, email="mike@example.com")
    eve = factories.make_user("eve@example.com")
    EmailAddress.objects.create(user=eve, email="mike@example.com", verified=False)
    EmailAddress.objects.create(user=eve, email="mıke@example.com", verified=True)
    client = signed_in_freshly(eve)
    client.get(newest_link())

    assert client.post(ACCEPT).status_code == 403
    assert "eve@example.com" not in roles(organization)


def test_every_verified_address_counts(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization, email="Second@Example.com")
    EmailAddress.objects.create(user=guest, email="second@example.com", verified=True)
    client = signed_in_freshly(guest)
    client.get(newest_link())

    assert client.post(ACCEPT).status_code == 303


def test_the_inviter_does_not_learn_who_has_an_account(
    organization: Organization, browser: Client, guest: User
) -> None:
    """Of a person elsewhere, one that is switched off and none: the pages and mails of inviting,
    sending again and revoking are the same (F17)."""
    factories.make_organization("Harbor", owner=guest)
    off = factories.make_user("off@example.com", is_active=False).email
    told, moment = [], timezone.now()

    for email in (GUEST, off, "nobody@example.com"):
        with time_machine.travel(moment, tick=False):
            answers = [
                invite(browser, organization, email=email),
                act(browser, "invitation_resend"),
                act(browser, "invitation_revoke"),
            ]
        pages = [re.sub(CHANCE, "", page.text).replace(email, "…") for page in answers]
        mails = [LINK.sub("", str(message.body)).replace(email, "…") for message in mail.outbox]
        told.append(([page.status_code for page in answers], pages, mails))
        mail.outbox.clear()
        AuditEvent._base_manager.filter(code__startswith="invitation").delete()
        Invitation._base_manager.all().delete()

    assert len(told[0][2]) == 2
    assert told[0] == told[1] == told[2]


def dead_links(organization: Organization, browser: Client) -> dict[str, str]:
    links = {"made up": f"/invitation/{'A' * 43}", "short": "/invitation/abc"}
    invite(browser, organization, email="revoked@example.com")
    links["revoked"] = newest_link()
    act(browser, "invitation_revoke")
    invite(browser, organization, email="resent@example.com")
    links["replaced by a newer mail"] = newest_link()
    act(browser, "invitation_resend")
    invite(browser, organization, email="expired@example.com")
    links["expired"] = newest_link()
    past = timezone.now() - timedelta(seconds=1)
    Invitation._base_manager.filter(email="expired@example.com").update(expires_at=past)
    invite(browser, organization, email=GUEST)
    links["used"] = newest_link()
    token_hash = crypto.digest(links["used"].removeprefix("/invitation/"))
    invitations.accept(token_hash, User.objects.get(email=GUEST))
    return links


def test_dead_links_are_one_answer_that_tells_nothing(
    amazon: RunningEmulator, organization: Organization, browser: Client, guest: User
) -> None:
    links = dead_links(organization, browser)

    for reader in (Client(), signed_in_freshly(factories.make_user())):
        answers = set()
        for what, link in links.items():
            with nothing_changes(amazon, events=()):
                answer = reader.get(link)
            body = re.sub(r'nonce="[^"]*"', "", answer.text).replace(link, "")
            body = re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", body)
            answers.add((answer.status_code, body))
            assert "Northstar" not in answer.text, what
        assert len(answers) == 1
        assert next(iter(answers))[0] == 404
        assert "invitation" not in reader.session


def test_looking_uses_nothing_up(
    amazon: RunningEmulator, organization: Organization, browser: Client, guest: User
) -> None:
    """A mail scanner opens every link, a few times."""
    invite(browser, organization)
    scanner = Client()
    with nothing_changes(amazon, events=()):
        for _ in range(3):
            assert scanner.get(newest_link(), follow=True).status_code == 200
            assert scanner.head(newest_link()).status_code == 303
            assert scanner.get(ACCEPT).status_code in (302, 405)
    arrived = signed_in_freshly(guest)
    arrived.get(newest_link())
    assert arrived.post(ACCEPT).status_code == 303


def test_the_link_lives_for_a_week(
    organization: Organization, browser: Client, guest: User
) -> None:
    began = timezone.now()
    with time_machine.travel(began, tick=False):
        invite(browser, organization)
    with time_machine.travel(began + timedelta(days=7, seconds=-1), tick=False):
        arrived = signed_in_freshly(guest)
        assert arrived.get(newest_link()).status_code == 303
        assert arrived.get(PAGE).status_code == 200
    with time_machine.travel(began + timedelta(days=7), tick=False):
        assert arrived.get(PAGE).status_code == 404
        assert arrived.post(ACCEPT).status_code == 404
    assert GUEST not in roles(organization)


def test_an_organization_that_was_deleted_invites_nobody(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization)
    link = newest_link()
    erasure.delete_organization(organization=organization, actor=COMMAND)
    assert signed_in_freshly(guest).get(link).status_code == 404
    assert not Invitation._base_manager.exists()


def test_the_name_of_the_organization_becomes_no_link(
    organization: Organization, browser: Client
) -> None:
    Organization.objects.filter(pk=organization.pk).update(name="Prize: https://evil.example/x")
    organization.refresh_from_db()

    invite(browser, organization)

    [message] = mail.outbox
    assert isinstance(message, EmailMultiAlternatives)
    text, html = str(message.body), str(message.alternatives[0][0])
    for part in (message.subject, text, html):
        assert "evil.example" not in part
        assert "evil.\u2060example" in part
    assert re.findall(r"https?://[^\s/\"]+", text + html) == ["http://localhost:8000"] * 2


def test_the_token_is_nowhere_but_in_the_mail(
    organization: Organization, browser: Client, guest: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    invite(browser, organization)
    token = newest_link().removeprefix("/invitation/")
    arrived = signed_in_freshly(guest)
    pages = [arrived.get(newest_link()), arrived.get(PAGE), browser.get(people(organization))]
    act(browser, "invitation_resend")
    pages.append(arrived.get(newest_link()))

    lines = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    told = "".join(f"{page.content!r}{page.headers}" for page in pages)
    session = str(dict(arrived.session))
    for what, text in {
        "log": lines,
        "pages": told,
        "rows": str(all_rows()),
        "events": str(list(AuditEvent._base_manager.values())),
        "session": session,
    }.items():
        assert token not in text, what
    assert "invitation_link" in lines
    assert GUEST not in str(list(AuditEvent._base_manager.values_list("details", flat=True)))


def people(organization: Organization) -> str:
    return reverse("people", args=[organization.slug])


# What administrators may do ------------------------------------------------------------------


def test_a_newer_invitation_replaces_the_one_before(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization)
    first = newest_link()
    invite(browser, organization, role="viewer")

    assert Client().get(first).status_code == 404
    assert invitations.open_ones(organization.pk).get().role == Role.VIEWER
    assert codes(organization) == ["invitation_sent", "invitation_revoked", "invitation_sent"]


def test_revoking_asks_first(organization: Organization, browser: Client, guest: User) -> None:
    invite(browser, organization)
    address = reverse("invitation_revoke", args=[organization.slug, the_invitation().pk])

    question = browser.get(address)

    assert f"Revoke the invitation of {GUEST}?" in question.text
    assert f'action="{address}"' not in browser.get(people(organization)).text
    assert invitations.open_ones(organization.pk).count() == 1
    browser.post(address)
    assert not invitations.open_ones(organization.pk).exists()


def test_sending_again_makes_a_new_link_for_a_week(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization)
    first = newest_link()
    past = timezone.now() - timedelta(days=1)
    Invitation._base_manager.update(expires_at=past)

    answer = act(browser, "invitation_resend")

    assert "on its way to grace@example.com" in answer.text
    assert Client().get(first).status_code == 404
    assert Client().get(newest_link()).status_code == 303
    assert codes(organization)[-1] == "invitation_resent"


def test_nobody_invites_above_the_own_role_or_to_ownership(
    amazon: RunningEmulator, organization: Organization, browser: Client, admin: User
) -> None:
    for role in ("owner", "", "root"):
        with nothing_changes(amazon, events=()):
            answer = invite(browser, organization, role=role)
        assert answer.status_code == 422
    by = Membership.objects.for_organization(organization).get(user=admin)
    Membership.objects.for_organization(organization).filter(pk=by.pk).update(role=Role.MEMBER)
    with nothing_changes(amazon, events=()), pytest.raises(invitations.NotInvitable):
        invitations.invite(by=by, email=GUEST, role=Role.VIEWER)
    assert mail.outbox == []


def test_a_member_is_not_invited_again(
    amazon: RunningEmulator, organization: Organization, browser: Client, guest: User
) -> None:
    factories.make_member(organization, user=guest)
    with nothing_changes(amazon, events=()):
        answer = invite(browser, organization, email=GUEST.upper())
    assert answer.status_code == 422
    assert "This person is a member already." in answer.text


def test_who_became_a_member_meanwhile_keeps_the_role(
    organization: Organization, browser: Client, guest: User
) -> None:
    invite(browser, organization, role="viewer")
    factories.make_member(organization, Role.ADMIN, user=guest)
    arrived = signed_in_freshly(guest)
    arrived.get(newest_link())

    assert arrived.post(ACCEPT).status_code == 303
    assert roles(organization)[GUEST] == Role.ADMIN
    assert the_invitation().status == "accepted"


def test_only_so_many_are_open_at_once(
    amazon: RunningEmulator,
    organization: Organization,
    browser: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(invitations, "MOST_OPEN", 2)
    for number in range(2):
        factories.make_invitation(organization, f"guest{number}@example.com")
    with nothing_changes(amazon, events=()):
        assert "Too many invitations are open." in invite(browser, organization).text
    Invitation._base_manager.filter(email="guest0@example.com").update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert "on its way" in invite(browser, organization).text


def test_mails_are_counted(organization: Organization, browser: Client) -> None:
    """Of the organization, and to one address whoever writes."""
    for _ in range(invitations.SENDING_TO_ADDRESS.burst):
        assert invite(browser, organization).status_code == 200
    refused = invite(browser, organization)
    assert refused.status_code == 429
    assert len(mail.outbox) == invitations.SENDING_TO_ADDRESS.burst
    elsewhere = factories.make_organization("Harbor")
    owner = signed_in_freshly(factories.owner_of(elsewhere))
    assert invite(owner, elsewhere).status_code == 429
    left = invitations.SENDING.burst - invitations.SENDING_TO_ADDRESS.burst - 1
    for number in range(left):
        invite(browser, organization, email=f"guest{number}@example.com")
    assert invite(browser, organization, email="one.more@example.com").status_code == 429


def test_links_are_looked_at_only_so_often(client: Client) -> None:
    for _ in range(invitations.LINKS.burst):
        assert client.get(f"/invitation/{'A' * 43}").status_code == 404
    assert client.get(f"/invitation/{'A' * 43}").status_code == 429


def test_an_old_sign_in_is_asked_again(
    amazon: RunningEmulator, organization: Organization, admin: User
) -> None:
    factories.make_invitation(organization)
    client = signed_in_long_ago(admin)
    invitation = the_invitation()
    with nothing_changes(amazon, events=()):
        for name, args in (
            ("member_invite", [organization.slug]),
            ("invitation_resend", [organization.slug, invitation.pk]),
            ("invitation_revoke", [organization.slug, invitation.pk]),
        ):
            answer = client.post(reverse(name, args=args), {"email": GUEST, "role": "member"})
            assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert mail.outbox == []


def test_a_mail_that_is_not_taken_is_told_and_sent_again(
    organization: Organization, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> Any:
        raise smtplib.SMTPRecipientsRefused({GUEST: (550, b"no such box")})

    with monkeypatch.context() as patch:
        patch.setattr(EmailMultiAlternatives, "send", refuse)
        page = invite(browser, organization).text
    assert "No mail could be sent to grace@example.com." in page
    assert the_invitation().sent_at is None

    assert "on its way" in act(browser, "invitation_resend").text
    assert the_invitation().sent_at is not None


def test_hostile_names_stay_text(organization: Organization) -> None:
    name = "Eve <script>\r\nBcc: all@example.com"
    user = factories.make_user("eve@example.com", name=name)
    factories.make_member(organization, Role.ADMIN, user=user)
    invite(signed_in_freshly(user), organization)
    (message,) = mail.outbox
    assert message.recipients() == [GUEST]
    assert "\n" not in message.subject
    assert "<script>" not in str(message.alternatives[0][0])  # type: ignore[attr-defined]


# What ends them -------------------------------------------------------------------------------


def test_they_end_with_the_inviter(organization: Organization, admin: User) -> None:
    factories.make_invitation(organization, "one@example.com", by=admin)
    owner = factories.owner_of(organization)
    factories.make_invitation(organization, "two@example.com", by=owner)

    leaving.delete_login(admin)

    states = dict(Invitation._base_manager.values_list("email", "status"))
    assert states == {"one@example.com": "revoked", "two@example.com": "open"}


def test_ended_ones_are_pruned_after_thirty_days(organization: Organization) -> None:
    now = timezone.now()
    for email, ended_days, expires_days in (
        ("used long ago", 31, 31),
        ("used lately", 29, 29),
        ("expired long ago", None, 31),
        ("expired lately", None, 29),
    ):
        Invitation._base_manager.create(
            organization=organization,
            email=email,
            role="member",
            token_hash=email,
            status="open" if ended_days is None else "accepted",
            ended_at=None if ended_days is None else now - timedelta(days=ended_days),
            expires_at=now - timedelta(days=expires_days),
        )
    (rule,) = [rule for rule in retention.rules() if rule.name == "invitations"]

    assert sum(rule.steps()) == 2

    left = set(Invitation._base_manager.values_list("email", flat=True))
    assert left == {"used lately", "expired lately"}


@pytest.mark.django_db(transaction=True)
def test_of_many_clicks_one_makes_a_member() -> None:
    organization = factories.make_organization("Northstar Trading")
    _, token = factories.make_invitation(organization, GUEST)
    guest = factories.make_user(GUEST)
    key = crypto.digest(token)

    answers = threads.run_many(4, lambda: invitations.accept(key, guest))

    assert sum(isinstance(answer, Membership) for answer in answers) == 1
    assert sum(isinstance(answer, invitations.NotInvitable) for answer in answers) == 3
    assert codes(organization) == ["invitation_sent", "invitation_accepted"]


def test_one_that_is_revoked_while_it_is_accepted_makes_no_member(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation, token = factories.make_invitation(organization, GUEST)
    guest = factories.make_user(GUEST)
    is_for = invitations.is_for

    def revoked_meanwhile(seen: Invitation, user: User) -> bool:
        invitations.revoke(invitation, actor=COMMAND)
        return is_for(seen, user)

    monkeypatch.setattr(invitations, "is_for", revoked_meanwhile)
    with pytest.raises(invitations.NotInvitable):
        invitations.accept(crypto.digest(token), guest)

    assert GUEST not in roles(organization)


@pytest.mark.django_db(transaction=True)
def test_it_is_accepted_or_revoked_and_never_both() -> None:
    organization = factories.make_organization("Northstar Trading")
    invitation, token = factories.make_invitation(organization, GUEST)
    guest = factories.make_user(GUEST)
    key = crypto.digest(token)

    accepted, revoked = threads.run_together(
        lambda: invitations.accept(key, guest),
        lambda: invitations.revoke(invitation, actor=COMMAND),
    )

    is_in = GUEST in roles(organization)
    assert isinstance(accepted, Membership) is is_in
    assert revoked is not is_in
