"""What Amazon's own pages say when they stop somebody: they lead back to nobody, so we explain.

https://developer-docs.amazon.com/sp-api/docs/authorization-errors
"""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy as _

from connections.reasons import Reason

# Of a code that somebody types, as much as can be one.
LONGEST = 60
NOT_PERMITTED = "NOT_PERMITTED"

# Who acts stands in `catalogue.NUMBERS`.
CODES: dict[str, Reason] = {
    "MD1000": Reason(
        _("Amazon does not open this application's consent page"),
        _(
            "The address of the page and the state of our application do not fit: one of them "
            "is a draft, the other is not. It is not your account."
        ),
        _("Write to our support with the code. There is nothing to change in Seller Central."),
    ),
    "MD5101": Reason(
        _("Amazon does not know the address it should send you back to"),
        _("Our return address is not registered with Amazon letter for letter."),
        _("Write to our support with the code. There is nothing to change in Seller Central."),
    ),
    "MD5110": Reason(
        _("Amazon does not accept the address it should send you back to"),
        _("Our return address has a # in it, which Amazon forbids."),
        _("Write to our support with the code. There is nothing to change in Seller Central."),
    ),
    "MD9100": Reason(
        _("Our application has no address at Amazon to come back to"),
        _("It is registered without a login and a return address, or as a private application."),
        _("Write to our support with the code. There is nothing to change in Seller Central."),
    ),
    "SPDC8143": Reason(
        _("Only the primary user may give this consent"),
        _("You are signed in to Seller Central as a secondary user of the account."),
        _(
            "Ask the primary user of the selling account to do this step: invite them here, or "
            "let them press Re-Authorize in Manage Your Apps themselves."
        ),
    ),
    "SPSA0404": Reason(
        _("Our application does not support this kind of account"),
        _("You are signed in to a vendor account, and our application is for sellers."),
        _("Switch to the seller account in Seller Central's account switcher and start again."),
    ),
    "CONSENT_LIMIT_REACHED": Reason(
        _("Our application has no place left at Amazon"),
        _(
            "An application that is not listed in the Appstore may be authorized by 25 sellers. "
            "Only sellers who disable it in Seller Central free a place."
        ),
        _("Write to our support with the code. Accounts that are connected can still be renewed."),
    ),
    NOT_PERMITTED: Reason(
        _("You do not have permissions to view this page"),
        _(
            "Your user has no right to approve apps in this account, or another account is "
            "active in Seller Central's account switcher."
        ),
        _("Check which store is active, and ask the primary user of the account to do this step."),
    ),
}

# What people see instead of a code.
WORDS = {
    "you do not have permission": NOT_PERMITTED,
    "not permitted": NOT_PERMITTED,
    "no permission": NOT_PERMITTED,
}


def code_in(text: str) -> str:
    """The code that somebody means: as typed, within a sentence, with other spaces; else ""."""
    said = " ".join(text[:LONGEST].lower().split())
    letters = re.sub(r"[^A-Z0-9]", "", said.upper())
    for code in CODES:
        if code.replace("_", "") in letters:
            return code
    return next((code for words, code in WORDS.items() if words in said), "")
