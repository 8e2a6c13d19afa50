"""What people do to organizations. Its creator is the owner."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from sellerlegend.organizations import custody
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, Role, User

SLUG_LENGTH = 60
TRIES = 8


def create_organization(*, name: str, owner: User) -> Organization:
    """An organization with a data key of its own, and its owner. The slug is for ever."""
    for attempt in range(TRIES):
        organization = Organization(name=name, slug=slug_for(name, attempt))
        organization.data_key = custody.new_data_key(organization.pk)
        try:
            with transaction.atomic():
                organization.save(force_insert=True)
                Membership.objects.for_organization(organization).create(
                    user=owner, role=Role.OWNER
                )
                record_event(
                    "organization_created",
                    actor=Actor.person(owner),
                    organization=organization,
                    name=name,
                )
        except IntegrityError:
            continue
        return organization
    raise RuntimeError("no free slug was found")


def slug_for(name: str, attempt: int) -> str:
    """Readable first; with a random tail when taken, which tells nothing about who has it."""
    base = slugify(name)[:SLUG_LENGTH] or "organization"
    return base if attempt == 0 else f"{base}-{secrets.token_hex(2)}"


def rename_organization(*, organization: Organization, name: str, actor: Actor) -> None:
    with transaction.atomic():
        old = organization.name
        Organization.objects.filter(pk=organization.pk).update(name=name)
        record_event(
            "organization_renamed", actor=actor, organization=organization, old=old, new=name
        )
    organization.name = name


def remember_organization(*, user: User, organization: Organization) -> None:
    """`/` leads to the organization a person used last. Writes only when it changed."""
    if user.last_organization_id != organization.pk:
        User.objects.filter(pk=user.pk).update(last_organization=organization)
        user.last_organization_id = organization.pk
