"""What can be wrong with a row of a file that somebody brought, in words with the next step."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from connections.reasons import Reason, Words

# Seen before anything is asked of Amazon: the file is to be corrected.
PROBLEMS: dict[str, Words] = {
    "name_missing": _("The name is missing."),
    "name_is_a_token": _(
        "A token stands where the name belongs. Correct the order of the columns; it is not shown "
        "here."
    ),
    "name_too_long": _("The name is longer than 80 characters."),
    "place_unknown": _(
        "The marketplace or region is not one of Amazon's. Write for example US, DE, NA or EU."
    ),
    "place_missing": _("The marketplace or region is missing."),
    "places_differ": _("The marketplace lies in another region than the one beside it."),
    "seller_missing": _(
        "The Seller ID is missing, and Amazon does not tell whose a token is. It stands in Seller "
        "Central under Settings, Account Info, Merchant Token."
    ),
    "seller_malformed": _("This is not a Seller ID: it has only letters and digits."),
    "token_missing": _("The refresh token is missing."),
    "token_malformed": _("This is not a refresh token: those begin with Atzr|."),
    "day_malformed": _("The day of the consent is not written as 2026-03-31."),
    "day_in_the_future": _("The day of the consent lies in the future."),
    "consent_over": _(
        "The consent is older than a year, and Amazon wants a new one each year: let the seller "
        "connect again."
    ),
    "twice_in_the_file": _("Another row of the file has this Seller ID in this region."),
    "name_twice": _("Another row of the file has this name."),
    "said_before": _("An earlier row of the file says the same: that one counts."),
    "token_twice": _("Another row of the file has this token."),
    "name_taken": _("You already have a connection with this name, of another seller."),
    "token_known": _("This consent is already here."),
    "kept_better": _(
        "The connection has a consent that works, and nothing says that the one of the file is "
        "newer. Give the day of the consent if it is."
    ),
    "kept_newer": _(
        "The connection has a consent that works and is as new or newer: the one of the file is "
        "not needed."
    ),
    # Of clients' lists
    "client_missing": _("The client's name is missing."),
    "client_too_long": _("The client's name is longer than 80 characters."),
    "mail_malformed": _("The contact's email address is not one."),
    "tag_too_long": _("A tag is longer than 40 characters."),
    "too_many_tags": _("There are more than ten tags."),
    "contact_too_long": _("The contact's name is longer than 150 characters."),
    "place_differs": _("A connection of this name stands in another region."),
    "other_client": _("The connection belongs to another client. Change that in the list first."),
}

# How a row ended that was confirmed. 6xx of the catalogue.
RESULTS: dict[str, Reason] = {
    "import_token_refused": Reason(
        _("Amazon refuses this token"),
        _(
            "It was revoked, has ended, or was given to another application than ours: a token of "
            "another provider's application works only there."
        ),
        _("Connect the account anew, signed in as its primary user."),
    ),
    "import_seller_unproved": Reason(
        _("Amazon did not confirm the Seller ID"),
        _("The connection has a consent that works, so an unproved one does not take its place."),
        _("Reconnect the account, if its consent has to be renewed."),
    ),
    "import_kept_better": Reason(
        _("The consent that was here is as good or better"),
        _("It works, and nothing says that the one of the file is newer."),
        _("Nothing to do."),
    ),
    "import_connected_meanwhile": Reason(
        _("The account was connected meanwhile"),
        _("Somebody connected this Seller ID in this region after the file was looked at."),
        _("Nothing to do, if that is the consent you want."),
    ),
    "import_disconnected_meanwhile": Reason(
        _("The account was disconnected meanwhile"),
        _("Somebody ended it after you confirmed the import, and the newer wish counts."),
        _("Bring the file again if you want it connected all the same."),
    ),
    "import_row_removed": Reason(
        _("The account was removed from the list meanwhile"),
        _("Somebody removed it after you confirmed the import, and the newer wish counts."),
        _("Bring the file again with its row ticked if you want it back."),
    ),
    "import_name_taken": Reason(
        _("The name was given away meanwhile"),
        _("Another connection got it after the file was looked at."),
        _("Change the name in the file and bring that row again."),
    ),
    "import_without_a_person": Reason(
        _("Nobody stands behind the import any more"),
        _("Whoever confirmed it left the organization or may not import any more."),
        _("An administrator brings the file again."),
    ),
    "import_wrong_region": Reason(
        _("Amazon knows this account in another region"),
        _("The token works, but not in the region of the file."),
        _("Correct the region in the file and bring that row again."),
    ),
    "import_permission_missing": Reason(
        _("A permission is missing"),
        _("Amazon accepts the token and refuses to list the seller's marketplaces."),
        _("Connect the account anew, so that the consent holds every permission."),
    ),
    "import_unexpected_reply": Reason(
        _("Amazon answered in a way we do not understand"),
        _("The token is destroyed, and nothing was imported."),
        _("Bring the row again later. If it stays so, write to support."),
    ),
    "import_vault_locked": Reason(
        _("The token of the file cannot be read any more"),
        _("Our safeguards refused to open it, so Amazon was not asked. It is destroyed."),
        _("Bring the row again."),
    ),
    "import_over": Reason(
        _("Not finished within a day"),
        _("Tokens of a file are destroyed after 24 hours, whatever became of them."),
        _("Bring the file again."),
    ),
    "import_gave_up": Reason(
        _("We could not finish this row after several tries"),
        _("The work was interrupted again and again. The token is destroyed."),
        _("Bring the row again."),
    ),
}
# Wanted so, and no failure.
LEFT: dict[str, Words] = {
    "not_chosen": _("You did not choose it."),
    "discarded": _("The file was discarded."),
}


def problem_words(outcome: str) -> str:
    """Of all that is wrong with a row of a file; empty for another outcome."""
    return " ".join(str(PROBLEMS[key]) for key in outcome.split() if key in PROBLEMS)


def refusal_of(reason: str) -> str:
    """What a reason that stops a job means for a row of a file."""
    code = f"import_{reason}"
    return code if code in RESULTS else "import_unexpected_reply"
