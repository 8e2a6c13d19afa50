"""What an organization's people read about client links, and what the client reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from uuid import UUID

from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections import amazon_codes, client_links
from connections.amazon_codes import NOT_PERMITTED
from connections.client_link_models import ClientLink
from connections.models import Connection
from connections.reasons import OUTCOMES, Reason, outcome_title, outcome_words
from connections.words import Sign, day_words, exact_day, exact_time

Status = ClientLink.Status
_lazy = gettext_lazy
Words = str | Promise

MAIL_REFUSED = "mail_refused"


# For the organization ----------------------------------------------------------------------


@dataclass(frozen=True)
class LinkLine:
    """One line of the list, every string ready."""

    link: ClientLink
    row: str
    purpose: str
    who: str
    made: str
    sign: Sign
    steps: tuple[str, ...]
    next_step: str
    is_live: bool
    may_ask_again: bool

    @property
    def which(self) -> str:
        """Of several links for one row."""
        return f"{self.row}, {self.who}, {self.made}"


def line_of(link: ClientLink) -> LinkLine:
    return lines_of([link])[0]


def lines_of(links: Iterable[ClientLink]) -> list[LinkLine]:
    """All of one organization."""
    shown = list(links)
    usable = client_links.usable(shown)
    return [_line_of(link, is_usable=link.pk in usable) for link in shown]


def _line_of(link: ClientLink, *, is_usable: bool) -> LinkLine:
    return LinkLine(
        link=link,
        row=f"{link.connection.name} ({link.connection.region})",
        purpose=str(link.get_purpose_display()),
        who=who_words(link),
        made=made_words(link),
        sign=sign_of(link),
        steps=steps_of(link),
        next_step=next_step_of(link),
        is_live=is_usable,
        may_ask_again=link.connection.removed_at is None and link.status != Status.CONSENTED,
    )


def who_words(link: ClientLink) -> str:
    return link.recipient_name or link.recipient_email or _("Without an address")


def made_words(link: ClientLink) -> str:
    if link.notice_id is not None:
        return _("Made by itself on %(day)s") % {"day": exact_day(link.created_at)}
    who = str(link.made_by) if link.made_by else _("a deleted login")
    return _("Made by %(who)s on %(day)s") % {"who": who, "day": exact_day(link.created_at)}


SIGNS: dict[str, tuple[Words, str, str]] = {
    Status.SENT: (_lazy("Sent"), "mail", "info"),
    Status.OPENED: (_lazy("Opened"), "search", "info"),
    Status.LEFT: (_lazy("Left for Amazon"), "external", "progress"),
    Status.FAILED: (_lazy("Did not work yet"), "alert", "warning"),
    Status.CONSENTED: (_lazy("Consent given"), "check-circle", "success"),
    Status.DECLINED: (_lazy("Declined"), "stop", "danger"),
    Status.EXPIRED: (_lazy("Expired"), "clock", "neutral"),
    Status.REVOKED: (_lazy("Ended"), "minus", "neutral"),
}


def state_choices() -> list[tuple[str, str]]:
    """For the filter, in the words that `sign_of` has for a link."""
    made = (Status.MADE.value, _("Being sent, or to hand over"))
    return [made, *((state, str(words)) for state, (words, _icon, _tone) in SIGNS.items())]


def to_hand_over() -> Sign:
    return Sign(_("To hand over"), "mail", "info")


def sign_of(link: ClientLink) -> Sign:
    if link.status == Status.MADE:
        return to_hand_over() if is_to_hand_over(link) else Sign(_("Being sent"), "mail", "info")
    if link.is_live and link.expires_at <= timezone.now():
        return Sign(_("Expired"), "clock", "neutral")
    words, icon, tone = SIGNS[link.status]
    return Sign(str(words), icon, tone)


def is_to_hand_over(link: ClientLink) -> bool:
    """Nobody mails it, and its client has not opened it: somebody has to bring it to them."""
    return link.status == Status.MADE and not link.recipient_email


def steps_of(link: ClientLink) -> tuple[str, ...]:
    """What happened, each with its time, in order."""
    steps = [
        (link.sent_at, _("Sent on %(time)s")),
        (link.opened_at, _("Opened on %(time)s, by the recipient or by a mail scanner")),
        (link.left_at, _("Left for Amazon on %(time)s")),
        (link.failed_at, _("Did not work on %(time)s: %(why)s")),
        (link.ended_at, _("Over since %(time)s")),
    ]
    told = sorted(((moment, words) for moment, words in steps if moment), key=itemgetter(0))
    why = failure_words(link)
    found = [words % {"time": exact_time(moment), "why": why} for moment, words in told]
    if link.is_live:
        day = day_words(link.last_day, translation.get_language())
        found.append(_("Works until %(day)s") % {"day": day})
    return tuple(found)


def tried_at(link: ClientLink) -> datetime | None:
    """When the client last came back from Amazon without a consent; None also once it is there."""
    is_about_the_mail = link.failure in ("", MAIL_REFUSED)
    is_settled = link.status == Status.CONSENTED or is_about_the_mail
    return None if is_settled else link.failed_at


def failure_words(link: ClientLink) -> str:
    """Why it last did not work, also when more happened since."""
    if link.failure == MAIL_REFUSED:
        return _("the mail server refused the address")
    return outcome_title(link.failure)


def next_step_of(link: ClientLink) -> str:
    if link.status == Status.FAILED and link.failure == MAIL_REFUSED:
        return _("The mail server refused the address. Check it and ask again.")
    if link.status == Status.FAILED:
        reason = OUTCOMES.get(link.failure)
        return _("For the client: %(step)s") % {"step": reason.next_step} if reason else ""
    if is_silent(link):
        words = _("No answer, told on %(day)s. Call them, or ask again.")
        return words % {"day": exact_day(link.silent_at)}
    if link.status == Status.DECLINED:
        return _("The recipient does not know this request. Call before you ask again.")
    return ""


def is_silent(link: ClientLink) -> bool:
    """Its client was told of as not answering, and has not answered since."""
    return link.silent_at is not None and (link.is_live or link.status == Status.EXPIRED)


def asked_words(connection: Connection) -> str:
    """ "Asked Maria on 3 March: opened", about the newest link of the row."""
    link = client_links.latest_of(connection)
    return asked_line(link) if link else ""


def asked_line(link: ClientLink) -> str:
    """For everybody who sees the row, so without an address. A link that nobody mails has asked
    nobody yet."""
    if is_to_hand_over(link):
        named = _("A link for %(who)s was made on %(day)s and waits to be handed over.")
        unnamed = _("A link for the client was made on %(day)s and waits to be handed over.")
    else:
        named = _("Asked %(who)s on %(day)s: %(state)s.")
        unnamed = _("Asked the client on %(day)s: %(state)s.")
    words = named if link.recipient_name else unnamed
    day, state = exact_day(link.created_at), sign_of(link).word
    told = words % {"who": link.recipient_name, "day": day, "state": state}
    return f"{told} " + _("No answer: call them, or ask again.") if is_silent(link) else told


def asked_lines(organization_id: UUID, connection_ids: list[UUID]) -> dict[UUID, str]:
    """The same of some rows whose client was asked and has not answered yet."""
    links = client_links.live_of_rows(organization_id, connection_ids)
    return {link.connection_id: asked_line(link) for link in links}


# For the client ----------------------------------------------------------------------------


def masked(seller: str) -> str:
    """Enough to know one's own Seller ID again, and not enough to learn one."""
    return f"{seller[:3]}…{seller[-3:]}" if len(seller) > 8 else "…"


def client_reason(outcome: str, organization: str, why_over: str = "") -> Reason:
    """How the trip ended, for somebody who has no page of ours to go to, and is told nothing of
    the organization's other rows. `why_over` says what ended the link meanwhile."""
    if outcome == "link_over" and why_over == Status.EXPIRED:
        return Reason(
            _("This link has expired"),
            _("Its last day was over before you came back from Amazon. Nothing was changed."),
            _("Ask %(organization)s for a new link.") % {"organization": organization},
        )
    reason = outcome_words("row_gone" if outcome == "row_removed" else outcome)
    ask = _("Ask %(organization)s what to do.") % {"organization": organization}
    steps: dict[str, str] = {
        "other_row": _(
            "Sign in with the store that you were asked for. If this is the one, ask "
            "%(organization)s."
        )
        % {"organization": organization},
        "row_gone": ask,
        "row_removed": ask,
        "link_over": ask,
        "vault_refused": ask,
        "disconnected_meanwhile": ask,
        "unexpected_reply": _(
            "Start again. If it happens twice, tell %(organization)s this reference code."
        )
        % {"organization": organization},
        "renewal_unproved": _(
            "Sign in to Seller Central as the primary user of this store and start again. If it "
            "happens twice, tell %(organization)s this reference code."
        )
        % {"organization": organization},
        "in_progress": _("Wait two minutes, then open the link again."),
    }
    return Reason(reason.title, reason.meaning, steps.get(outcome, reason.next_step))


def codes_for(organization: str) -> list[tuple[str, Words, str]]:
    """What Amazon's own page may say: code, title and next step, for somebody without a login."""
    tell = _("Tell %(organization)s the code. There is nothing to change in Seller Central.")
    primary = _("Forward this link to the primary user of the selling account.")
    steps: dict[str, Words] = {
        "SPDC8143": primary,
        "SPSA0404": _(
            "Switch to the seller account in Seller Central's account switcher, and open this link "
            "again."
        ),
        NOT_PERMITTED: _("Check which store is active in the account switcher.") + " " + primary,
    }
    known = amazon_codes.CODES.items()
    told = tell % {"organization": organization}
    return [(code, words.title, str(steps.get(code, told))) for code, words in known]


OVER: dict[str, tuple[Words, Words]] = {
    Status.CONSENTED: (
        _lazy("This is done"),
        _lazy("The consent was given with this link. There is nothing left for you to do."),
    ),
    Status.DECLINED: (
        _lazy("This request was declined"),
        _lazy("Somebody said with this link that the request is not known. Nothing was changed."),
    ),
    Status.EXPIRED: (
        _lazy("This link has expired"),
        _lazy("Nothing was changed. Ask %(organization)s for a new link."),
    ),
    Status.REVOKED: (
        _lazy("This link is over"),
        _lazy(
            "It was replaced by a newer one, or is not needed any more. Nothing was changed. If "
            "in doubt, ask %(organization)s."
        ),
    ),
    "row_gone": (
        _lazy("This link is over"),
        _lazy("The store it was for was removed. Nothing was changed."),
    ),
    "disconnected": (
        _lazy("This link is over"),
        _lazy("%(organization)s disconnected the store after the link was made."),
    ),
    "quarantined": (
        _lazy("We take no approval at the moment"),
        _lazy("Our staff check something first. The link stays: open it again later today."),
    ),
}
UNKNOWN: tuple[Words, Words] = (
    _lazy("This link does not work"),
    _lazy(
        "It is not complete, or it is over. Copy the whole address that you were sent, or ask "
        "for a new one. Nothing was changed."
    ),
)


def over_words(why: str, organization: str) -> tuple[str, str]:
    """Title and text of a link that opens nothing; without a name where we know of none."""
    title, text = OVER.get(why, UNKNOWN) if organization else UNKNOWN
    return str(title), str(text) % {"organization": organization}
