"""The private calendar link of one person for one organization."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class CalendarFeed(ScopedModel):
    """Only a digest of the link is stored: it is shown once, and replaced when it is lost."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_calendar_feed_each")
        ]

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%d}"
