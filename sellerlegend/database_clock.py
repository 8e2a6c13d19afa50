"""The database's clock: one for all processes, however wrong the clock of a machine is."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone


def skew_seconds() -> float:
    """By how much the database's clock is ahead of this process's."""
    before = timezone.now()
    there = _now_there()
    return (there - (before + (timezone.now() - before) / 2)).total_seconds()


def _now_there() -> datetime:
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT clock_timestamp()" if is_postgresql else "SELECT strftime('%%s', 'now')", []
        )
        (told,) = cursor.fetchone()
    moment: datetime = told if is_postgresql else datetime.fromtimestamp(int(told), UTC)
    return moment
