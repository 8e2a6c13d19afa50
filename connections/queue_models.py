"""A person's list of stores to reconnect one after another, and how far each of them is."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class ReconnectQueue(ScopedModel):
    """Private to one person, who can leave it and go on another day, on another device."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        FINISHED = "finished", _("Finished")

    MOST_ITEMS: ClassVar[int] = 500
    # How long a finished one can be read.
    KEPT: ClassVar[timedelta] = timedelta(days=30)

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "reconnect_queue"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {Status.OPEN: {Status.FINISHED}}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["open", "finished"]), name="reconnect_queue_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status="open", finished_at__isnull=True)
                | Q(status="finished", finished_at__isnull=False),
                name="reconnect_queue_finished_has_time",
            ),
            models.UniqueConstraint(
                fields=["organization", "user"],
                condition=Q(status="open"),
                name="one_open_reconnect_queue_each",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.status}"


class ReconnectItem(ScopedModel):
    """One row of the screen in a queue.

    What happens to the row elsewhere (renewed by somebody else, removed, disconnected) is read from
    the row; it becomes NOT_NEEDED here at the next step that the person takes.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        AT_AMAZON = "at_amazon", _("At Amazon")
        RECONNECTED = "reconnected", _("Reconnected")
        FAILED = "failed", _("Not reconnected")
        SKIPPED = "skipped", _("Skipped")
        NOT_NEEDED = "not_needed", _("Passed over")
        # Its client has a link: nobody of ours walks it meanwhile.
        LINKED = "linked", _("Sent as link")

    class Cause(models.TextChoices):
        """Why it is passed over. A failed one has the outcome of its trip instead."""

        RENEWED = "renewed", _("Renewed")
        REMOVED = "removed", _("Removed")
        DISCONNECTED = "disconnected", _("Disconnected")
        # The client did not give it: the row's turn comes again.
        LINK_EXPIRED = "link_expired", _("The link has expired")
        LINK_DECLINED = "link_declined", _("The client declined")
        LINK_ENDED = "link_ended", _("The link was ended")

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "reconnect_item"
    # A trip that was under way comes back whatever was decided meanwhile: RECONNECTED can follow
    # everything but itself.
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Status.WAITING: {
            Status.AT_AMAZON,
            Status.RECONNECTED,
            Status.FAILED,
            Status.SKIPPED,
            Status.NOT_NEEDED,
            Status.LINKED,
        },
        Status.AT_AMAZON: {
            Status.AT_AMAZON,
            Status.RECONNECTED,
            Status.FAILED,
            Status.SKIPPED,
            Status.NOT_NEEDED,
            Status.LINKED,
        },
        Status.FAILED: {
            Status.AT_AMAZON,
            Status.RECONNECTED,
            Status.FAILED,
            Status.SKIPPED,
            Status.NOT_NEEDED,
            Status.LINKED,
        },
        Status.LINKED: {
            Status.WAITING,
            Status.AT_AMAZON,
            Status.RECONNECTED,
            Status.FAILED,
            Status.SKIPPED,
            Status.NOT_NEEDED,
            Status.LINKED,
        },
        Status.SKIPPED: {Status.WAITING, Status.RECONNECTED, Status.LINKED},
        Status.NOT_NEEDED: {Status.RECONNECTED},
    }
    # Still to be walked.
    PENDING: ClassVar[tuple[str, ...]] = (Status.WAITING, Status.AT_AMAZON, Status.FAILED)
    LINK_OVER: ClassVar[tuple[str, ...]] = ("link_expired", "link_declined", "link_ended")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    queue = models.ForeignKey(ReconnectQueue, on_delete=models.CASCADE, related_name="items")
    # A row that is erased takes its line along.
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="+"
    )
    position = models.PositiveIntegerField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.WAITING)
    cause = models.CharField(max_length=40, blank=True, default="")
    # A consent that is newer than this was given meanwhile.
    added_at = models.DateTimeField(default=timezone.now)
    left_at = models.DateTimeField(null=True)
    linked_at = models.DateTimeField(null=True)
    reconnected_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "waiting",
                        "at_amazon",
                        "reconnected",
                        "failed",
                        "skipped",
                        "not_needed",
                        "linked",
                    ]
                ),
                name="reconnect_item_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["failed", "not_needed"]) & ~Q(cause="")
                | ~Q(status__in=["failed", "not_needed"]) & Q(cause=""),
                name="reconnect_item_cause_given",
            ),
            models.CheckConstraint(
                condition=~Q(status="at_amazon") | Q(left_at__isnull=False),
                name="reconnect_item_at_amazon_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="linked") | Q(linked_at__isnull=False),
                name="reconnect_item_linked_has_time",
            ),
            models.UniqueConstraint(
                fields=["queue", "connection"], name="each_row_once_in_a_reconnect_queue"
            ),
        ]
        indexes = [models.Index(fields=["queue", "position"], name="reconnect_item_in_order")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.status}"
