"""The page of open notices: the same kind together, the worst first, known ones last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from statistics import mode
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from connections.notice_models import Notice
from connections.notice_words import (
    ORDER,
    NoticeWords,
    reaching_further,
    sign_for,
    word_of,
    words_of,
)
from connections.notices import open_notices
from connections.notification_choices import snoozed_until
from connections.words import Jump, Sign
from sellerlegend.organizations.models import Membership, Organization

NOTICES_A_PAGE = 50
RANKS = {kind.value: rank for rank, kind in enumerate(ORDER)}


@dataclass(frozen=True)
class Entry:
    """What is known of an open notice before its words are asked for."""

    key: UUID
    kind: str
    days: int | None
    known_at: datetime | None
    ads_grant: UUID | None
    reason: str

    @property
    def order(self) -> tuple[int, bool, int]:
        return RANKS[self.kind], self.known_at is not None, self.days or 0


@dataclass(frozen=True)
class Item:
    """`snoozed_until`: the reader does not want to hear of it before. `may_answer`: "I know" is the
    reader's to say, and nobody has said it."""

    words: NoticeWords
    snoozed_until: datetime | None

    @property
    def may_answer(self) -> bool:
        return self.words.notice.acknowledged_at is None and not self.words.reaches_further


@dataclass(frozen=True)
class NoticeGroup:
    """Those of one kind that stand on this page. `total` and `fresh` count every page: all that are
    open, and those that the reader can still say "I know" of. `explanation` is that of most
    of them, and said once."""

    kind: str
    sign: Sign
    explanation: str
    items: list[Item]
    total: int
    fresh: int


@dataclass(frozen=True)
class Outline:
    """Every open notice that the reader sees, in order."""

    entries: list[Entry]
    not_for_reader: set[UUID]

    def totals(self) -> Counter[str]:
        return Counter(entry.kind for entry in self.entries)

    def fresh(self) -> Counter[str]:
        return Counter(
            entry.kind
            for entry in self.entries
            if entry.known_at is None and entry.ads_grant not in self.not_for_reader
        )

    def reasons(self, kind: str) -> set[str]:
        return {entry.reason for entry in self.entries if entry.kind == kind}

    def page(self, asked: str | None) -> Page[UUID]:
        return Paginator([entry.key for entry in self.entries], NOTICES_A_PAGE).get_page(asked)

    def jumps(self) -> list[Jump]:
        """To each kind, on the page where it begins."""
        found, at = [], 0
        for kind, count in self.totals().items():
            url = f"?page={at // NOTICES_A_PAGE + 1}#{kind}"
            found.append(Jump(word_of(kind, self.reasons(kind)), count, url))
            at += count
        return found


def outline_of(organization: Organization, reader: Membership) -> Outline:
    rows = open_notices(organization, reader).values_list(
        "pk", "kind", "days", "acknowledged_at", "ads_grant", "reason"
    )
    entries = sorted((Entry(*row) for row in rows), key=lambda entry: entry.order)
    grants = {entry.ads_grant for entry in entries if entry.ads_grant is not None}
    return Outline(entries, reaching_further(organization, grants, reader))


def groups_of(
    organization: Organization, reader: Membership, outline: Outline, shown: QuerySet[Notice]
) -> Iterator[NoticeGroup]:
    """`shown`: those of one page."""
    totals, fresh = outline.totals(), outline.fresh()
    places = {entry.key: place for place, entry in enumerate(outline.entries)}
    snoozed = snoozed_until(organization, reader.user, shown)
    items = [
        Item(words, snoozed.get(words.notice.pk)) for words in words_of(organization, shown, reader)
    ]
    items.sort(key=lambda item: places[item.words.notice.pk])
    for kind, same in groupby(items, key=lambda item: str(item.words.notice.kind)):
        found = list(same)
        sign = sign_for(kind, outline.reasons(kind))
        explanation = mode(item.words.explanation for item in found)
        yield NoticeGroup(kind, sign, explanation, found, totals[kind], fresh[kind])


def answerable(
    organization: Organization, notices: list[Notice], reader: Membership
) -> list[Notice]:
    """Those that this reader may say "I know" of for all colleagues."""
    grants = {notice.ads_grant_id for notice in notices if notice.ads_grant_id is not None}
    further = reaching_further(organization, grants, reader)
    return [notice for notice in notices if notice.ads_grant_id not in further]
