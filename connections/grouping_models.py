"""How an organization sorts its connections, and how far a person sees: tags, clients, views."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Membership, Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class Tag(ScopedModel):
    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=40)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization", Lower("name"), name="tag_name_once_per_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Tagging(ScopedModel):
    """A tag on a connection, as often as once."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="taggings"
    )
    tag = models.ForeignKey(Tag, on_delete=models.CASCADE, related_name="taggings")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "tag"], name="each_tag_once_on_a_row"),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.tag_id}"


class Client(ScopedModel):
    """Whose stores they are: a connection belongs to one client of an agency, or to none. The
    contact is who can give consent at Amazon, and has no login here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    contact_name = models.CharField(_("contact's name"), max_length=150, blank=True, default="")
    contact_email = models.EmailField(_("contact's email address"), blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization", Lower("name"), name="client_name_once_per_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name


class SavedView(ScopedModel):
    """What one person often looks at: the query of the list's address, under a name."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization", "user", Lower("name"), name="view_name_once_per_person"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Reach(ScopedModel):
    """One thing that a limited member sees: the rows of a tag, of a client, or one row. A limited
    member (`Membership.is_limited`) without any sees no row."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="reaches")
    tag = models.ForeignKey(Tag, null=True, on_delete=models.CASCADE, related_name="+")
    client = models.ForeignKey(Client, null=True, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        "connections.Connection", null=True, on_delete=models.CASCADE, related_name="+"
    )

    class Meta:
        verbose_name_plural = "reaches"
        constraints = [
            models.CheckConstraint(
                condition=Q(tag__isnull=False, client=None, connection=None)
                | Q(tag=None, client__isnull=False, connection=None)
                | Q(tag=None, client=None, connection__isnull=False),
                name="reach_names_one_thing",
            ),
            models.UniqueConstraint(fields=["membership", "tag"], name="each_tag_reached_once"),
            models.UniqueConstraint(
                fields=["membership", "client"], name="each_client_reached_once"
            ),
            models.UniqueConstraint(
                fields=["membership", "connection"], name="each_connection_reached_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.membership_id} {self.tag_id or self.client_id or self.connection_id}"
