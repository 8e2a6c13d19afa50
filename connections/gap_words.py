"""For how long a consent gave no access, in words."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.gaps import Gap
from connections.words import exact_time


def gap_words(started_at: datetime | None, ended_at: datetime | None) -> str:
    if started_at is None:
        return ""
    began = exact_time(started_at)
    if ended_at is None:
        return _("No access since %(began)s") % {"began": began}
    ended, days = exact_time(ended_at), Gap(started_at, ended_at, "").days
    words = _("No access from %(began)s to %(ended)s")
    if days:
        words = ngettext(
            "No access from %(began)s to %(ended)s: %(days)d day",
            "No access from %(began)s to %(ended)s: %(days)d days",
            days,
        )
    return words % {"began": began, "ended": ended, "days": days}


def span_words(began_at: datetime | None, ended_at: datetime | None) -> str:
    if began_at is None or ended_at is None:
        return ""
    words = _("From %(began)s to %(ended)s.")
    return words % {"began": exact_time(began_at), "ended": exact_time(ended_at)}
