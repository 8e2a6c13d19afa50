"""Roles given, changed and taken, and what ends with a membership."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections import renewals
from connections.feed_models import CalendarFeed
from connections.grouping_models import Reach, SavedView
from connections.models import AuthorizationRequest, Connection, SpApiGrant
from connections.notice_models import Notice, NoticeSnooze, NotificationChoice
from connections.reach import within_reach
from ppc import parting, restoring
from sellerlegend.organizations import members, people_history
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organization,
    Role,
    User,
)
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.interleaving import orders_of_twins, play, seam
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def owner(organization: Organization) -> User:
    return factories.owner_of(organization)


def member_with(organization: Organization, role: Role, name: str = "") -> Membership:
    if role == Role.OWNER:
        return membership(organization, factories.owner_of(organization))
    user = factories.make_member(organization, role, user=factories.make_user(name=name))
    return membership(organization, user)


def membership(organization: Organization, user: User) -> Membership:
    rows = Membership.objects.for_organization(organization).select_related("user", "organization")
    return rows.get(user=user)


def test_people_of_one_role_stand_by_name_without_regard_to_accents(
    organization: Organization,
) -> None:
    for name in ("Zoe", "Éva", "adam", "Emil"):
        member_with(organization, Role.MEMBER, name)

    shown = [row.user.name for row in members.members_of(organization)]

    assert shown[1:] == ["adam", "Emil", "Éva", "Zoe"]


def role_of(member: Membership) -> str:
    """ "" for who is no member any more."""
    rows = Membership.objects.for_organization(member.organization_id).filter(pk=member.pk)
    return rows.values_list("role", flat=True).first() or ""


def page(client: Client, organization: Organization) -> str:
    return str(client.get(reverse("people", args=[organization.slug])).content.decode())


def post(client: Client, name: str, member: Membership, **fields: str) -> Any:
    url = reverse(name, args=[member.organization.slug, member.pk])
    return client.post(url, fields)


# The page -------------------------------------------------------------------------------------


def test_everybody_sees_who_is_here(organization: Organization) -> None:
    viewer = member_with(organization, Role.VIEWER, "Vera Holm")
    factories.make_invitation(organization, "grace@example.com")

    shown = page(signed_in_freshly(viewer.user), organization)

    for words in ("Vera Holm", "(you)", "Owner", "Everything", "grace@example.com", "Works until"):
        assert words in shown
    for action in ("Invite somebody", "Revoke", ">Remove", "/role", "/transfer"):
        assert action not in shown
    assert reverse("member_leave", args=[organization.slug]) in shown


def test_an_admin_is_offered_what_an_admin_may(organization: Organization, owner: User) -> None:
    admin = member_with(organization, Role.ADMIN)
    other = member_with(organization, Role.ADMIN)
    viewer = member_with(organization, Role.VIEWER)

    shown = page(signed_in_freshly(admin.user), organization)

    def offered(name: str, member: Membership) -> bool:
        return reverse(name, args=[organization.slug, member.pk]) in shown

    owning = membership(organization, owner)
    assert [offered("member_role", row) for row in (owning, other, viewer)] == [False, True, True]
    assert [offered("member_reach", row) for row in (owning, other, viewer)] == [False, False, True]
    assert not offered("member_remove", owning)


def test_the_last_changes_stand_below(organization: Organization, owner: User) -> None:
    client = signed_in_freshly(owner)
    viewer = member_with(organization, Role.VIEWER, "Vera Holm")
    post(client, "member_role", viewer, role="admin")
    post(client, "member_remove", viewer)

    told = [(change.words, change.who) for change in people_history.changes(organization)]

    assert told == [
        ("Removed Vera Holm", owner.email),
        ("Vera Holm became Admin", owner.email),
    ]
    assert "Vera Holm became Admin" in page(client, organization)


def test_foreign_changes_are_not_told(organization: Organization) -> None:
    elsewhere = factories.make_organization("Harbor")
    boss = membership(elsewhere, factories.owner_of(elsewhere))
    victim = member_with(elsewhere, Role.VIEWER)
    parting.remove_member(by=boss, member_id=victim.pk)
    assert people_history.changes(organization) == []


# The rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "theirs", "to"), list(itertools.product(Role, Role, Role)), ids=lambda role: role.value
)
def test_nobody_gives_takes_or_changes_a_role_above_the_own_one(
    organization: Organization, mine: Role, theirs: Role, to: Role
) -> None:
    by = member_with(organization, mine)
    about = membership(organization, factories.make_member(organization, theirs))
    may = mine.covers(Role.ADMIN) and mine.covers(theirs) and mine.covers(to)

    try:
        members.change_role(by=by, member_id=about.pk, role=to)
    except members.RoleTooLow:
        assert not may
        assert role_of(about) == theirs
    else:
        assert may
        assert role_of(about) == to


@pytest.mark.parametrize("theirs", list(Role))
@pytest.mark.parametrize("mine", list(Role))
def test_nobody_removes_above_the_own_role(
    organization: Organization, mine: Role, theirs: Role
) -> None:
    by = member_with(organization, mine)
    about = membership(organization, factories.make_member(organization, theirs))
    may = mine.covers(Role.ADMIN) and mine.covers(theirs)

    if may:
        parting.remove_member(by=by, member_id=about.pk)
    else:
        with pytest.raises(members.RoleTooLow):
            parting.remove_member(by=by, member_id=about.pk)
    assert role_of(about) == ("" if may else theirs)


@pytest.mark.parametrize("name", ["member_role", "member_remove"])
def test_an_admin_is_refused_at_an_owner(
    amazon: RunningEmulator, organization: Organization, owner: User, name: str
) -> None:
    client = signed_in_freshly(member_with(organization, Role.ADMIN).user)
    owning = membership(organization, owner)
    with nothing_changes(amazon, events=()):
        assert post(client, name, owning, role="viewer").status_code == 403


def test_the_last_owner_stays_one(
    amazon: RunningEmulator, organization: Organization, owner: User
) -> None:
    """Another owner who cannot sign in is none."""
    second = member_with(organization, Role.ADMIN)
    members.change_role(by=membership(organization, owner), member_id=second.pk, role=Role.OWNER)
    User.objects.filter(pk=second.user_id).update(is_active=False)
    client, owning = signed_in_freshly(owner), membership(organization, owner)
    leave = reverse("member_leave", args=[organization.slug])

    with nothing_changes(amazon, events=()):
        answers = [
            post(client, "member_role", owning, role="admin"),
            client.post(leave),
            post(client, "member_remove", owning),
        ]
        with pytest.raises(members.LastOwner):
            parting.remove_member(by=owning, member_id=owning.pk)

    assert [answer.status_code for answer in answers] == [303, 303, 302]
    assert "somebody has to own the organization" in page(client, organization)
    assert "You are the only owner." in client.get(leave).text


@pytest.mark.parametrize("name", ["member_role", "member_remove", "member_reach"])
def test_a_foreign_member_is_not_there(
    amazon: RunningEmulator, organization: Organization, owner: User, name: str
) -> None:
    elsewhere = member_with(factories.make_organization("Harbor"), Role.VIEWER)
    client = signed_in_freshly(owner)
    with nothing_changes(amazon, events=()):
        for key in (elsewhere.pk, factories.unknown_id()):
            url = reverse(name, args=[organization.slug, key])
            assert client.post(url, {"role": "viewer", "sees": "all"}).status_code == 404


def test_an_old_sign_in_is_asked_again(
    amazon: RunningEmulator, organization: Organization, owner: User
) -> None:
    viewer = member_with(organization, Role.VIEWER)
    client = signed_in_long_ago(owner)
    with nothing_changes(amazon, events=()):
        for name in ("member_role", "member_remove", "member_reach"):
            answer = post(client, name, viewer, role="admin", sees="some")
            assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        for name in ("member_leave", "ownership_transfer"):
            url = reverse(name, args=[organization.slug])
            answer = client.post(url, {"member": str(viewer.pk)})
            assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))


# What each does -------------------------------------------------------------------------------


def test_ownership_changes_hands_whole(organization: Organization, owner: User) -> None:
    heir = member_with(organization, Role.MEMBER, "Hedda Vik")
    factories.limit(heir.user, organization)
    client = signed_in_freshly(owner)

    url = reverse("ownership_transfer", args=[organization.slug])
    assert "Hedda Vik" in client.get(url).text
    client.post(url, {"member": str(heir.pk)})

    assert role_of(heir) == Role.OWNER
    assert not membership(organization, heir.user).is_limited
    assert role_of(membership(organization, owner)) == Role.ADMIN
    event = AuditEvent._base_manager.get(code="ownership_transferred")
    assert (event.actor_id, event.subject_id) == (owner.pk, heir.user_id)
    assert client.get(url).status_code == 403


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
def test_a_limit_sleeps_while_the_role_knows_none(
    organization: Organization, owner: User, role: Role
) -> None:
    member = member_with(organization, Role.MEMBER)
    row = factories.make_connection(organization)
    factories.make_connection(organization)
    factories.limit(member.user, organization, row)
    mine = membership(organization, owner)

    members.change_role(by=mine, member_id=member.pk, role=role)
    assert not membership(organization, member.user).is_limited
    members.change_role(by=mine, member_id=member.pk, role=Role.VIEWER)

    again = membership(organization, member.user)
    assert (again.is_limited, again.has_sleeping_limit) == (True, False)
    seen = within_reach(Connection.objects.for_organization(organization), again)
    assert [found.pk for found in seen] == [row.pk]


def test_who_never_had_a_limit_gets_none(organization: Organization, owner: User) -> None:
    member = member_with(organization, Role.ADMIN)
    mine = membership(organization, owner)
    members.change_role(by=mine, member_id=member.pk, role=Role.MEMBER)
    assert not membership(organization, member.user).is_limited


def test_who_is_no_admin_any_more_invited_nobody(organization: Organization, owner: User) -> None:
    admin = member_with(organization, Role.ADMIN)
    factories.make_invitation(organization, "grace@example.com", by=admin.user)
    members.change_role(by=membership(organization, owner), member_id=admin.pk, role=Role.MEMBER)
    assert Invitation._base_manager.get().status == "revoked"


@pytest.mark.parametrize("way", ["removed", "left"])
def test_access_ends_at_the_next_request(organization: Organization, owner: User, way: str) -> None:
    row = factories.make_connection(organization, name="Secret store")
    member = member_with(organization, Role.ADMIN)
    elsewhere = signed_in_freshly(member.user)
    paths = [
        reverse("account_connections", args=[organization.slug]),
        reverse("connection_details", args=[organization.slug, row.pk]),
        reverse("people", args=[organization.slug]),
    ]
    assert [elsewhere.get(path).status_code for path in paths] == [200, 200, 200]

    if way == "removed":
        answer = post(signed_in_freshly(owner), "member_remove", member)
    else:
        url = reverse("member_leave", args=[organization.slug])
        answer = signed_in_freshly(member.user).post(url)

    assert answer.status_code == 303
    assert [elsewhere.get(path).status_code for path in paths] == [404, 404, 404]
    assert organization.name not in elsewhere.get(reverse("profile")).text
    code = "member_removed" if way == "removed" else "member_left"
    event = AuditEvent._base_manager.get(code=code)
    assert (event.organization_id, event.subject_id) == (organization.pk, member.user_id)


def make_own_things(member: Membership, row: Connection) -> str:
    """One of everything that a person has in an organization. The path of the calendar link."""
    organization, user = member.organization, member.user
    NotificationChoice.objects.for_organization(organization).create(user=user)
    SavedView.objects.for_organization(organization).create(user=user, name="Mine")
    notice = Notice.objects.for_organization(organization).get()
    client = signed_in_freshly(user)
    client.post(reverse("notice_snooze", args=[organization.slug, notice.pk]), {"days": "7"})
    trips.leave(client, row)
    factories.limit(user, organization, row)
    link = renewals.make_feed(organization=organization, user=user, actor=Actor.person(user))
    return link[link.index("/calendar/") :]


def test_what_the_person_had_here_ends_with_it(
    amazon: RunningEmulator, organization: Organization, owner: User
) -> None:
    row = factories.make_connection(organization)
    factories.make_notice(row)
    gone, stays = (member_with(organization, Role.MEMBER) for _ in range(2))
    feeds = [make_own_things(member, row) for member in (gone, stays)]

    parting.remove_member(by=membership(organization, owner), member_id=gone.pk)

    for model in (NotificationChoice, NoticeSnooze, CalendarFeed, SavedView):
        users = list(model._base_manager.values_list("user", flat=True))
        assert users == [stays.user_id], model
    assert list(Reach._base_manager.values_list("membership", flat=True)) == [stays.pk]
    states = dict(AuthorizationRequest._base_manager.values_list("user", "status"))
    assert states == {gone.user_id: "expired", stays.user_id: "open"}
    assert [Client().get(feed).status_code for feed in feeds] == [404, 200]
    gone.user.refresh_from_db()
    assert gone.user.last_organization_id is None


def test_a_removal_offers_to_replace_what_the_person_authorised(
    organization: Organization, owner: User
) -> None:
    gone, without = (member_with(organization, Role.MEMBER) for _ in range(2))
    rows = [factories.make_connection(organization) for _ in range(2)]
    SpApiGrant.objects.for_organization(organization).filter(connection__in=rows).update(
        authorized_by=gone.user
    )
    client = signed_in_freshly(owner)
    url = f"{reverse('authorisers', args=[organization.slug])}?person={gone.user_id}"
    words = "Replace the 2 consents they gave"

    question = client.get(reverse("member_remove", args=[organization.slug, gone.pk]))
    assert f'<a href="{url}">{words}' in question.text
    assert (
        words
        not in client.get(
            reverse("member_remove", args=[organization.slug, without.pk])
        ).content.decode()
    )
    post(client, "member_remove", gone)

    assert f'has no access any more. <a href="{url}">{words}' in page(client, organization)


def test_who_was_removed_is_told_that_the_access_ended(
    organization: Organization, owner: User
) -> None:
    gone = member_with(organization, Role.MEMBER)
    record_event("invitation_accepted", actor=Actor.person(gone.user), organization=organization)
    client, newcomer = signed_in_freshly(gone.user), signed_in_freshly(factories.make_user())
    words = "Your access to Northstar Trading has ended."
    new = reverse("organization_new")
    assert words not in client.get(new).text

    parting.remove_member(by=membership(organization, owner), member_id=gone.pk)

    assert words in client.get(reverse("home"), follow=True).text
    assert "has ended" not in newcomer.get(new).text


def test_a_trip_to_amazon_of_who_was_removed_connects_nothing(
    amazon: RunningEmulator, organization: Organization, owner: User
) -> None:
    row = factories.make_waiting_connection(organization)
    member = member_with(organization, Role.MEMBER)
    client = signed_in_freshly(member.user)
    callback = trips.confirm(trips.leave(client, row), "A1NORTHSTAR001")
    parting.remove_member(by=membership(organization, owner), member_id=member.pk)

    answer = client.get(str(callback), follow=True)

    row.refresh_from_db()
    assert row.selling_partner_id is None
    assert row.name not in answer.content.decode()
    assert organization.slug not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_restored_backup_does_not_bring_a_membership_back(settings: Settings) -> None:
    organization = factories.make_organization("Northstar Trading")
    by = member_with(organization, Role.OWNER)
    member = member_with(organization, Role.ADMIN)
    parting.remove_member(by=by, member_id=member.pk)
    Membership._base_manager.create(
        id=member.pk, organization=organization, user=member.user, role=Role.ADMIN
    )

    found = restoring.resurrected([Path(settings.DELETION_LOG)])
    (mine,) = [row for row in found if row.kind == "member" and row.id == member.pk]
    assert mine.is_certain
    restoring.end_again(mine.kind, mine.id)

    assert role_of(member) == ""
    assert role_of(by) == Role.OWNER


# Two at once ----------------------------------------------------------------------------------

at_once = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(240),
]


def owners_of(organization: Organization) -> int:
    rows = Membership.objects.for_organization(organization)
    return rows.filter(role=Role.OWNER, user__is_active=True).count()


class TestTwoAtOnce:
    """Before and after the look under the lock, in every order."""

    pytestmark = at_once

    @pytest.fixture(autouse=True)
    def seams(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seam(monkeypatch, members, "lock")
        seam(monkeypatch, members, "lock", after=True)

    def test_two_admins_who_remove_each_other(self) -> None:
        for order in orders_of_twins(3):
            organization = factories.make_organization()
            one, other = (member_with(organization, Role.ADMIN) for _ in range(2))

            answers = play(
                order,
                partial(parting.remove_member, by=one, member_id=other.pk),
                partial(parting.remove_member, by=other, member_id=one.pk),
            )

            assert sum(isinstance(answer, User) for answer in answers) == 1, order
            assert sum(isinstance(answer, members.NotAMember) for answer in answers) == 1, order
            assert sorted(map(role_of, (one, other))) == ["", "admin"], order

    def test_the_last_two_owners_who_step_down(self) -> None:
        for order in orders_of_twins(3):
            organization = factories.make_organization()
            one = member_with(organization, Role.OWNER)
            other = membership(organization, factories.make_member(organization, Role.OWNER))

            answers = play(
                order,
                partial(members.change_role, by=one, member_id=one.pk, role=Role.ADMIN),
                partial(members.change_role, by=other, member_id=other.pk, role=Role.ADMIN),
            )

            assert sum(isinstance(answer, members.LastOwner) for answer in answers) == 1, order
            assert owners_of(organization) == 1, order

    def test_an_owner_who_leaves_and_one_who_hands_over(self) -> None:
        for order in orders_of_twins(3):
            organization = factories.make_organization()
            one = member_with(organization, Role.OWNER)
            other = membership(organization, factories.make_member(organization, Role.OWNER))
            heir = member_with(organization, Role.MEMBER)

            play(
                order,
                partial(parting.leave, member=one),
                partial(members.transfer_ownership, by=other, member_id=heir.pk),
            )

            assert owners_of(organization) >= 1, order
