"""What is kept for how long, and its removal in small transactions.

Audit events stay 400 days: Amazon's Data Protection Policy asks for a year of security logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from connections import services
from connections.client_link_models import ClientLink
from connections.feed_models import CalendarFeed
from connections.import_models import RESULTS_KEPT, ClientList, TokenImport
from connections.models import AuthorizationRequest
from connections.notice_models import Notice, NoticeMail, NoticeSnooze, NotificationChoice
from connections.queue_models import ReconnectQueue
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import limits, sessions
from sellerlegend.organizations.models import AuditEvent, Invitation, Membership, VaultUse
from sellerlegend.organizations.scoping import across_organizations

AUDIT_DAYS = 400
TRIP_DAYS = JOB_DAYS = INVITATION_DAYS = 30
# A mail outlives what it told: its lines are what keeps a notice from being told again.
NOTICE_DAYS, NOTICE_MAIL_DAYS = 400, 430
# Names and addresses of people who have no login here; the record keeps the events without them.
CLIENT_LINK_DAYS = 90
BATCH = 1000


@dataclass(frozen=True)
class Rule:
    """One kind of row that ends: which ones, and how they go.

    Each of the `steps` is short and whole by itself, and tells how many rows went: whoever stops
    between two of them, or is killed in one, leaves nothing by halves.
    """

    name: str
    rows: Callable[[], QuerySet[Any]]
    steps: Callable[[], Iterator[int]]

    def count(self) -> int:
        with across_organizations("retention"):
            return self.rows().count()


def rules(*, trip_days: int = TRIP_DAYS, job_days: int = JOB_DAYS) -> list[Rule]:
    """In the order in which they have to run."""
    return [
        Rule("overdue_trips", services.overdue_trips, until_none(services.expire_overdue_trips)),
        Rule(
            "abandoned_connections",
            services.abandoned_rows,
            until_none(services.remove_abandoned_rows),
        ),
        deletion("ended_trips", lambda: ended_trips(trip_days)),
        deletion("finished_jobs", lambda: finished_jobs(job_days)),
        deletion("audit_events", old_events),
        deletion("vault_uses", old_uses),
        deletion("sessions", sessions.ended_sessions),
        deletion("devices", sessions.forgotten_devices),
        deletion("allowances", limits.spent_rows),
        deletion("notices", old_notices),
        deletion("notice_mails", old_mails),
        deletion("snoozes", ended_snoozes),
        deletion("notification_choices", partial(of_nobody, NotificationChoice)),
        deletion("calendar_feeds", partial(of_nobody, CalendarFeed)),
        deletion("token_imports", partial(old_files, TokenImport)),
        deletion("client_lists", partial(old_files, ClientList)),
        deletion("invitations", ended_invitations),
        deletion("reconnect_queues", finished_queues),
        deletion("reconnect_queues_of_nobody", partial(of_nobody, ReconnectQueue)),
        deletion("client_links", ended_client_links),
        deletion("call_windows", incidents.old_windows),
    ]


def deletion(name: str, rows: Callable[[], QuerySet[Any]]) -> Rule:
    return Rule(name, rows, until_none(partial(delete_batch, rows)))


def until_none(step: Callable[[], int]) -> Callable[[], Iterator[int]]:
    """The same step again until it finds nothing."""

    def steps() -> Iterator[int]:
        while count := step():
            yield count

    return steps


def ended_trips(days: int) -> QuerySet[AuthorizationRequest]:
    """Their reference codes stay findable in the audit events."""
    return AuthorizationRequest.objects.filter(expires_at__lt=timezone.now() - timedelta(days=days))


def finished_jobs(days: int) -> QuerySet[Job]:
    return Job.objects.filter(
        status__in=[Job.Status.DONE, Job.Status.DEAD],
        finished_at__lt=timezone.now() - timedelta(days=days),
    )


def old_events() -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(at__lt=timezone.now() - timedelta(days=AUDIT_DAYS))


def old_uses() -> QuerySet[VaultUse]:
    oldest = (timezone.now() - timedelta(days=AUDIT_DAYS)).date()
    return VaultUse.objects.filter(day__lt=oldest)


def old_notices() -> QuerySet[Notice]:
    return Notice.objects.filter(created_at__lt=timezone.now() - timedelta(days=NOTICE_DAYS))


def old_mails() -> QuerySet[NoticeMail]:
    long_ago = timezone.now() - timedelta(days=NOTICE_MAIL_DAYS)
    return NoticeMail.objects.filter(created_at__lt=long_ago)


def ended_snoozes() -> QuerySet[NoticeSnooze]:
    return NoticeSnooze.objects.filter(until__lt=timezone.now())


def finished_queues() -> QuerySet[ReconnectQueue]:
    return ReconnectQueue.objects.filter(finished_at__lt=timezone.now() - ReconnectQueue.KEPT)


def ended_invitations() -> QuerySet[Invitation]:
    """Addresses of people who did not come, or came long ago."""
    long_ago = timezone.now() - timedelta(days=INVITATION_DAYS)
    is_over = Q(ended_at__lt=long_ago) | Q(ended_at=None, expires_at__lt=long_ago)
    return Invitation.objects.filter(is_over)


def ended_client_links() -> QuerySet[ClientLink]:
    long_ago = timezone.now() - timedelta(days=CLIENT_LINK_DAYS)
    return ClientLink.objects.filter(ended_at__lt=long_ago)


def of_nobody(model: type[Any]) -> QuerySet[Any]:
    """What people chose for an organization that they left."""
    membership = Membership.objects.filter(
        organization_id=OuterRef("organization_id"), user_id=OuterRef("user_id")
    )
    rows: QuerySet[Any] = model.objects.exclude(Exists(membership))
    return rows


def old_files(model: type[Any]) -> QuerySet[Any]:
    """What files brought, and their results. Their tokens went a day after the file came."""
    rows: QuerySet[Any] = model.objects.filter(created_at__lt=timezone.now() - RESULTS_KEPT)
    return rows


def delete_batch(rows: Callable[[], QuerySet[Any]]) -> int:
    with across_organizations("retention"):
        keys = list(rows().values_list("pk", flat=True)[:BATCH])
        if keys:
            rows().filter(pk__in=keys).delete()
    return len(keys)
