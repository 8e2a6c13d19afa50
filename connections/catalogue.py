"""The public catalogue of errors: a stable code for each failure that a person can meet, with the
cause, who acts, and the next step.

The words stay in `reasons.py`, `amazon_codes.py` and here; this table gives each its number. A
number that was published once is never given to another failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from django.utils.translation import gettext_lazy as _

from connections import amazon_codes, reasons
from connections.health_reasons import HEALTH
from connections.import_words import RESULTS
from connections.reasons import Reason, Words


class Who(Enum):
    """Who does the next step."""

    YOU = _("You")
    CLIENT = _("The primary user of the selling account, for agencies: your client's")
    AMAZON = _("Amazon; you need not do anything")
    US = _("Our staff")

    @property
    def words(self) -> Words:
        return self.value


@dataclass(frozen=True)
class Entry:
    code: str
    who: Who
    words: Reason

    @property
    def anchor(self) -> str:
        return self.code


@dataclass(frozen=True)
class Section:
    title: Words
    entries: tuple[Entry, ...]


# Pages of ours that are neither a trip's end nor a row's state. The words are those of the page.
PAGES: dict[str, Reason] = {
    "bad_request": Reason(
        _("We could not read that request"),
        _("Something in it was not as we expect it."),
        _("Go back and try again."),
    ),
    "permission_denied": Reason(
        _("You may not do that here"),
        _("Your role in this organization does not include it."),
        _("Ask an admin or the owner of the organization."),
    ),
    "outside_of_reach": Reason(
        _("This concerns more than you see"),
        _(
            "You see only some connections of this organization, and what you asked for concerns "
            "others as well."
        ),
        _("Ask an admin or the owner of the organization to do it, or to let you see more."),
    ),
    "csrf_failure": Reason(
        _("This form is no longer valid"),
        _("The page was open for too long, or you signed in again in another tab."),
        _("Go back, reload the page, and send the form again."),
    ),
    "not_found": Reason(
        _("We could not find that page"),
        _(
            "It may have been moved or removed, or it belongs to an organization you are not a "
            "member of."
        ),
        _("Go to the start page, or sign in with the login that is a member there."),
    ),
    "wrong_method": Reason(
        _("This address cannot be used like that"),
        _("It belongs to a button or a form and was opened in another way."),
        _("Go back to the page the button is on."),
    ),
    "too_many": Reason(
        _("Too many attempts"),
        _("That was more often than we allow. Nothing was changed."),
        _("Wait as long as the page says, then try again."),
    ),
    "server_error": Reason(
        _("Something went wrong"),
        _("The fault is ours and has been recorded. What was saved before stays saved."),
        _("Try again in a moment. If it stays so, write to support with the reference code."),
    ),
    "unavailable": Reason(
        _("We are back in a moment"),
        _("We cannot reach our database right now. Your connections to Amazon are untouched."),
        _("Try again in half a minute."),
    ),
    "not_ended": Reason(
        _("Nothing was ended"),
        _("We could not write down that this ends, so we left everything as it was."),
        _("Try again in a few minutes. If it stays so, write to support."),
    ),
    "not_configured": Reason(
        _("We cannot send you to Amazon yet"),
        _("Our registration with Amazon is not complete. Your row is kept."),
        _("Resume the row when support says so."),
    ),
    "vault_closed": Reason(
        _("We do not send you to Amazon now"),
        _("A key of ours is missing, so we could not keep what Amazon gives us."),
        _("Start again later; your consents are not affected."),
    ),
    "appstore_refused": Reason(
        _("This link from Amazon cannot be used"),
        _("It is incomplete, or does not lead back to a page of Amazon's. Nothing was changed."),
        _("Start again in Seller Central under Manage Your Apps, or press Reconnect on the row."),
    ),
    "appstore_over": Reason(
        _("This step is over"),
        _("It stays open for ten minutes, in the browser in which it began."),
        _("Start again in Seller Central under Manage Your Apps, or press Reconnect on the row."),
    ),
    "client_link_over": Reason(
        _("This link does not work any more"),
        _("It was used, has expired, was taken back, or is not complete. Nothing was changed."),
        _("Ask whoever sent you the link for a new one."),
    ),
}

# 1xx trips to Amazon, 2xx Selling Partner, 3xx PPC, 4xx and 5xx pages (the HTTP status where it
# is one page's alone), 6xx imports, 9xx Amazon's own pages.
OUTCOME_NUMBERS: dict[str, tuple[int, Who]] = {
    "refused": (100, Who.YOU),
    "declined": (101, Who.YOU),
    "code_missing": (102, Who.YOU),
    "code_rejected": (103, Who.YOU),
    "amazon_unavailable": (104, Who.YOU),
    "client_misconfigured": (105, Who.US),
    "unexpected_reply": (106, Who.YOU),
    "wrong_account": (107, Who.YOU),
    "row_gone": (108, Who.YOU),
    "expired": (109, Who.YOU),
    "role_too_low": (110, Who.YOU),
    "interrupted": (111, Who.YOU),
    "quarantined": (112, Who.US),
    "vault_key_missing": (113, Who.US),
    "vault_refused": (114, Who.US),
    "in_progress": (115, Who.YOU),
    "disconnected_meanwhile": (116, Who.YOU),
    "row_removed": (117, Who.YOU),
    "link_over": (118, Who.YOU),
    "other_row": (119, Who.YOU),
    "renewal_unproved": (123, Who.YOU),
}
REASON_NUMBERS: dict[str, tuple[int, Who]] = {
    "unknown": (200, Who.YOU),
    "amazon_throttled": (201, Who.AMAZON),
    "amazon_unavailable": (202, Who.AMAZON),
    "grant_doubted": (203, Who.AMAZON),
    "client_misconfigured": (204, Who.US),
    "grant_missing": (205, Who.CLIENT),
    "disconnected": (206, Who.CLIENT),
    "grant_invalid": (207, Who.CLIENT),
    "reconnect_required": (208, Who.CLIENT),
    "permission_missing": (209, Who.CLIENT),
    "wrong_region": (210, Who.US),
    "not_participating": (211, Who.CLIENT),
    "not_listed": (212, Who.CLIENT),
    "unexpected_reply": (213, Who.YOU),
    "gave_up": (214, Who.YOU),
    "vault_locked": (215, Who.CLIENT),
    "quarantined": (216, Who.US),
    "vault_key_missing": (217, Who.US),
    "health_expiring": (220, Who.CLIENT),
    "health_expired": (221, Who.CLIENT),
    "health_doubted": (222, Who.AMAZON),
    "health_revoked": (223, Who.CLIENT),
    "health_permission_missing": (224, Who.CLIENT),
    "health_throttled": (225, Who.AMAZON),
    "health_stale": (226, Who.YOU),
    "health_incident": (227, Who.AMAZON),
    "health_waiting": (228, Who.CLIENT),
    "health_disconnected": (229, Who.CLIENT),
    "health_overdue": (230, Who.CLIENT),
    "health_unanswered": (231, Who.YOU),
    "health_expiring_unheard": (232, Who.CLIENT),
    "health_revoked_undated": (233, Who.CLIENT),
    "health_just_over": (234, Who.CLIENT),
    "ads_no_profile": (301, Who.CLIENT),
    "ads_nothing_listed": (302, Who.CLIENT),
    "ads_other_seller": (303, Who.CLIENT),
    "ads_vendor_only": (304, Who.CLIENT),
    "ads_agency_only": (305, Who.CLIENT),
    "ads_view_only": (306, Who.CLIENT),
    "ads_grant_invalid": (307, Who.CLIENT),
    "ads_reconnect_required": (308, Who.CLIENT),
    "ads_vault_locked": (309, Who.CLIENT),
    "ads_profile_lost": (310, Who.CLIENT),
    "health_ads_expiring": (320, Who.CLIENT),
    "health_ads_expired": (321, Who.CLIENT),
    "health_ads_doubted": (322, Who.AMAZON),
    "health_ads_revoked": (323, Who.CLIENT),
    "health_ads_permission_missing": (324, Who.CLIENT),
    "health_ads_throttled": (325, Who.AMAZON),
    "health_ads_stale": (326, Who.YOU),
    "health_ads_incident": (327, Who.AMAZON),
    "health_ads_overdue": (328, Who.CLIENT),
    "health_ads_unanswered": (329, Who.YOU),
    "health_ads_expiring_unheard": (330, Who.CLIENT),
    "health_ads_just_over": (331, Who.CLIENT),
}
PAGE_NUMBERS: dict[str, tuple[int, Who]] = {
    "bad_request": (400, Who.YOU),
    "permission_denied": (403, Who.YOU),
    "outside_of_reach": (423, Who.YOU),
    "csrf_failure": (419, Who.YOU),
    "not_found": (404, Who.YOU),
    "wrong_method": (405, Who.YOU),
    "too_many": (429, Who.YOU),
    "server_error": (500, Who.US),
    "unavailable": (503, Who.US),
    "not_ended": (507, Who.US),
    "not_configured": (511, Who.US),
    "vault_closed": (512, Who.US),
    "appstore_refused": (120, Who.YOU),
    "appstore_over": (121, Who.YOU),
    "client_link_over": (122, Who.YOU),
}
IMPORT_NUMBERS: dict[str, tuple[int, Who]] = {
    "import_token_refused": (601, Who.CLIENT),
    "import_seller_unproved": (602, Who.CLIENT),
    "import_kept_better": (603, Who.YOU),
    "import_connected_meanwhile": (604, Who.YOU),
    "import_disconnected_meanwhile": (605, Who.YOU),
    "import_name_taken": (606, Who.YOU),
    "import_without_a_person": (607, Who.YOU),
    "import_over": (608, Who.YOU),
    "import_gave_up": (609, Who.YOU),
    "import_wrong_region": (610, Who.YOU),
    "import_permission_missing": (611, Who.CLIENT),
    "import_unexpected_reply": (612, Who.YOU),
    "import_vault_locked": (613, Who.YOU),
    "import_row_removed": (614, Who.YOU),
}
AMAZON_WHO: dict[str, Who] = {
    "MD1000": Who.US,
    "MD5101": Who.US,
    "MD5110": Who.US,
    "MD9100": Who.US,
    "SPDC8143": Who.CLIENT,
    "SPSA0404": Who.YOU,
    "CONSENT_LIMIT_REACHED": Who.US,
    amazon_codes.NOT_PERMITTED: Who.CLIENT,
}

OUTCOMES: Mapping[str, Reason] = {"refused": reasons.REFUSED} | reasons.OUTCOMES
# A side that is connected is no failure.
UNHEALTHY = {code: words for code, words in HEALTH.items() if code != "health_connected"}
IMPORTS: Mapping[str, Reason] = RESULTS
REASONS: Mapping[str, Reason] = {"unknown": reasons.UNKNOWN} | reasons.REASONS | UNHEALTHY


def outcome_entry(outcome: str) -> Entry:
    """Of how a trip ended; everything that tells nothing is the same one."""
    known = outcome if outcome in OUTCOMES else "refused"
    return _entry(OUTCOME_NUMBERS[known], OUTCOMES[known])


def reason_entry(code: str) -> Entry:
    known = code if code in REASONS else "unknown"
    return _entry(REASON_NUMBERS[known], REASONS[known])


def import_entry(code: str) -> Entry:
    """Of a row of a file that was confirmed and not imported."""
    return _entry(IMPORT_NUMBERS[code], IMPORTS[code])


def page_entry(name: str) -> Entry:
    return _entry(PAGE_NUMBERS[name], PAGES[name])


def amazon_entry(code: str) -> Entry:
    return Entry(code, AMAZON_WHO[code], amazon_codes.CODES[code])


def _entry(number: tuple[int, Who], words: Reason) -> Entry:
    return Entry(f"SL-{number[0]}", number[1], words)


def sections() -> tuple[Section, ...]:
    """Everything, in the order of the numbers."""
    ours = [
        *map(outcome_entry, OUTCOMES),
        *map(reason_entry, REASONS),
        *map(page_entry, PAGES),
        *map(import_entry, IMPORTS),
    ]
    by_code = sorted(ours, key=lambda entry: entry.code)
    return (
        Section(_("While connecting"), tuple(_between(by_code, "SL-1", "SL-2"))),
        Section(_("On a row: Selling Partner"), tuple(_between(by_code, "SL-2", "SL-3"))),
        Section(_("On a row: PPC"), tuple(_between(by_code, "SL-3", "SL-4"))),
        Section(_("Pages"), tuple(_between(by_code, "SL-4", "SL-6"))),
        Section(_("While importing"), tuple(_between(by_code, "SL-6", "SL-7"))),
        Section(_("Amazon's own pages"), tuple(map(amazon_entry, amazon_codes.CODES))),
    )


def _between(entries: list[Entry], first: str, end: str) -> Iterator[Entry]:
    return (entry for entry in entries if first <= entry.code < end)


# The page of the docs ----------------------------------------------------------------------


INTRODUCTION = """\
Every failure that a person can meet, with its cause, who acts, and the next step. Generated from
the product's own words: `python manage.py error_catalogue --write`.

A page also shows a *reference code*. It leads our staff to the event in the record
(`/staff/reference`)."""


def markdown() -> str:
    """docs/errors.md, whole."""
    lines = [
        "# Errors",
        "",
        INTRODUCTION,
    ]
    for section in sections():
        lines += ["", f"## {section.title}"]
        for entry in section.entries:
            lines += [
                "",
                f'<a id="{entry.anchor}"></a>',
                "",
                f"### {entry.code}: {entry.words.title}",
                "",
                f"{entry.words.meaning}",
                "",
                f"- Who acts: {entry.who.words}",
                f"- Next step: {entry.words.next_step}",
            ]
    return "\n".join(lines) + "\n"
