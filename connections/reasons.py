"""Every word a person reads about a failure, with the one next step. Keyed by stored reason."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise


@dataclass(frozen=True)
class Reason:
    """`action` names the button the page offers: retry, reconnect, connect_ads, restart, none."""

    title: Words
    meaning: Words
    next_step: Words
    action: str = "none"


# A person is needed, or the job waits: onboarding and PPC ----------------------------------
REASONS: dict[str, Reason] = {
    "amazon_throttled": Reason(
        _("Amazon asks us to slow down"),
        _("Amazon allows only a few of these calls in a quarter of an hour."),
        _("Nothing to do: we continue by ourselves."),
    ),
    "amazon_unavailable": Reason(
        _("Amazon does not answer at the moment"),
        _("The fault is on Amazon's side. Your consent is not affected."),
        _("Nothing to do: we try again by ourselves."),
    ),
    "grant_doubted": Reason(
        _("Amazon refused your consent"),
        _("Such a refusal is sometimes a mistake, so we ask again before we believe it."),
        _("Nothing to do: we ask again within a quarter of an hour."),
    ),
    "client_misconfigured": Reason(
        _("Our own registration with Amazon has a problem"),
        _("Amazon does not accept our application's credentials. It is not your account."),
        _("Nothing to do: our staff have been told, and we continue by ourselves."),
    ),
    "grant_missing": Reason(
        _("There is no consent for this account"),
        _("Without a consent Amazon shows us nothing."),
        _("Reconnect the account."),
        "reconnect",
    ),
    "disconnected": Reason(
        _("Disconnected"),
        _("Its token is destroyed, and nothing is asked of Amazon any more."),
        _(
            "Reconnect it in time to keep its history; after 30 days the row is erased, unless its "
            "PPC is still connected."
        ),
        "reconnect",
    ),
    "grant_invalid": Reason(
        _("Amazon no longer accepts your consent"),
        _("It was revoked in Seller Central, or a year has passed since it was given."),
        _("Reconnect the account, signed in as its primary user."),
        "reconnect",
    ),
    "reconnect_required": Reason(
        _("Our support asks for a new consent"),
        _("The present one is kept, but it is not used any more."),
        _("Reconnect the account, signed in as its primary user."),
        "reconnect",
    ),
    "permission_missing": Reason(
        _("A permission is missing"),
        _("Amazon let us in but refused this information."),
        _("Reconnect the account so that it grants every permission, then try again."),
        "reconnect",
    ),
    "wrong_region": Reason(
        _("Amazon knows this account in another region"),
        _("The consent is in order, but not for the region this row stands in."),
        _("Nothing to do: our staff have been told."),
    ),
    "not_participating": Reason(
        _("The seller does not take part in this marketplace"),
        _("Amazon lists the marketplace, but selling there is not switched on."),
        _("Join the marketplace in Seller Central, then try again."),
        "retry",
    ),
    "not_listed": Reason(
        _("Amazon no longer lists this marketplace for the seller"),
        _("It was there before. What we know about it is kept."),
        _("Check the account in Seller Central, then try again."),
        "retry",
    ),
    "unexpected_reply": Reason(
        _("Amazon answered in a way we do not understand"),
        _("Nothing was changed."),
        _("Try again. If it stays so, write to support with the name of the account."),
        "retry",
    ),
    "gave_up": Reason(
        _("We could not finish after several tries"),
        _("The work was interrupted again and again."),
        _("Try again. Support already sees it in their list."),
        "retry",
    ),
    "vault_locked": Reason(
        _("The stored consent cannot be read"),
        _("Our safeguards refused to open it, so it was not used."),
        _("Reconnect the account; support has been told."),
        "reconnect",
    ),
    "quarantined": Reason(
        _("We ask nothing of Amazon at the moment"),
        _("Our staff check something first: an incident, or a backup that was restored."),
        _("Nothing to do: we continue by ourselves."),
    ),
    "vault_key_missing": Reason(
        _("Our vault is closed at the moment"),
        _("A key of ours is missing, so no consent can be opened. Yours is not affected."),
        _("Nothing to do: our staff have been told, and we continue by ourselves."),
    ),
    "ads_no_profile": Reason(
        _("No Ads profile for this marketplace"),
        _(
            "The Amazon Ads login that gave its consent has no advertising account for this "
            "seller here. Amazon creates one with the first campaign."
        ),
        _("Create a first campaign in Amazon Ads, then try again."),
        "retry",
    ),
    "ads_nothing_listed": Reason(
        _("This Amazon Ads login has no advertising accounts"),
        _("It may be a personal login, or one with view-only rights."),
        _("Connect again, signed in to Amazon as the person who runs the campaigns."),
        "connect_ads",
    ),
    "ads_other_seller": Reason(
        _("This Amazon Ads login advertises for other sellers"),
        _("None of its profiles belongs to the Seller ID of this row."),
        _("Connect again, signed in to Amazon as the person who runs this seller's campaigns."),
        "connect_ads",
    ),
    "ads_vendor_only": Reason(
        _("Only a vendor profile was found"),
        _("Vendor profiles belong to Vendor Central, not to a seller account."),
        _("Connect with a login that has the seller's advertising account."),
        "connect_ads",
    ),
    "ads_agency_only": Reason(
        _("Only an agency (DSP) profile was found"),
        _("Agency profiles cannot be linked to a seller's marketplace."),
        _("Ask the seller to share the advertising account with this login, then try again."),
        "retry",
    ),
    "ads_view_only": Reason(
        _("This Amazon Ads login may only look"),
        _("It can see the seller's profile but has no right to edit it."),
        _("Ask the owner for edit rights in Amazon Ads, then try again."),
        "retry",
    ),
    "ads_profile_lost": Reason(
        _("Amazon no longer lists the linked Ads profile"),
        _(
            "It was there before: the Amazon Ads login that gave its consent has lost its rights, "
            "or the advertising account was closed."
        ),
        _(
            "Connect Amazon Ads again with a login that may edit it. If the rights come back, it "
            "is linked again by itself."
        ),
        "connect_ads",
    ),
    "ads_grant_invalid": Reason(
        _("Amazon no longer accepts the Amazon Ads consent"),
        _("It was removed by its owner, or a year has passed since it was given."),
        _("Connect Amazon Ads again."),
        "connect_ads",
    ),
    "ads_reconnect_required": Reason(
        _("Our support asks for a new Amazon Ads consent"),
        _("The present one is kept, but it is not used any more."),
        _("Connect Amazon Ads again."),
        "connect_ads",
    ),
    "ads_vault_locked": Reason(
        _("The stored Amazon Ads consent cannot be read"),
        _("Our safeguards refused to open it, so it was not used."),
        _("Connect Amazon Ads again; support has been told."),
        "connect_ads",
    ),
}

UNKNOWN = Reason(
    _("Something stopped this"),
    _("Nothing was changed."),
    _("Try again. If it stays so, write to support."),
    "retry",
)


def reason_for(code: str) -> Reason:
    return REASONS.get(code, UNKNOWN)


def ads_reason_for(code: str) -> Reason:
    """What also happens to a consent of Selling Partner, where that of Amazon Ads is meant."""
    return REASONS.get(f"ads_{code}") or reason_for(code)


# How a trip to Amazon ended ----------------------------------------------------------------
# With a consent: nothing to explain.
SUCCESSES = frozenset(
    {"connected", "reconnected", "merged", "brought_back", "ads_connected", "ads_renewed"}
)

OUTCOMES: dict[str, Reason] = {
    "declined": Reason(
        _("You declined, and nothing was changed"),
        _("Amazon told us that the request was not approved."),
        _("Start again whenever you like."),
        "restart",
    ),
    "code_missing": Reason(
        _("Amazon sent you back without an approval"),
        _("The answer had no authorization in it, so nothing was changed."),
        _("Start again and press Confirm on Amazon's page."),
        "restart",
    ),
    "code_rejected": Reason(
        _("Amazon did not accept the approval"),
        _("An approval is good for five minutes and for one use. Nothing was changed."),
        _("Start again; it takes less than a minute."),
        "restart",
    ),
    "amazon_unavailable": Reason(
        _("Amazon gave us no usable answer"),
        _(
            "It did not answer in time, had too many requests, or sent something that is no "
            "answer. Your approval could not be completed. Nothing was changed."
        ),
        _("Wait a minute and start again."),
        "restart",
    ),
    "client_misconfigured": Reason(
        _("Our own registration with Amazon has a problem"),
        _("Amazon does not accept our application's credentials. Nothing was changed."),
        _("Our staff have been told. Try again later, with this reference if you write to us."),
        "restart",
    ),
    "unexpected_reply": Reason(
        _("Amazon answered in a way we do not understand"),
        _("Nothing was changed."),
        _("Start again. If it happens twice, write to support with this reference."),
        "restart",
    ),
    "wrong_account": Reason(
        _("You signed in with another seller account"),
        _("We stopped before anything was exchanged or changed."),
        _(
            "Sign out of Seller Central, or switch to the right store in its account switcher, "
            "and start again."
        ),
        "restart",
    ),
    "other_row": Reason(
        _("This store is connected already, in a row of its own"),
        _(
            "It is not one of those that you look after here. We stopped before anything was "
            "exchanged or changed."
        ),
        _(
            "Sign in with the store that was asked for. If this is the one, ask the owner or an "
            "administrator of the organization to reconnect it from its row."
        ),
        "list",
    ),
    "renewal_unproved": Reason(
        _("Amazon did not confirm the new consent"),
        _(
            "It reads nothing of this store, or is of another one: somebody else than its primary "
            "user approved, or our own application lacks a permission at Amazon. The consent that "
            "this connection had is kept."
        ),
        _(
            "Sign in to Seller Central as the primary user of this store and start again. If you "
            "were signed in so already, write to support with this reference."
        ),
        "restart",
    ),
    "row_gone": Reason(
        _("This connection was removed in the meantime"),
        _("The approval was not used. Nothing was changed."),
        _("Add the connection again."),
        "list",
    ),
    "row_removed": Reason(
        _("This seller's connection was removed here"),
        _(
            "It can come back with its name, settings and history, but only an administrator may "
            "bring it back. Your approval was not kept, and nothing was changed."
        ),
        _(
            "An administrator of the organization restores it under Removed connections, in the "
            "menu More of the list. Then reconnect it."
        ),
        "list",
    ),
    "disconnected_meanwhile": Reason(
        _("This account was disconnected in the meantime"),
        _("Somebody ended it while you were at Amazon. Your approval was not kept."),
        _("Start again if you want to connect the account after all."),
        "restart",
    ),
    "expired": Reason(
        _("That took too long"),
        _("For your safety a trip to Amazon ends after ten minutes. Nothing was changed."),
        _("Start again; it takes less than a minute."),
        "restart",
    ),
    "role_too_low": Reason(
        _("You may no longer connect accounts here"),
        _("Your role in this organization changed while you were at Amazon."),
        _("Ask an administrator of the organization."),
        "list",
    ),
    "interrupted": Reason(
        _("That was interrupted"),
        _("We were stopped while we completed your approval, and nothing was kept of it."),
        _("Start again; it takes less than a minute."),
        "restart",
    ),
    "quarantined": Reason(
        _("We take no approval at the moment"),
        _("Our staff check something first. Nothing was changed."),
        _("Start again later today."),
        "restart",
    ),
    "vault_key_missing": Reason(
        _("Our vault is closed at the moment"),
        _(
            "A key of ours is missing, so your approval could not be kept, and we did not use it. "
            "Nothing was changed."
        ),
        _("Start again later today."),
        "restart",
    ),
    "vault_refused": Reason(
        _("Your approval could not be stored safely"),
        _("Our safeguards refused to open what belongs to it. Nothing was changed."),
        _("Our staff have been told. Try again later, with this reference if you write to us."),
    ),
    "link_over": Reason(
        _("The link was ended in the meantime"),
        _(
            "It was used, taken back or replaced, or it expired, while you were at Amazon. Nothing "
            "was changed."
        ),
        _("Ask whoever sent you the link for a new one."),
    ),
    "in_progress": Reason(
        _("This approval is being completed"),
        _("The same page was opened before: that one is at work, or was stopped."),
        _("Look at your connections in a moment. If nothing is there in two minutes, start again."),
        "list",
    ),
}

# What others read of a trip that was not theirs, where the title speaks to whoever made it.
TOLD_TO_OTHERS: dict[str, Words] = {
    "declined": _("The request was declined at Amazon"),
    "code_missing": _("Amazon sent back no approval"),
    "wrong_account": _("Another seller account was signed in"),
    "role_too_low": _("The role no longer allowed to connect accounts"),
    "vault_refused": _("The approval could not be stored safely"),
}

# One neutral page for everything an attacker could learn from.
REFUSED = Reason(
    _("This link from Amazon cannot be used"),
    _(
        "It is incomplete, was used before, is too old, or belongs to another browser or login. "
        "Nothing was changed."
    ),
    _("Go to your connections and start again."),
    "restart",
)


def outcome_words(code: str) -> Reason:
    return OUTCOMES.get(code, REFUSED)


def outcome_title(code: str) -> str:
    """For whoever reads of somebody else's trip."""
    return str(TOLD_TO_OTHERS.get(code) or outcome_words(code).title)
