"""What people lost, in the deletion log: a restored backup would give it back.

Four kinds, by the id of the person: `person` (may sign in), `staff` (is staff), each with `is_on`,
`password`, and `login` (deleted); and `member`, by the id of a membership that ended. Of several
lines about the same the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sellerlegend import deletions
from sellerlegend.organizations.audit import COMMAND, record_event
from sellerlegend.organizations.logins import erase_person
from sellerlegend.organizations.models import Membership, User

SWITCHES = {"person": "is_active", "staff": "is_staff"}
PASSWORD = "password"  # noqa: S105  # a word, not one
LOGIN = "login"
MEMBER = "member"
KINDS = frozenset({*SWITCHES, PASSWORD, LOGIN, MEMBER})
# Between the time in the row and the one in its line.
SAME_MOMENT = timedelta(seconds=5)


def note_switches(user: User, changed: Iterable[str]) -> None:
    """In the transaction that saves them. Raises NotWritable."""
    for kind, column in SWITCHES.items():
        if column in changed:
            deletions.note(kind, user.pk, is_on=int(getattr(user, column)))


def note_password(user: User) -> None:
    """Nobody is kept from a new password because a disk is full; the log has an error then."""
    try:
        deletions.note(PASSWORD, user.pk)
    except deletions.NotWritable:
        return


def is_revived(line: dict[str, Any]) -> bool:
    """Whether the person has again what this line says was lost."""
    if line["kind"] == MEMBER:
        return Membership.objects.filter(pk=UUID(line["id"])).exists()
    rows = User.objects.filter(pk=UUID(line["id"]))
    if line["kind"] == LOGIN:
        return rows.exists()
    if line["kind"] in SWITCHES:
        return not line.get("is_on") and rows.filter(**{SWITCHES[line["kind"]]: True}).exists()
    try:
        before = datetime.fromisoformat(line.get("at", "")) - SAME_MOMENT
    except ValueError:
        return False  # a damaged line: nobody knows what it is newer than
    person = rows.filter(password_set_at__lt=before).first()
    return person is not None and person.has_usable_password()


def note_membership(membership: Membership) -> None:
    """In the transaction that ends it. Raises NotWritable."""
    deletions.note(MEMBER, membership.pk)


def end_membership_again(key: UUID) -> None:
    """What hung on it opens nothing without it, and `prune` takes it."""
    member = Membership.objects.select_related("organization", "user").get(pk=key)
    record_event(
        "member_removed",
        actor=COMMAND,
        organization=member.organization,
        subject=member.user,
        reason="ended_before_restore",
    )
    Membership.objects.filter(pk=key).delete()


def end_again(kind: str, user_id: UUID) -> None:
    """Switched off again; an old password opens nothing, a reset by mail sets a new one; a login
    that was deleted goes again."""
    if kind == MEMBER:
        end_membership_again(user_id)
        return
    user = User.objects.select_for_update().get(pk=user_id)
    if kind == LOGIN:
        erase_person(user, actor=COMMAND, reason="ended_before_restore")
        return
    if kind in SWITCHES:
        setattr(user, SWITCHES[kind], False)
    else:
        user.set_unusable_password()
    column = SWITCHES.get(kind, PASSWORD)
    user.save(update_fields=[column])
    record_event(
        "person_changed",
        actor=COMMAND,
        subject=user,
        changed=[column],
        reason="ended_before_restore",
    )
