"""What an organization's people read about client links, and what the client reads."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections import client_links
from connections.client_link_models import ClientLink
from connections.models import Connection
from connections.reasons import OUTCOMES, Reason, outcome_words
from connections.words import Sign, exact_day, exact_time

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
    return LinkLine(
        link=link,
        row=f"{link.connection.name} ({link.connection.region})",
        purpose=str(link.get_purpose_display()),
        who=who_words(link),
        made=made_words(link),
        sign=sign_of(link),
        steps=steps_of(link),
        next_step=next_step_of(link),
        is_live=link.is_live and not client_links.why_over(link),
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
    told = [
        (link.sent_at, _("Sent on %(time)s")),
        (link.opened_at, _("Opened on %(time)s, by the recipient or by a mail scanner")),
        (link.left_at, _("Left for Amazon on %(time)s")),
        (link.failed_at, _("Did not work on %(time)s")),
        (link.ended_at, _("Over since %(time)s")),
    ]
    found = [words % {"time": exact_time(moment)} for moment, words in told if moment]
    if link.is_live:
        found.append(_("Expires on %(time)s") % {"time": exact_time(link.expires_at)})
    return tuple(found)


def next_step_of(link: ClientLink) -> str:
    if link.status == Status.FAILED and link.failure == MAIL_REFUSED:
        return _("The mail server refused the address. Check it and ask again.")
    if link.status == Status.FAILED:
        reason = OUTCOMES.get(link.failure)
        return f"{reason.title}. {reason.next_step}" if reason else ""
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
    """For everybody who sees the row, so without an address."""
    named = _("Asked %(who)s on %(day)s: %(state)s.")
    words = named if link.recipient_name else _("Asked the client on %(day)s: %(state)s.")
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


def client_reason(outcome: str, organization: str) -> Reason:
    """How the trip ended, for somebody who has no page of ours to go to, and is told nothing of
    the organization's other rows."""
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
        "in_progress": _("Wait two minutes, then open the link again."),
    }
    return Reason(reason.title, reason.meaning, steps.get(outcome, reason.next_step))


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
        "It is not complete, or it is over. Copy the whole address from the mail, or ask whoever "
        "sent it to you for a new one. Nothing was changed."
    ),
)


def over_words(why: str, organization: str) -> tuple[str, str]:
    """Title and text of a link that opens nothing; without a name where we know of none."""
    title, text = OVER.get(why, UNKNOWN) if organization else UNKNOWN
    return str(title), str(text) % {"organization": organization}
