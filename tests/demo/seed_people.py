"""Organizations and people of the demo, written through the ORM with verified addresses."""

from __future__ import annotations

import json
import uuid

import django

if __name__ == "__main__":
    # The models below need it.
    django.setup()

from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group, Permission
from django.utils.text import slugify

from sellerlegend.crypto import new_data_key
from sellerlegend.organizations.models import Membership, Organization, User
from tests.demo.people import PASSWORD, PEOPLE, STAFF_MAY, STAFF_SECRET, SUPPORT_GROUP, Person

OWNER = "owner"


def seed_people() -> None:
    """Rows that exist are left as they are: a visitor may have changed them."""
    support, _ = Group.objects.get_or_create(name=SUPPORT_GROUP)
    for person in PEOPLE:
        if User.objects.filter(email=person.email).exists():
            continue
        user = User.objects.create_user(
            person.email, PASSWORD, name=person.name, is_staff=person.is_staff
        )
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        if person.is_staff:
            user.groups.add(support)
            user.user_permissions.add(*Permission.objects.filter(codename__in=STAFF_MAY))
            TOTP.activate(user, STAFF_SECRET)
        else:
            join_organization(user, person)


def join_organization(user: User, person: Person) -> None:
    slug = slugify(person.organization)
    key = uuid.uuid4()
    organization, _ = Organization.objects.get_or_create(
        slug=slug,
        defaults={"id": key, "name": person.organization, "data_key": new_data_key(key)},
    )
    Membership.objects.for_organization(organization).create(user=user, role=person.role)
    User.objects.filter(pk=user.pk).update(last_organization=organization)


def places() -> dict[str, dict[str, str]]:
    """Each owner's organization: where its connections belong."""
    found = {}
    for person in PEOPLE:
        if person.role == OWNER:
            organization = Organization.objects.get(slug=slugify(person.organization))
            found[person.email] = {"id": str(organization.pk), "slug": organization.slug}
    return found


if __name__ == "__main__":
    seed_people()
    print(json.dumps(places()))
