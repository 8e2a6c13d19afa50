"""What a state of health is called, since when, what it means and the one next step. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.gap_words import gap_words
from connections.health import NEEDS_A_PERSON, STALE_AFTER, Health
from connections.health_reasons import HEALTH
from connections.models import ADS_YEAR_RULE_SINCE, CONSENT_DAYS, KEPT_AFTER_END, Grant
from connections.reader import Reader
from connections.reasons import Reason, ads_reason_for, reason_for
from connections.refusals import RECONNECT_REQUIRED, VAULT_LOCKED
from connections.words import (
    Button,
    Facts,
    Sign,
    check_button,
    exact_day,
    exact_time,
    reconnect_button,
    url_of,
)
from sellerlegend.applications.models import LwaApplication

# Refused by us, not by Amazon: *Revoked* would be untrue.
STOPPED_BY_US = (RECONNECT_REQUIRED, VAULT_LOCKED)

SIGNS: dict[str, Callable[[], Sign]] = {
    Health.CONNECTED: lambda: Sign(_("Connected"), "check-circle", "success"),
    Health.EXPIRING: lambda: Sign(_("Expiring"), "clock", "warning"),
    # Not *Expired*: the year that Amazon names is over, and it may accept the consent all the same.
    Health.EXPIRED: lambda: Sign(_("Renewal overdue"), "alert", "danger"),
    Health.DOUBTED: lambda: Sign(_("Refused, checking again"), "progress", "warning"),
    Health.REVOKED: lambda: Sign(_("Revoked"), "stop", "danger"),
    Health.PERMISSION_MISSING: lambda: Sign(_("Permission missing"), "key", "warning"),
    Health.THROTTLED: lambda: Sign(_("Throttled"), "pause", "info"),
    Health.STALE: lambda: Sign(_("Stale"), "dashed", "warning"),
    Health.INCIDENT: lambda: Sign(_("Amazon incident"), "info", "info"),
    Health.WAITING: lambda: Sign(_("Waiting for consent"), "clock", "neutral"),
    Health.DISCONNECTED: lambda: Sign(_("Disconnected"), "minus", "neutral"),
}
# Of what a person can mend, and of what mends itself.
TONES = {
    Health.EXPIRED: "danger",
    Health.REVOKED: "danger",
    Health.THROTTLED: "info",
    Health.STALE: "info",
    Health.INCIDENT: "info",
}
# Nothing has to be told: all is well, or the cell's own button is the next step.
WITHOUT_NOTICE = (Health.CONNECTED, Health.WAITING)


@dataclass(frozen=True)
class SideHealth:
    """One side of a row. `reason` is None where there is nothing to explain."""

    state: str
    sign: Sign
    since: str
    reason: Reason | None = None
    button: Button | None = None

    @property
    def tone(self) -> str:
        return TONES.get(Health(self.state), "warning")

    @property
    def needs_a_person(self) -> bool:
        return self.state in NEEDS_A_PERSON

    @property
    def text(self) -> str:
        return f"{self.reason.meaning} {self.reason.next_step}" if self.reason else ""

    @property
    def buttons(self) -> tuple[Button, ...]:
        return (self.button,) if self.button else ()


def spapi_health(fact: Facts, reader: Reader) -> SideHealth:
    """The Selling Partner side, from what `screen` read of the row."""
    state = fact["spapi_health"]
    sign = SIGNS[state]()
    reason = None if state in WITHOUT_NOTICE else HEALTH[f"health_{state}"]
    if state == Health.REVOKED and fact["last_error_code"] in STOPPED_BY_US:
        sign, reason = new_consent_sign(), reason_for(fact["last_error_code"])
    elif state == Health.REVOKED and is_end_unknown(fact):
        reason = HEALTH["health_revoked_undated"]
    if is_unheard(state, fact):
        reason = HEALTH["health_expiring_unheard"]
    reason = overdue_reason(state, fact["grant_status"], fact, "health") or reason
    if is_unanswered(state, fact):
        reason = HEALTH["health_unanswered"]
    if reason is not None and state == Health.DISCONNECTED:
        reason = replace(reason, next_step=disconnected_words(fact["status_changed_at"]))
    return SideHealth(
        state=state,
        sign=sign,
        since=since_words(state, LwaApplication.SPAPI, fact),
        reason=told_to(reader, reason),
        button=health_button(reason, fact, reader),
    )


def is_flowing(state: str, facts: Facts, prefix: str = "") -> bool:
    """Whether what was started is green. What has worked until the consent behind it did not is
    neutral: no green word beside a red one."""
    if state == Health.EXPIRING:
        return not is_unheard(state, facts, prefix)
    return state == Health.CONNECTED


def is_unheard(state: str, facts: Facts, prefix: str = "") -> bool:
    """It ends soon, which stands above what else is wrong: after its last call, or after days
    without one, nobody can say that data flows until then."""
    if state != Health.EXPIRING:
        return False
    answered_at = facts[f"{prefix}last_success_at"]
    is_silent = answered_at is None or answered_at < timezone.now() - STALE_AFTER
    return bool(
        is_silent or facts[f"{prefix}last_failure_code"] or facts[f"{prefix}first_refused_at"]
    )


def is_unanswered(state: str, facts: Facts) -> bool:
    """Stale from the beginning: there was no answer that could be a day old."""
    return state == Health.STALE and facts["last_success_at"] is None


def overdue_reason(state: str, status: str | None, facts: Facts, named: str) -> Reason | None:
    """Of a year that is over: Amazon has answered after it, or before it and was not asked since,
    both not long ago. None: neither. `named`: what begins the keys of the side."""
    if state != Health.EXPIRED or status != Grant.Status.ACTIVE:
        return None
    answered_at = facts["last_success_at"]
    if answered_at is None or answered_at <= timezone.now() - STALE_AFTER:
        return None
    if answered_at > facts["authorized_at"] + timedelta(days=CONSENT_DAYS):
        return HEALTH[f"{named}_overdue"]
    return None if facts["last_failure_code"] else HEALTH[f"{named}_just_over"]


def new_consent_sign() -> Sign:
    """How a consent reads that we stopped ourselves: nobody revoked it."""
    return Sign(_("New consent needed"), "alert", "warning")


def counted_sign(state: str) -> Sign:
    """For numbers and filters: with both words of a state that rows say two words of."""
    sign = SIGNS[state]()
    if state != Health.REVOKED:
        return sign
    return replace(sign, word=_("Revoked, or new consent needed"))


def disconnected_words(since: datetime) -> str:
    """Until when it can be had back, and what only the seller can do."""
    return _(
        "Reconnect before %(day)s and everything is as it was; that day the row is erased, unless "
        "its PPC is still connected. To finish at Amazon, the seller opens Seller Central → Apps "
        "and Services → Manage Your Apps and disables our app."
    ) % {"day": exact_day(since + KEPT_AFTER_END)}


def ads_health(consent: Facts, fact: Facts, reader: Reader) -> SideHealth:
    """The PPC side, from the worst consent that feeds the row (`worst_consent`)."""
    state = consent["health"]
    is_told = state not in (*WITHOUT_NOTICE, Health.DISCONNECTED)
    sign, reason = SIGNS[state](), HEALTH[f"health_ads_{state}"] if is_told else None
    if state == Health.REVOKED and consent["last_error_code"] in STOPPED_BY_US:
        sign, reason = new_consent_sign(), ads_reason_for(consent["last_error_code"])
    if is_unheard(state, consent):
        reason = HEALTH["health_ads_expiring_unheard"]
    reason = overdue_reason(state, consent.get("status"), consent, "health_ads") or reason
    if is_unanswered(state, consent):
        reason = HEALTH["health_ads_unanswered"]
    return SideHealth(
        state=state,
        sign=sign,
        since=since_words(state, LwaApplication.ADS, consent),
        reason=told_to(reader, reason),
        button=health_button(reason, fact, reader),
    )


def told_to(reader: Reader, reason: Reason | None) -> Reason | None:
    """Who may only look is told whose step it is."""
    if reason is None or reader.may_act or reason.action == "none":
        return reason
    whose = _("Ask a member of your organization to do it.")
    return replace(reason, next_step=f"{reason.next_step} {whose}")


def health_button(reason: Reason | None, fact: Facts, reader: Reader) -> Button | None:
    """The one button of a state's next step."""
    if reason is None or not reader.may_act:
        return None
    if reason.action == "reconnect":
        return reconnect_button(fact, reader, primary=True)
    if reason.action == "connect_ads":
        url = url_of("ppc_connect", reader, fact["id"])
        return Button(_("Connect Amazon Ads again"), url, is_primary=True)
    if reason.action == "check":
        return check_button(fact, reader, primary=True)
    return None


# Since when --------------------------------------------------------------------------------


def since_words(state: str, application: LwaApplication, facts: Facts) -> str:
    """The fact that the state follows from, as a date. `facts` are the columns of the grant."""
    if state == Health.EXPIRING:
        return ending_words(dated_end(application, facts))
    if state in (Health.STALE, Health.INCIDENT):
        return answer_words(facts["last_success_at"])
    if state == Health.PERMISSION_MISSING and facts["permission_missing_since"] is None:
        return _("not part of the consent of %(day)s") % {"day": exact_day(facts["authorized_at"])}
    moment = since_when(state, application, facts)
    if moment is None:
        return ""
    # Of what passes within the hour, the day says nothing.
    is_brief = state in (Health.DOUBTED, Health.THROTTLED)
    return _("since %(day)s") % {"day": exact_time(moment) if is_brief else exact_day(moment)}


def since_when(state: str, application: LwaApplication, facts: Facts) -> datetime | None:
    if state == Health.EXPIRED:
        return dated_end(application, facts)
    columns = {
        Health.CONNECTED: "status_changed_at",
        Health.REVOKED: "status_changed_at",
        Health.DISCONNECTED: "status_changed_at",
        Health.DOUBTED: "first_refused_at",
        Health.THROTTLED: "throttled_since",
        Health.PERMISSION_MISSING: "permission_missing_since",
        Health.WAITING: "created_at",
    }
    moment: datetime | None = facts.get(columns[Health(state)])
    return moment


def answer_words(moment: datetime | None) -> str:
    if moment is None:
        return _("no answer from Amazon yet")
    return _("last answer from Amazon on %(time)s") % {"time": exact_time(moment)}


def consent_end(application: LwaApplication, given: datetime | None) -> datetime | None:
    """When Amazon ends a consent. None: it was never given, or has no fixed end."""
    if given is None:
        return None
    if application == LwaApplication.ADS and given < ADS_YEAR_RULE_SINCE:
        return None
    return given + timedelta(days=CONSENT_DAYS)


def dated_end(application: LwaApplication, facts: Facts) -> datetime | None:
    """The same from the columns of a grant. None also for an imported consent whose day nobody
    knows."""
    return None if is_end_unknown(facts) else consent_end(application, facts["authorized_at"])


def is_end_unknown(facts: Facts) -> bool:
    """Only a Selling Partner consent can have been imported."""
    return facts.get("is_consent_dated") is False


def days_until(moment: datetime) -> int:
    """Counted as people count: by the calendar, never below zero."""
    return max(0, (timezone.localdate(moment) - timezone.localdate()).days)


def ending_words(ends: datetime | None) -> str:
    if ends is None:
        return ""
    days = days_until(ends)
    if days == 0:
        return _("ends today, %(day)s") % {"day": exact_day(ends)}
    words = ngettext("ends in %(days)d day, on %(day)s", "ends in %(days)d days, on %(day)s", days)
    return words % {"days": days, "day": exact_day(ends)}


# Unfolded ------------------------------------------------------------------------------------


def consent_facts(
    application: LwaApplication, state: str, facts: Facts
) -> tuple[tuple[str, str], ...]:
    """Who, when, until when, and what came of it: terms and descriptions of one consent."""
    if facts["authorized_at"] is None:
        return ()
    items = [
        *given_facts(facts),
        *renew_facts(application, state, facts),
        (_("Last verified"), exact_time(facts["verified_at"]) or _("not yet")),
        (_("Last success"), exact_time(facts["last_success_at"]) or _("not yet")),
        (_("Last failure"), failure_words(state, facts)),
    ]
    gap = gap_words(facts["gap_started_at"], facts["gap_ended_at"])
    return (*items, (_("Gap"), gap)) if gap else tuple(items)


def given_facts(facts: Facts) -> list[tuple[str, str]]:
    """Who gave it and when; of an imported one, who brought it, and what is known of its day."""
    imported_at = facts.get("imported_at")
    if imported_at is None:
        return [
            (_("Authorised by"), who_words(facts)),
            (_("Consent given"), exact_time(facts["authorized_at"])),
        ]
    given = exact_day(facts["authorized_at"])
    return [
        (_("Imported by"), who_words(facts)),
        (_("Imported"), exact_time(imported_at)),
        (
            _("Consent given"),
            _("not known, in another tool")
            if is_end_unknown(facts)
            else _("%(day)s, in another tool") % {"day": given},
        ),
    ]


def who_words(facts: Facts) -> str:
    found: str = facts["authorized_by"] or facts["authorized_by_email"] or nameless_words(facts)
    return found


def nameless_words(facts: Facts) -> str:
    return _("the client by link") if is_by_client(facts) else _("a deleted login")


def is_by_client(facts: Facts) -> bool:
    """Of a Selling Partner consent: by whom nobody with a login gave it (`list_queries`)."""
    return facts["authorized_by_email"] is None and facts["authorized_by"] is not None


def renew_facts(
    application: LwaApplication, state: str, facts: Facts
) -> tuple[tuple[str, str], ...]:
    """The day that matters. None of a consent that ended before it."""
    if state in (Health.DISCONNECTED, Health.REVOKED):
        return ()
    if is_end_unknown(facts):
        return ((_("Renew by"), _("unknown: reconnect to know")),)
    ends = dated_end(application, facts)
    term = _("Renewal was due on") if state == Health.EXPIRED else _("Renew by")
    return ((term, exact_day(ends) if ends else _("no fixed end")),)


def failure_words(state: str, facts: Facts) -> str:
    """The code goes with the next success; the moment stays. What is refused is never over."""
    if facts["last_failure_at"] is None:
        return _("none since the consent was given")
    when = exact_time(facts["last_failure_at"])
    if not facts["last_failure_code"]:
        is_refused = state in (Health.REVOKED, Health.DOUBTED) or facts["first_refused_at"]
        return when if is_refused else _("%(time)s, over since then") % {"time": when}
    why = reason_for(facts["last_failure_code"]).title
    return _("%(time)s: %(why)s") % {"time": when, "why": why}


# Which consent speaks for a side ---------------------------------------------------------------


def feeding(parts: list[Facts]) -> dict[Any, Facts]:
    """The Ads consents that the row's links use, by id, as columns of a grant.

    A link that a person ended uses none any more; that side is disconnected, not unhealthy.
    """
    found: dict[Any, Facts] = {}
    for part in sorted(parts, key=is_unlinked):  # a link that is in use speaks for its consent
        if part["ads_grant_id"] is None or part["ads_grant_id"] in found:
            continue
        consent = found[part["ads_grant_id"]] = {
            name.removeprefix("ads_"): value
            for name, value in part.items()
            if name.startswith("ads_")
        }
        if is_unlinked(part):
            consent["health"] = Health.DISCONNECTED.value
            consent["status_changed_at"] = part.get("link_changed_at")
    return found


def is_unlinked(part: Facts) -> bool:
    return bool(part["link_status"] == "unlinked")
