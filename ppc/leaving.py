"""A person deletes their own login. What they connected belongs to the organization and stays.

It reaches over all apps, since every row that named the person looks different now.
"""

from __future__ import annotations

from django.db import transaction

from connections import revisions
from sellerlegend import deletions
from sellerlegend.organizations import people_log
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.logins import erase_person, left_without_owner, organizations_of
from sellerlegend.organizations.models import Organization, User


class OnlyOwner(ValueError):
    """Organizations would be left with nobody who may delete them or name an owner."""

    def __init__(self, organizations: list[Organization]) -> None:
        super().__init__(", ".join(organization.slug for organization in organizations))
        self.organizations = organizations


class StaffLogin(ValueError):
    """Another member of staff ends it, so that nobody of them disappears from our record alone."""


def delete_login(user: User) -> None:
    """For good. Raises OnlyOwner, StaffLogin, NotWritable; then nothing was changed."""
    if user.is_staff or user.is_superuser:
        raise StaffLogin(str(user.pk))
    with transaction.atomic():
        # Each organization's lock, always in one order: of two owners who leave at the same
        # moment the second finds that the first has gone.
        for organization in sorted(organizations_of(user), key=lambda row: row.pk):
            revisions.touch_all(organization.pk)
        abandoned = left_without_owner(user)
        if abandoned:
            raise OnlyOwner(abandoned)
        deletions.note(people_log.LOGIN, user.pk)
        erase_person(user, actor=Actor.person(user))
