"""How old our client secrets are, for pages, metrics and checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sellerlegend.applications.clients import held_rows, in_force
from sellerlegend.applications.models import ClientSecret, LwaApplication

WARN_BELOW_DAYS = 30


@dataclass(frozen=True)
class SecretAge:
    """`issued_at` is what Amazon or an operator said when `is_dated`, else when we first saw it.

    `days_left` is rounded up, and zero or below once the date has passed. `is_newest` is the one in
    force; of the others `is_accepted` tells the one before from one that Amazon never accepted.
    `fallback_uses` counts the uses of an older secret after a newer one had come.
    """

    application: str
    fingerprint: str
    is_newest: bool
    is_accepted: bool
    is_dated: bool
    is_refused: bool
    issued_at: datetime
    ends_at: datetime
    age_days: int
    days_left: int
    uses: int
    fallback_uses: int
    last_used_at: datetime | None

    @property
    def label(self) -> str:
        return str(LwaApplication(self.application).label)

    @property
    def tone(self) -> str:
        """As the components name it."""
        if self.is_refused or self.days_left <= 0:
            return "danger"
        return "warning" if self.is_newest and self.days_left < WARN_BELOW_DAYS else "success"

    @property
    def left(self) -> str:
        return left_in_words(self.days_left, is_refused=self.is_refused)

    @property
    def ends_on(self) -> str:
        return date_format(self.ends_at, "Y-m-d")


def secret_ages() -> list[SecretAge]:
    """Every client secret at hand, newest first for each application. One query for each of the
    two applications; no value is opened."""
    now = timezone.now()
    ages: list[SecretAge] = []
    for application in LwaApplication:
        rows = held_rows(application)
        current = in_force(rows)
        ages += [
            _age(row, is_newest=row is current, now=now)
            for row in rows
            if row.ends_at() > now or row is current
        ]
    return ages


def _age(row: ClientSecret, *, is_newest: bool, now: datetime) -> SecretAge:
    issued_at = row.issued_at or row.first_seen_at
    return SecretAge(
        application=row.application,
        fingerprint=row.fingerprint,
        is_newest=is_newest,
        is_accepted=row.accepted_at is not None,
        is_dated=row.issued_at is not None or row.expires_at is not None,
        is_refused=row.is_refused,
        issued_at=issued_at,
        ends_at=row.ends_at(),
        age_days=(now - issued_at).days,
        days_left=days_until(row.ends_at(), now),
        uses=row.uses,
        fallback_uses=row.fallback_uses,
        last_used_at=row.last_used_at,
    )


def left_of(row: ClientSecret) -> str:
    """How long Amazon still accepts it, also of one that ended long ago."""
    return left_in_words(days_until(row.ends_at(), timezone.now()), is_refused=row.is_refused)


def left_in_words(days: int, *, is_refused: bool) -> str:
    if is_refused:
        return _("Amazon refuses it")
    if days <= 0:
        return _("Past its last day")
    return ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}


def days_until(moment: datetime, now: datetime) -> int:
    return math.ceil((moment - now) / timedelta(days=1))
