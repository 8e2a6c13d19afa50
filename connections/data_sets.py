"""How far the importers of other systems are, per row and data set: reported here, by one service.

A report says how much of the data set is there (percent), up to which moment it is complete, and
why it is late if it is. The importer's own time decides which of two reports is newer: an older
one changes nothing. `docs/importers.md` is for those who report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connections import revisions
from connections.health_models import DataSet, DataSetReport
from connections.models import Connection
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Organization

# Beyond this a data set is shown as delayed.
LATE_AFTER: dict[DataSet, timedelta] = {
    DataSet.ORDERS: timedelta(hours=6),
    DataSet.INVENTORY: timedelta(hours=24),
    DataSet.FINANCES: timedelta(hours=48),
    DataSet.LISTINGS: timedelta(hours=48),
    DataSet.ADS: timedelta(hours=48),
}
# Clocks of other machines.
CLOCK_SKEW = timedelta(minutes=5)
# No seller's data is older; a time zone could carry the first days of the calendar out of it.
OLDEST = datetime(1995, 1, 1, tzinfo=UTC)
ALL = 100
FIELDS = frozenset(
    {
        "organization",
        "seller_id",
        "region",
        "data_set",
        "percent",
        "data_through",
        "reason",
        "reported_at",
    }
)

# Why data is late, in the words of the details. A closed list.
DELAYS: dict[str, str | Promise] = {
    "amazon_has_no_data_yet": _("Amazon has not made the data available yet."),
    "amazon_throttled": _("Amazon asks us to slow down; we continue by ourselves."),
    "amazon_unavailable": _("Amazon does not answer at the moment; we try again by ourselves."),
    "permission_missing": _("A permission is missing; see the permissions above."),
    "consent_missing": _("There is no consent that works; reconnect the account."),
    "first_import": _("The first import takes its time: it reaches far back."),
    "backlog": _("Our import has more to do than usual, and is catching up."),
    "maintenance": _("Our import is being worked on, and continues by itself."),
}


class ReportRefused(ValueError):
    """The report cannot be right; `code` says why. Nothing was changed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Report:
    """`seller_id` and `region` name the row within the organization with this slug."""

    organization: str
    seller_id: str
    region: str
    data_set: str
    percent: int
    reported_at: datetime
    data_through: datetime | None = None
    reason: str = ""


def report_from(fields: Mapping[str, Any]) -> Report:
    """A report from words or JSON; `reported_at` left out means now. Raises ReportRefused."""
    if set(fields) - FIELDS:
        raise ReportRefused("unknown_field")
    texts = {
        name: str(fields.get(name) or "")
        for name in ("organization", "seller_id", "region", "data_set", "reason")
    }
    percent = fields.get("percent")
    if isinstance(percent, bool) or not isinstance(percent, int):
        raise ReportRefused("percent_is_no_number")
    reported_at = _moment(fields.get("reported_at"))
    return Report(
        **texts,
        percent=percent,
        reported_at=reported_at or timezone.now(),
        data_through=_moment(fields.get("data_through")),
    )


def _moment(value: Any) -> datetime | None:
    """ISO 8601 with an offset: a time without one is nobody's."""
    if value in (None, ""):
        return None
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ReportRefused("time_is_not_iso_8601_with_offset")
    if found < OLDEST:
        raise ReportRefused("time_is_before_amazon")
    return found


def report(given: Report, *, actor: Actor) -> bool:
    """Take a report. False: a newer one is known, and nothing changed. Raises ReportRefused.

    An event is recorded for the first report of a data set, for its completion, and when it
    becomes late or catches up; not for every step.
    """
    _require_sense(given)
    connection = _connection_of(given)
    rows = DataSetReport.objects.for_organization(connection.organization_id)
    mine = rows.filter(connection=connection, data_set=given.data_set)
    columns: dict[str, Any] = {
        "percent": given.percent,
        "data_through": given.data_through,
        "delay_reason": given.reason,
        "reported_at": given.reported_at,
    }
    newer = mine.filter(reported_at__gte=given.reported_at)
    if newer.exists():
        return False
    with transaction.atomic():
        # The organization's lock: of two reporters one is first, and the other sees it.
        revisions.touch(connection.organization_id, [connection.pk])
        if newer.exists():
            return False
        before = mine.first()
        if before is None:
            rows.create(connection=connection, data_set=given.data_set, **columns)
        else:
            mine.update(**columns)
        if _is_news(before, given):
            record_event(
                "data_set_reported",
                actor=actor,
                subject=connection,
                data_set=given.data_set,
                percent=given.percent,
                reason=given.reason,
            )
    return True


def _is_news(before: DataSetReport | None, given: Report) -> bool:
    if before is None or before.delay_reason != given.reason:
        return True
    return (before.percent == ALL) != (given.percent == ALL)


def _require_sense(given: Report) -> None:
    now = timezone.now()
    refusals = {
        "unknown_data_set": given.data_set not in DataSet.values,
        "percent_out_of_range": not 0 <= given.percent <= ALL,
        "unknown_reason": bool(given.reason) and given.reason not in DELAYS,
        "reported_in_the_future": given.reported_at > now + CLOCK_SKEW,
        "data_from_the_future": given.data_through is not None
        and given.data_through > now + CLOCK_SKEW,
    }
    for code, is_refused in refusals.items():
        if is_refused:
            raise ReportRefused(code)


def _connection_of(given: Report) -> Connection:
    organization = Organization.objects.filter(slug=given.organization, deleted_at=None).first()
    if organization is None:
        raise ReportRefused("unknown_connection")
    rows = Connection.objects.for_organization(organization)
    found: Connection | None = rows.filter(
        selling_partner_id=given.seller_id, region=given.region
    ).first()
    if found is None or not given.seller_id:
        raise ReportRefused("unknown_connection")
    return found


def late_by_row(
    organization_id: UUID, connection_ids: list[UUID]
) -> dict[UUID, list[DataSetReport]]:
    """The data sets of these rows that are late; rows without one are left out."""
    found: dict[UUID, list[DataSetReport]] = {}
    reports = DataSetReport.objects.for_organization(organization_id)
    for row in reports.filter(connection_id__in=connection_ids):
        if is_late(row):
            found.setdefault(row.connection_id, []).append(row)
    return found


def is_late(row: DataSetReport) -> bool:
    """Complete up to a moment that is too long ago; or, while that is not known, late by the
    importer's own word, or because it fell silent."""
    known_until = row.data_through or row.reported_at
    is_old = timezone.now() - known_until > LATE_AFTER[DataSet(row.data_set)]
    return is_old or (row.data_through is None and bool(row.delay_reason))
