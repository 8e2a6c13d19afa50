"""The parts every cell of the screen is made of: signs, buttons, lines, times. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from django.urls import reverse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from connections.reader import Reader
from connections.reasons import Reason

Facts = dict[str, Any]


@dataclass(frozen=True)
class Sign:
    """A state: always a word, with an icon and a tone for the eye."""

    word: str
    icon: str
    tone: str


@dataclass(frozen=True)
class Jump:
    """To a part of a long page, with how many stand there. None: nothing to jump to."""

    label: str
    count: int
    url: str


@dataclass(frozen=True)
class Button:
    """`opens`: a GET page or dialog; `is_page`: never a dialog. Otherwise a POST through the
    page's one form."""

    label: str
    url: str
    opens: bool = True
    is_primary: bool = False
    is_dangerous: bool = False
    is_page: bool = False

    @property
    def tone(self) -> str:
        if self.is_primary:
            return "primary"
        return "danger-quiet" if self.is_dangerous else "secondary"

    @property
    def id(self) -> str:
        """Stable between renderings, so that focus can return to it."""
        return "go-" + "-".join(self.url.strip("/").split("/")[3:])

    def at(self, url: str) -> Button:
        return replace(self, url=url)


@dataclass(frozen=True)
class MarketplaceLine:
    """One marketplace in a cell. Done ones are bold, and say so in a word too."""

    name: str
    code: str
    is_done: bool
    sign: Sign
    note: str = ""


@dataclass(frozen=True)
class Cell:
    sign: Sign | None
    lines: tuple[MarketplaceLine, ...]
    progress: str
    button: Button | None
    note: str = ""
    is_moving: bool = False


@dataclass(frozen=True)
class Side:
    """The Selling Partner or PPC side of one marketplace, unfolded."""

    sign: Sign
    since: str
    note: str = ""
    problem: Reason | None = None
    button: Button | None = None
    # What can be done besides, also while all is well.
    action: Button | None = None


def exact_time(moment: datetime | None) -> str:
    return formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else ""


def exact_day(moment: datetime | None) -> str:
    return day_words(timezone.localdate(moment), translation.get_language()) if moment else ""


@lru_cache(maxsize=4096)
def day_words(day: date, _language: str | None) -> str:
    """Django reads the format anew for every date; a page shows few different days."""
    return formats.date_format(day, "DATE_FORMAT")


def clock_time(moment: datetime) -> str:
    return formats.time_format(timezone.localtime(moment), "TIME_FORMAT")


# Two ids that are nobody's: `reverse` runs once a route and organization, not once a button. Others
# in each process, so that no name can hold one.
HOLES = (uuid4(), uuid4())


@lru_cache(maxsize=4096)
def url_with_holes(name: str, slug: str, ids: int) -> str:
    return reverse(name, args=[slug, *HOLES[:ids]])


def url_of(name: str, reader: Reader, *ids: UUID) -> str:
    url = url_with_holes(name, reader.slug, len(ids))
    for hole, row_id in zip(HOLES, ids, strict=False):
        url = url.replace(str(hole), str(row_id))
    return url


def waiting_words(reason: str, due: datetime) -> str:
    if reason == "client_misconfigured":
        return _("Waiting for us, next try %(time)s") % {"time": clock_time(due)}
    return _("Waiting for Amazon, next try %(time)s") % {"time": clock_time(due)}


def progress_words(done: int, total: int) -> str:
    if not total or done == total:
        return ""
    return _("%(done)d of %(total)d") % {"done": done, "total": total}


def reconnect_button(fact: Facts, reader: Reader, *, primary: bool = False) -> Button | None:
    if not reader.may_act:
        return None
    label = _("Resume") if fact["selling_partner_id"] is None else _("Reconnect")
    return Button(label, url_of("connection_authorize", reader, fact["id"]), is_primary=primary)


def check_button(fact: Facts, reader: Reader, *, primary: bool = False) -> Button:
    """*Check now* asks Amazon about each side of the row that has a consent."""
    url = url_of("connection_check", reader, fact["id"])
    return Button(_("Check now"), url, opens=False, is_primary=primary)


def next_button(
    retry_url: str, problem: Reason | None, part: Facts, fact: Facts, reader: Reader
) -> Button | None:
    """The one button that goes with a reason's next step."""
    if problem is None or not reader.may_act:
        return None
    if problem.action == "reconnect":
        return reconnect_button(fact, reader)
    if problem.action == "connect_ads":
        return Button(_("Connect Amazon Ads"), url_of("ppc_connect", reader, fact["id"]))
    return Button(_("Retry"), url_of(retry_url, reader, fact["id"], part["id"]), opens=False)
