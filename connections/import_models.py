"""Files that people bring: refresh tokens from another tool, and lists of an agency's clients."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.crypto import Place
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel

# A token that nobody confirmed, or that Amazon could not be asked about, is destroyed after it.
TOKENS_KEPT = timedelta(hours=24)
# How long the results stay readable; less than Amazon's 30 days after the end of a consent.
RESULTS_KEPT = timedelta(days=14)


class TokenImport(ScopedModel):
    """One file of refresh tokens: looked at first, then confirmed, then worked off row by row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="token_import_by_age")]

    @property
    def destroyed_by(self) -> datetime:
        """When tokens that are still open go, whatever became of them."""
        return self.created_at + TOKENS_KEPT

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"


class ImportedToken(ScopedModel):
    """One row of such a file. Its token column is read by `connections.imported_tokens` alone, and
    is empty from the moment at which its fate is known."""

    class Status(models.TextChoices):
        CHECKED = "checked", _("Ready")
        WAITING = "waiting", _("Waiting for Amazon")
        STORED = "stored", _("Imported")
        REFUSED = "refused", _("Not imported")
        LEFT = "left", _("Left out")

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "imported_token"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Status.CHECKED: {Status.WAITING, Status.LEFT},
        Status.WAITING: {Status.STORED, Status.REFUSED, Status.LEFT},
    }
    OPEN = (Status.CHECKED, Status.WAITING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    token_import = models.ForeignKey(TokenImport, on_delete=models.CASCADE, related_name="rows")
    # Of the file, as a spreadsheet counts.
    line = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    region = models.CharField(max_length=2, blank=True, default="")
    marketplace_id = models.CharField(max_length=20, blank=True, default="")
    selling_partner_id = models.CharField(max_length=40, blank=True, default="")
    consented_on = models.DateField(null=True)
    refresh_token = models.TextField(blank=True, default="", editable=False)
    fingerprint = models.CharField(max_length=8, blank=True, default="")
    status = models.CharField(max_length=10, choices=Status.choices)
    # Why it was refused or left out, as `import_words.py` knows it; empty while all is well.
    # One of all reasons, or each thing that is wrong with the row of the file, with blanks between.
    outcome = models.CharField(max_length=100, blank=True, default="")
    # At first the row of this seller that it would renew, in the end the row that holds it.
    connection = models.ForeignKey(
        "connections.Connection", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token_import", "line"], name="imported_line_once"),
            models.CheckConstraint(
                condition=Q(status__in=["checked", "waiting", "stored", "refused", "left"]),
                name="imported_token_status_known",
            ),
            models.CheckConstraint(
                condition=(Q(status__in=["checked", "waiting"]) & ~Q(refresh_token=""))
                | (~Q(status__in=["checked", "waiting"]) & Q(refresh_token="")),
                name="imported_token_only_while_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.status}"

    def place(self) -> Place:
        return Place(self._meta.db_table, "refresh_token", self.organization_id, self.pk)


class ClientList(ScopedModel):
    """One file of clients and their stores: looked at first, then confirmed, all at once.

    `lines`: one object for each row of the file (`client_lists.Line`), with its result.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_at = models.DateTimeField(null=True)
    lines = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="client_list_by_age")]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"
