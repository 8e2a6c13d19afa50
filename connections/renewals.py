"""When consents have to be renewed: the calendar page and the private feed of it."""

from __future__ import annotations

import re
import secrets
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connections.feed_models import CalendarFeed
from connections.health_words import STOPPED_BY_US
from connections.ical import Event, calendar
from connections.models import AdsGrant, Grant, SpApiGrant
from connections.notice_words import rows_fed_by
from connections.reach import ads_grants_within, within_reach
from connections.token_cache import AnyGrant
from sellerlegend import crypto
from sellerlegend.folding import plain
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.limits import Limit
from sellerlegend.organizations.models import Membership, Organization, User
from sellerlegend.organizations.scoping import across_organizations

FEED = Limit("calendar_feed", burst=60, seconds=5)
MONTHS = 12
ALARM_DAYS = 14
TOKEN_BYTES = 32
TOKEN_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Renewal:
    """One consent and the day on which it ends. `refused_at`: it is of no use since then."""

    key: UUID
    name: str
    seller_id: str
    region: str
    is_ads: bool
    ends_at: datetime
    given_at: datetime
    refused_at: datetime | None
    # Not by Amazon, but by our staff or our vault.
    is_stopped_by_us: bool
    # When its row last said something else of it.
    turned_at: datetime
    url: str
    # The connections that it feeds, as far as the reader sees them.
    rows: frozenset[UUID]

    @property
    def day(self) -> date:
        return timezone.localdate(self.ends_at)

    @property
    def is_over(self) -> bool:
        return self.refused_at is not None or self.ends_at <= timezone.now()

    @property
    def has_its_day(self) -> bool:
        """As `narrowing.has_end`: whether it ends, or ended, on the day that Amazon names."""
        return self.refused_at is None or self.refused_at >= self.ends_at

    @property
    def over_at(self) -> datetime:
        """Of one that is over: since when."""
        return min(self.ends_at, self.refused_at or self.ends_at)

    @property
    def lost_on(self) -> date | None:
        """The day on which it was lost before its year was over."""
        if self.refused_at is None or self.has_its_day:
            return None
        return timezone.localdate(self.refused_at)

    @property
    def changed_at(self) -> datetime:
        """When its words last changed. It never goes back, or calendar programs would keep what
        they have: also a lost consent that works again, and a day that came, move it on."""
        passed = [self.ends_at] if self.ends_at <= timezone.now() else []
        return max(self.given_at, self.turned_at, *passed)

    @property
    def side(self) -> str:
        return _("Amazon Ads") if self.is_ads else _("Selling Partner")


@dataclass(frozen=True)
class Month:
    """All that ends in it, as the list's filter by month shows it: in the running one also what
    is over."""

    starts_on: date
    renewals: tuple[Renewal, ...]

    @property
    def key(self) -> str:
        return f"{self.starts_on:%Y-%m}"


def renewals_of(organization: Organization, reader: Membership | None = None) -> list[Renewal]:
    """Every consent that has an end, by that day; those that the reader sees. Rows that a person
    disconnected have none, nor have Ads consents that feed no row: nobody has to renew them."""
    found = [*_of_seller_central(organization, reader), *_of_ads(organization, reader)]
    return sorted(found, key=lambda renewal: (renewal.ends_at, plain(renewal.name), renewal.key))


def _of_seller_central(organization: Organization, reader: Membership | None) -> Iterable[Renewal]:
    grants = within_reach(SpApiGrant.objects.for_organization(organization), reader, "connection")
    living = grants.exclude(status=Grant.Status.DISCONNECTED).select_related("connection")
    for grant in living.filter(is_consent_dated=True, connection__removed_at=None):
        row = grant.connection
        url = reverse("connection_details", args=[organization.slug, row.pk])
        seller_id, fed = row.selling_partner_id or "", frozenset({row.pk})
        yield _renewal(grant, row.name, url, fed, seller_id=seller_id, region=row.region)


def count_without_a_day(organization: Organization, reader: Membership | None) -> int:
    """Imported consents that nobody knows the day of: they stand in no calendar."""
    grants = within_reach(SpApiGrant.objects.for_organization(organization), reader, "connection")
    living = grants.filter(status__in=[Grant.Status.ACTIVE, Grant.Status.DOUBTED])
    return int(living.filter(is_consent_dated=False, connection__removed_at=None).count())


def _of_ads(organization: Organization, reader: Membership | None) -> Iterable[Renewal]:
    grants = ads_grants_within(AdsGrant.objects.for_organization(organization), reader)
    living = list(grants.exclude(status=Grant.Status.DISCONNECTED))
    fed = rows_fed_by(organization, {grant.pk for grant in living}, reader)
    for grant in living:
        rows = fed.get(grant.pk)
        if not rows or grant.reauthorize_by is None:
            continue
        names = ", ".join(name for _key, name in rows)
        url = reverse("connection_details", args=[organization.slug, rows[0][0]])
        yield _renewal(grant, names, url, frozenset(key for key, _name in rows))


def _renewal(
    grant: AnyGrant,
    name: str,
    url: str,
    rows: frozenset[UUID],
    *,
    seller_id: str = "",
    region: str = "",
) -> Renewal:
    ends_at = grant.reauthorize_by
    assert ends_at is not None  # noqa: S101  # the callers look
    return Renewal(
        key=grant.pk,
        name=name,
        seller_id=seller_id,
        region=region,
        is_ads=isinstance(grant, AdsGrant),
        ends_at=ends_at,
        given_at=grant.authorized_at,
        refused_at=grant.status_changed_at if grant.status == Grant.Status.INVALID else None,
        is_stopped_by_us=grant.last_error_code in STOPPED_BY_US,
        turned_at=grant.status_changed_at,
        url=url,
        rows=rows,
    )


def months_ahead(renewals: list[Renewal]) -> list[Month]:
    """The running month and the eleven after it; the last days of the twelfth belong to it too,
    since a consent of today ends in the same month of next year."""
    first = timezone.localdate().replace(day=1)
    starts = [month_after(first, count) for count in range(MONTHS + 1)]
    return [
        Month(
            start,
            tuple(r for r in renewals if r.has_its_day and r.day.replace(day=1) == start),
        )
        for start in starts
    ]


def month_after(first: date, count: int) -> date:
    years, month = divmod(first.month - 1 + count, 12)
    return date(first.year + years, month + 1, 1)


# The private feed ---------------------------------------------------------------------------


def feed_of(organization: Organization, user: User) -> CalendarFeed | None:
    feeds = CalendarFeed.objects.for_organization(organization)
    found: CalendarFeed | None = feeds.filter(user=user).first()
    return found


def make_feed(*, organization: Organization, user: User, actor: Actor) -> str:
    """A new link; the one before it ends. Returns its address, which is nowhere else."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        feeds = CalendarFeed.objects.for_organization(organization)
        feeds.update_or_create(
            organization=organization,
            user=user,
            defaults={"token_hash": crypto.digest(token), "made_at": timezone.now()},
        )
        record_event("calendar_feed_made", actor=actor, organization=organization)
    return f"{settings.PUBLIC_BASE_URL}{reverse('calendar_feed', args=[token])}"


def end_feed(*, organization: Organization, user: User, actor: Actor) -> bool:
    with transaction.atomic():
        feeds = CalendarFeed.objects.for_organization(organization)
        count, _by_table = feeds.filter(user=user).delete()
        if count:
            record_event("calendar_feed_ended", actor=actor, organization=organization)
    return bool(count)


def feed_by(token: str) -> CalendarFeed | None:
    """The link's feed, if its person is still a member. None for every other case alike."""
    if not TOKEN_SHAPE.fullmatch(token):
        return None
    with across_organizations("a private calendar link names its organization"):
        feeds = CalendarFeed.objects.select_related("organization", "user").filter(
            Q(user__is_active=True, organization__deleted_at=None), token_hash=crypto.digest(token)
        )
        feed: CalendarFeed | None = feeds.first()
    if feed is None:
        return None
    return feed if reader_of(feed) is not None else None


def reader_of(feed: CalendarFeed) -> Membership | None:
    members = Membership.objects.for_organization(feed.organization)
    member: Membership | None = members.filter(user=feed.user).first()
    return member


def language_of(feed: CalendarFeed) -> str:
    """The person's, whatever a calendar program asks for."""
    return feed.user.language or settings.LANGUAGE_CODE


def feed_text(feed: CalendarFeed) -> str:
    """In the person's language and time zone. Names, Seller IDs and days; nothing secret. The
    same text while nothing has changed. Nothing at all for somebody who has just left."""
    reader = reader_of(feed)
    zone = zoneinfo.ZoneInfo(feed.user.time_zone)
    with translation.override(language_of(feed)), timezone.override(zone):
        found = renewals_of(feed.organization, reader) if reader is not None else []
        name = _("%(site)s renewals: %(organization)s") % {
            "site": settings.SITE_NAME,
            "organization": feed.organization,
        }
        product = f"-//{settings.SITE_NAME}//Renewals//EN"
        return calendar(name, product, map(_event, found))


def _event(renewal: Renewal) -> Event:
    """The day of the renewal. Of a consent that was lost before it: the day of the loss, with
    nothing to remind of beforehand."""
    facts = [renewal.side, renewal.seller_id, renewal.region, renewal.name]
    summary, words = _words_of(renewal)
    return Event(
        uid=f"renewal-{renewal.key}@{urlsplit(settings.PUBLIC_BASE_URL).hostname}",
        day=renewal.lost_on or renewal.day,
        summary=summary % {"name": renewal.name},
        description="\n".join([" · ".join(fact for fact in facts if fact), words]),
        url=f"{settings.PUBLIC_BASE_URL}{renewal.url}",
        changed_at=renewal.changed_at,
        alarm_days=None if renewal.is_over else ALARM_DAYS,
    )


def _words_of(renewal: Renewal) -> tuple[str, str]:
    """The line of the event, and what it says below it."""
    if not renewal.is_over:
        summary = _("Renew the Amazon consent of %(name)s")
        return summary, _("Amazon ends it on this day. Reconnect before; it takes a minute.")
    if renewal.lost_on is None:
        summary = _("Renewal overdue: the Amazon consent of %(name)s")
        return summary, _(
            "Its year is over since this day, and Amazon may refuse it at any moment or does so "
            "already. Reconnect now; it takes a minute."
        )
    if renewal.is_stopped_by_us:
        summary = _("Reconnect now: %(name)s needs a new Amazon consent")
        return summary, _("It is not used any more since this day. Reconnect; it takes a minute.")
    summary = _("Reconnect now: the Amazon consent of %(name)s is lost")
    return summary, _("It does not work any more since this day. Reconnect now; it takes a minute.")
