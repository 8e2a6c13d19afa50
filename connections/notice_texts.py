"""The sentences of one notice: what happened, what it means for the data, and the next step."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.health import SURFACES
from connections.health_reasons import HEALTH
from connections.health_words import STOPPED_BY_US, days_until
from connections.models import CONSENT_DAYS
from connections.notice_models import Notice
from connections.reasons import Reason, ads_reason_for, reason_for
from connections.words import exact_day
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident

Kind = Notice.Kind


def days_left(notice: Notice) -> int:
    """As of now, since a notice may be read days after it was made; counted as on the row."""
    return days_until(end_of(notice))


def end_of(notice: Notice) -> datetime:
    """Of the year of its consent."""
    return notice.consent_at + timedelta(days=CONSENT_DAYS)


def loss_of(notice: Notice) -> Reason:
    """Why a consent was lost: one of Amazon Ads has nothing to do with Seller Central."""
    is_of_ads = notice.ads_grant_id is not None
    return ads_reason_for(notice.reason) if is_of_ads else reason_for(notice.reason)


def title_of(notice: Notice) -> str:
    if notice.kind == Kind.EXPIRING:
        return ending_title(notice)
    if notice.kind == Kind.REVOKED:
        return str(loss_of(notice).title)
    if notice.reason == Notice.RENEWED:
        return _("The consent was renewed")
    titles = {
        Kind.EXPIRED: _("The year of the consent is over"),
        Kind.PERMISSION_MISSING: _("A permission is missing"),
        Kind.RECOVERED: _("Works again"),
        Kind.CLIENT_SILENT: _("A client does not answer"),
        Kind.INCIDENT_OPENED: _("Amazon has a problem at the moment"),
        Kind.INCIDENT_CLOSED: _("Amazon's problem is over"),
    }
    return titles[Kind(notice.kind)]


def ending_title(notice: Notice) -> str:
    """With the day itself, since a mail may be read days later."""
    days, day = days_left(notice), exact_day(end_of(notice))
    if days == 0:
        return _("The consent ends today, %(day)s") % {"day": day}
    words = ngettext(
        "The consent ends in %(days)d day, on %(day)s",
        "The consent ends in %(days)d days, on %(day)s",
        days,
    )
    return words % {"days": days, "day": day}


def impact_of_loss(notice: Notice, *, is_dated: bool) -> str:
    """Told within the year of the consent, so that its end is no cause, save where nobody knows
    that year. Without an Amazon Ads consent Selling Partner's data flows on."""
    is_of_ads = notice.ads_grant_id is not None
    if notice.reason not in STOPPED_BY_US:
        key = "health_revoked" if is_dated else "health_revoked_undated"
        why = str(HEALTH["health_ads_revoked" if is_of_ads else key].meaning)
        said = [why, _only_ads() if is_of_ads else "", _doubt_of_amazon(notice)]
        return " ".join(words for words in said if words)
    why = str(loss_of(notice).meaning)
    what = _("Nothing new is read from Amazon; what we have is kept.")
    if is_of_ads:
        what = _("No new advertising data arrives.") + " " + _only_ads()
    return f"{why} {what}"


def impact_of_renewal(notice: Notice, *, is_dated: bool) -> str:
    """Of a consent whose year was over, and which Amazon accepted all the same until the new one
    came: nothing came back, since nothing had stopped."""
    words = _("Amazon accepted the one before until then, so nothing was interrupted.")
    if not is_dated:
        return words
    until = _("The new one ends on %(day)s.") % {"day": exact_day(end_of(notice))}
    return f"{words} {until}"


def _doubt_of_amazon(notice: Notice) -> str:
    """Refusals of many are held for two hours; what is believed after them may still be its own."""
    application = LwaApplication.SPAPI if notice.ads_grant_id is None else LwaApplication.ADS
    region = notice.connection.region if notice.connection is not None else ""
    if not incidents.are_many_refused_now(SURFACES[application], region, notice.occurred_at):
        return ""
    return _(
        "Amazon refuses the consents of many sellers at the moment, so its own fault may be the "
        "cause. We go on asking: the consent may work again by itself."
    )


def _only_ads() -> str:
    return _("Selling Partner data does not need it, and what we have is kept.")


def impact_of(notice: Notice, incident: Incident | None, *, is_dated: bool) -> str:
    """`is_dated`: the day on which its consent was given is known."""
    if notice.kind == Kind.REVOKED:
        return impact_of_loss(notice, is_dated=is_dated)
    if notice.kind == Kind.INCIDENT_OPENED and is_refusing(incident):
        return _(
            "Amazon refuses the consents of many at the moment. None ends by that alone: we go on "
            "asking, and tell you if one stays refused."
        )
    if notice.reason == Notice.RENEWED:
        return impact_of_renewal(notice, is_dated=is_dated)
    if notice.kind == Kind.EXPIRING and notice.ads_grant_id is not None:
        until_when = _(
            "Amazon ends every consent after a year. From then on no new advertising data is read."
        )
        return f"{until_when} {_only_ads()}"
    impacts = {
        Kind.EXPIRING: _(
            "Amazon ends every consent after a year. From then on nothing new is read; what we "
            "have is kept."
        ),
        Kind.EXPIRED: _(
            "Amazon may refuse the consent at any moment, or does so already. What we have is kept."
        ),
        Kind.PERMISSION_MISSING: _("Amazon lets us in but refuses a part of the data."),
        Kind.CLIENT_SILENT: _("No consent has come by the link."),
        Kind.RECOVERED: _("Amazon accepts the consent, and data is read again."),
        Kind.INCIDENT_OPENED: _(
            "Data may come late. Consents are not affected, and nothing is lost."
        ),
        Kind.INCIDENT_CLOSED: _("What is still late is read by itself."),
    }
    return impacts[Kind(notice.kind)]


def is_refusing(incident: Incident | None) -> bool:
    """Then nobody can promise that no consent is affected: some sellers did revoke."""
    return incident is not None and incident.cause == Incident.Cause.REFUSING


def next_step_of(notice: Notice) -> str:
    if notice.kind == Kind.REVOKED:
        return str(loss_of(notice).next_step)
    if notice.kind == Kind.EXPIRING and days_left(notice) == 0:
        return _("Reconnect today; it takes a minute and keeps everything.")
    steps = {
        Kind.EXPIRING: _("Reconnect before that day; it takes a minute and keeps everything."),
        Kind.EXPIRED: _("Reconnect; it takes a minute and keeps everything."),
        Kind.CLIENT_SILENT: _("Call them, or ask again."),
        Kind.PERMISSION_MISSING: _("Reconnect, so that the consent grants every permission."),
    }
    return steps.get(Kind(notice.kind), _("Nothing to do."))
