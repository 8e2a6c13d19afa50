"""Calendar text by RFC 5545: as much of it as a list of days with an alarm needs. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

# §3.1: a line is at most 75 octets, without its line break.
OCTETS = 75
CRLF = "\r\n"


@dataclass(frozen=True)
class Event:
    """A whole day. `uid` names it for ever; `changed_at` moves when its content does.
    `alarm_days` is None where nothing is to be reminded of."""

    uid: str
    day: date
    summary: str
    description: str
    url: str
    changed_at: datetime
    alarm_days: int | None


def calendar(name: str, product: str, events: Iterable[Event]) -> str:
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{escaped(product)}",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{escaped(name)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT12H",
    ]
    for event in events:
        lines += _event_lines(event)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}{CRLF}" for line in lines for part in folded(line))


def _event_lines(event: Event) -> list[str]:
    return [
        "BEGIN:VEVENT",
        f"UID:{escaped(event.uid)}",
        f"DTSTAMP:{event.changed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{event.day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{event.day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{escaped(event.summary)}",
        f"DESCRIPTION:{escaped(event.description)}",
        f"URL:{one_line(event.url)}",
        # Somebody's free time is not taken by it.
        "TRANSP:TRANSPARENT",
        *_alarm_lines(event),
        "END:VEVENT",
    ]


def _alarm_lines(event: Event) -> list[str]:
    if event.alarm_days is None:
        return []
    return [
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{escaped(event.summary)}",
        f"TRIGGER:-P{event.alarm_days}D",
        "END:VALARM",
    ]


def escaped(text: str) -> str:
    """§3.3.11: a text value. Line breaks of every kind become \\n, and other control characters
    go: nothing that a name holds can begin a line of its own."""
    lines = text.replace("\r\n", "\n").splitlines()
    if text.endswith(("\n", "\r")):
        lines.append("")
    return "\\n".join(_escaped_line(line) for line in lines)


def _escaped_line(line: str) -> str:
    for character in ("\\", ";", ","):
        line = line.replace(character, f"\\{character}")
    return one_line(line)


def one_line(text: str) -> str:
    """Without control characters, and without halves of characters."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp"))


def folded(line: str) -> Iterator[str]:
    """§3.1: what follows the first 75 octets stands on lines that begin with a space. No
    character is cut in two."""
    part, size = "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > OCTETS:
            yield part
            part, size = " ", 1
        part += character
        size += octets
    yield part
