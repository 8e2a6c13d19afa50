"""What each state of health means for the data, with the one next step. Keyed `health_<state>` for
Selling Partner and `health_ads_<state>` for PPC, where the way back is another one."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from connections.reasons import Reason

HEALTH: dict[str, Reason] = {
    "health_connected": Reason(
        _("Connected"),
        _("Amazon answers with this consent, and data flows."),
        _("Nothing to do."),
    ),
    "health_expiring": Reason(
        _("The consent ends soon"),
        _("Data flows until then. Amazon ends every consent after a year."),
        _("Reconnect now: it takes a minute, and nothing is interrupted."),
        "reconnect",
    ),
    "health_expiring_unheard": Reason(
        _("The consent ends soon"),
        _(
            "Amazon does not answer as it should at the moment, and ends every consent after a "
            "year. What is here is kept."
        ),
        _("Reconnect now: it takes a minute and keeps everything."),
        "reconnect",
    ),
    "health_expired": Reason(
        _("The year of the consent is over"),
        _(
            "Amazon has not answered with it since, or no longer does: no new data arrives. "
            "What is here is kept."
        ),
        _("Reconnect the account, signed in as its primary user."),
        "reconnect",
    ),
    "health_just_over": Reason(
        _("The year of the consent is over"),
        _(
            "Data arrived until then. We have not asked Amazon since, and it may refuse the "
            "consent at any moment."
        ),
        _("Reconnect now: it takes a minute."),
        "reconnect",
    ),
    "health_overdue": Reason(
        _("The year of the consent is over, but Amazon still answers"),
        _("Data arrives for now, and Amazon may refuse the consent at any moment."),
        _("Reconnect now: it takes a minute, and nothing is interrupted."),
        "reconnect",
    ),
    "health_doubted": Reason(
        _("Amazon refused your consent, and we ask again"),
        _("Such a refusal is sometimes a mistake, so we ask again before we believe it."),
        _("Nothing to do: we ask again within a quarter of an hour."),
    ),
    "health_revoked": Reason(
        _("Amazon no longer accepts your consent"),
        _(
            "Amazon refuses it: it was revoked in Seller Central. No new data arrives; what is "
            "here is kept."
        ),
        _("Reconnect the account, signed in as its primary user."),
        "reconnect",
    ),
    "health_revoked_undated": Reason(
        _("Amazon no longer accepts your consent"),
        _(
            "Amazon refuses it: it was revoked in Seller Central, or a year has passed since it "
            "was given. No new data arrives; what is here is kept."
        ),
        _("Reconnect the account, signed in as its primary user."),
        "reconnect",
    ),
    "health_permission_missing": Reason(
        _("A permission is missing"),
        _("The consent works, but data that needs this permission does not arrive."),
        _("Reconnect the account, so that the consent holds every permission."),
        "reconnect",
    ),
    "health_throttled": Reason(
        _("Amazon asks us to slow down"),
        _("Data arrives, but later than usual. Your consent is not affected."),
        _("Nothing to do: we continue by ourselves."),
    ),
    "health_stale": Reason(
        _("No answer from Amazon for more than a day"),
        _("Nobody knows at the moment whether data still flows. What is here is kept."),
        _("We ask again by ourselves; press Check now to ask at once."),
        "check",
    ),
    "health_unanswered": Reason(
        _("No answer from Amazon yet"),
        _("More than a day has passed since the consent, and no call has come through."),
        _("We ask again by ourselves; press Check now to ask at once."),
        "check",
    ),
    "health_incident": Reason(
        _("Amazon has a problem"),
        _("It meets many sellers at once. Your consent is not affected; data arrives later."),
        _("Nothing to do: we try again by ourselves."),
    ),
    "health_waiting": Reason(
        _("Waiting for consent"),
        _("Without a consent Amazon shows us nothing."),
        _("Resume, and approve the connection in Seller Central."),
        "reconnect",
    ),
    "health_disconnected": Reason(
        _("Disconnected"),
        _("Its token is destroyed, and nothing is asked of Amazon any more."),
        _(
            "Reconnect within 30 days to keep its history; after that the row is erased, unless "
            "its PPC is still connected."
        ),
        "reconnect",
    ),
    # PPC ------------------------------------------------------------------------------------
    "health_ads_expiring": Reason(
        _("The Amazon Ads consent ends soon"),
        _("Advertising data flows until then. Amazon ends these consents after a year."),
        _("Connect Amazon Ads again now."),
        "connect_ads",
    ),
    "health_ads_expiring_unheard": Reason(
        _("The Amazon Ads consent ends soon"),
        _(
            "Amazon does not answer as it should at the moment, and ends these consents after a "
            "year."
        ),
        _("Connect Amazon Ads again now."),
        "connect_ads",
    ),
    "health_ads_expired": Reason(
        _("The year of the Amazon Ads consent is over"),
        _(
            "Amazon has not answered with it since, or no longer does: no new advertising data "
            "arrives."
        ),
        _("Connect Amazon Ads again."),
        "connect_ads",
    ),
    "health_ads_just_over": Reason(
        _("The year of the Amazon Ads consent is over"),
        _(
            "Advertising data arrived until then. We have not asked Amazon since, and it may "
            "refuse the consent at any moment."
        ),
        _("Connect Amazon Ads again now."),
        "connect_ads",
    ),
    "health_ads_overdue": Reason(
        _("The year of the Amazon Ads consent is over, but Amazon still answers"),
        _("Advertising data arrives for now, and Amazon may refuse the consent at any moment."),
        _("Connect Amazon Ads again now."),
        "connect_ads",
    ),
    "health_ads_doubted": Reason(
        _("Amazon refused the Amazon Ads consent, and we ask again"),
        _("Such a refusal is sometimes a mistake, so we ask again before we believe it."),
        _("Nothing to do: we ask again within a quarter of an hour."),
    ),
    "health_ads_revoked": Reason(
        _("Amazon no longer accepts the Amazon Ads consent"),
        _("Amazon refuses it: its owner removed it. No new advertising data arrives."),
        _("Connect Amazon Ads again."),
        "connect_ads",
    ),
    "health_ads_permission_missing": Reason(
        _("A permission of Amazon Ads is missing"),
        _("The consent works, but advertising data that needs the permission does not arrive."),
        _("Connect Amazon Ads again, signed in as somebody who may edit the campaigns."),
        "connect_ads",
    ),
    "health_ads_throttled": Reason(
        _("Amazon Ads asks us to slow down"),
        _("Advertising data arrives, but later than usual. The consent is not affected."),
        _("Nothing to do: we continue by ourselves."),
    ),
    "health_ads_stale": Reason(
        _("No answer from Amazon Ads for more than a day"),
        _("Nobody knows at the moment whether advertising data still flows."),
        _("We ask again by ourselves; press Check now to ask at once."),
        "check",
    ),
    "health_ads_unanswered": Reason(
        _("No answer from Amazon Ads yet"),
        _("More than a day has passed since the consent, and no call has come through."),
        _("We ask again by ourselves; press Check now to ask at once."),
        "check",
    ),
    "health_ads_incident": Reason(
        _("Amazon has a problem"),
        _("It meets many advertisers at once. The consent is not affected; data arrives later."),
        _("Nothing to do: we try again by ourselves."),
    ),
}
