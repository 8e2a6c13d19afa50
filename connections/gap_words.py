"""For how long a consent gave no access, in words."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.gaps import Gap
from connections.words import Facts, exact_time


def gap_words(facts: Facts) -> str:
    if facts["gap_started_at"] is None:
        return ""
    began = exact_time(facts["gap_started_at"])
    if facts["gap_ended_at"] is None:
        return _("No access since %(began)s") % {"began": began}
    ended, days = exact_time(facts["gap_ended_at"]), gap_days(facts)
    words = _("No access from %(began)s to %(ended)s")
    if days:
        words = ngettext(
            "No access from %(began)s to %(ended)s: %(days)d day",
            "No access from %(began)s to %(ended)s: %(days)d days",
            days,
        )
    return words % {"began": began, "ended": ended, "days": days}


def gap_days(facts: Facts) -> int:
    """Whole days, as the timeline counts them."""
    return Gap(facts["gap_started_at"], facts["gap_ended_at"], "").days
