"""What a notice says: reason, what it means for the data, and the one next step."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import client_reminders
from connections.ads_consents import FEEDS
from connections.attention import linked_to
from connections.client_link_models import ClientLink
from connections.client_link_words import tried_at
from connections.health import Health
from connections.health_words import (
    SIGNS,
    STOPPED_BY_US,
    counted_sign,
    new_consent_sign,
)
from connections.incident_summaries import summaries_of
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.notice_models import Notice
from connections.notice_texts import impact_of, next_step_of, title_of
from connections.reach import within_reach
from connections.role_news import role_impact, role_title, roles_lacked
from connections.words import Sign, exact_day, exact_time
from sellerlegend.folding import plain
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.models import Membership, Organization

Kind = Notice.Kind

# The worst first: how mails and the page are ordered.
ORDER = (
    Kind.REVOKED,
    Kind.EXPIRED,
    Kind.EXPIRING,
    Kind.CLIENT_SILENT,
    Kind.PERMISSION_MISSING,
    Kind.INCIDENT_OPENED,
    Kind.INCIDENT_CLOSED,
    Kind.RECOVERED,
)
NAMES_SHOWN = 3


@dataclass(frozen=True)
class NoticeWords:
    """One notice as people read it. `url` is a page of ours, never an action. `reaches_further`: it
    is also about rows that this reader does not see."""

    notice: Notice
    subject: str
    sign: Sign
    title: str
    impact: str
    next_step: str
    url: str
    button: str
    since: str
    # Those that it is about and the reader sees.
    rows: frozenset[UUID]
    reaches_further: bool = False
    # Whether its client was asked by link, and answers.
    asked: str = ""
    # Of an incident that is over: from when to when, and whom it met.
    summary: str = ""

    @property
    def explanation(self) -> str:
        """Much the same for all notices of a kind."""
        return f"{self.impact} {self.next_step}"

    @property
    def lost_since(self) -> str:
        """For mails, which have no column that says so."""
        if not self.notice.is_revocation:
            return ""
        return _("Since %(time)s nothing has been read with it.") % {"time": self.since}

    @property
    def button_tone(self) -> str:
        """What somebody has to do stands out, until somebody says that it is known."""
        is_asking = self.notice.needs_a_person and self.notice.acknowledged_at is None
        return "primary" if is_asking else "secondary"


def in_order(notices: Iterable[Notice]) -> list[Notice]:
    """The worst first, then those that end soonest."""
    return sorted(
        notices, key=lambda n: (ORDER.index(Kind(n.kind)), n.days or 0, n.occurred_at, n.pk)
    )


def words_of(
    organization: Organization, notices: Iterable[Notice], reader: Membership | None = None
) -> list[NoticeWords]:
    """In few queries, however many there are. Notices carry their connection and Ads consent."""
    ordered = in_order(notices)
    grants = {n.ads_grant_id for n in ordered if n.ads_grant_id}
    fed = rows_fed_by(organization, grants, reader)
    further = reaching_further(organization, grants, reader)
    incidents = Incident.objects.in_bulk(
        {n.subject_id for n in ordered if n.kind in (Kind.INCIDENT_OPENED, Kind.INCIDENT_CLOSED)}
    )
    roles, undated = roles_lacked(ordered), undated_rows(organization, ordered)
    found = [
        _words(
            organization,
            n,
            fed.get(n.ads_grant_id, []),
            incidents.get(n.subject_id),
            roles.get(n.pk, []),
            is_dated=n.connection_id not in undated,
        )
        for n in ordered
    ]
    over = {n.subject_id for n in ordered if n.kind == Kind.INCIDENT_CLOSED}
    summaries = summaries_of(
        organization, [incidents[key] for key in over if key in incidents], reader
    )
    asked = client_reminders.asked_of(organization.pk, ordered)
    links = silent_links(organization, ordered)
    return [
        replace(
            one,
            reaches_further=one.notice.ads_grant_id in further,
            asked=asked_words(asked.get(one.notice.pk)),
            title=silence_words(one, links.get(one.notice.subject_id)),
            summary=summaries.get(one.notice.subject_id, ""),
        )
        for one in found
    ]


def reaching_further(
    organization: Organization, grant_ids: set[UUID], reader: Membership | None
) -> set[UUID]:
    """The Ads consents that also feed rows outside of this reader's reach: what they ask is not
    this reader's to answer for others."""
    if reader is None or not reader.is_limited:
        return set()
    fed, every = rows_fed_by(organization, grant_ids, reader), rows_fed_by(organization, grant_ids)
    return {key for key in grant_ids if len(every.get(key, ())) > len(fed.get(key, ()))}


def silent_links(organization: Organization, notices: Iterable[Notice]) -> dict[UUID, ClientLink]:
    """What notices of silent clients are about. No query without one."""
    keys = [n.subject_id for n in notices if n.kind == Kind.CLIENT_SILENT]
    if not keys:
        return {}
    links = ClientLink.objects.for_organization(organization).filter(pk__in=keys)
    return {link.pk: link for link in links.select_related("connection__client")}


def undated_rows(organization: Organization, notices: Iterable[Notice]) -> set[UUID | None]:
    """Those with an imported consent of a day that nobody knows, where a notice speaks of the end
    of its year."""
    keys = {n.connection_id for n in notices if n.kind in (Kind.REVOKED, Kind.RECOVERED)}
    if not keys:
        return set()
    grants = SpApiGrant.objects.for_organization(organization).filter(is_consent_dated=False)
    return set(grants.filter(connection__in=keys).values_list("connection_id", flat=True))


def silence_words(words: NoticeWords, link: ClientLink | None) -> str:
    """Who was asked, and when; the title as it is for every other notice. Viewers read it too, so
    no address stands there."""
    if link is None:
        return words.title
    client = link.connection.client
    who = link.recipient_name or (client.name if client else "") or _("The client")
    values = {"who": who, "day": exact_day(link.created_at)}
    if link.status == ClientLink.Status.DECLINED:
        return _("%(who)s was asked by link on %(day)s and does not know who asks") % values
    tried = tried_at(link)
    if tried is not None:
        values["tried"] = exact_day(tried)
        return (
            _("%(who)s was asked by link on %(day)s, tried on %(tried)s and did not get through")
            % values
        )
    if words.notice.step != Notice.SILENCE_AGAIN:
        return _("%(who)s was asked by link on %(day)s and has not answered") % values
    return _("%(who)s was asked again by link on %(day)s and has not answered") % values


def asked_words(asked: client_reminders.Asked | None) -> str:
    """The client was asked by link; louder when that brought nothing."""
    if asked is None:
        return ""
    day = exact_day(asked.last)
    if asked.tried_at is not None:
        words = _(
            "The client was asked by link on %(day)s, tried on %(tried)s and did not get through. "
            "The list of links to clients says why."
        )
        return words % {"day": day, "tried": exact_day(asked.tried_at)}
    if not asked.is_unanswered:
        return _("The client was asked by link on %(day)s.") % {"day": day}
    words = ngettext(
        "The client was asked once by link, on %(day)s, and has not answered: call them.",
        "The client was asked %(times)d times by link, last on %(day)s, and has not answered: "
        "call them.",
        asked.times,
    )
    return words % {"times": asked.times, "day": day}


def rows_fed_by(
    organization: Organization, grant_ids: set[UUID], reader: Membership | None = None
) -> dict[UUID | None, list[tuple[UUID, str]]]:
    """The rows whose PPC an Ads consent feeds, by name; those that the reader sees."""
    every = Connection.objects.for_organization(organization).filter(linked_to(grant__in=grant_ids))
    rows = within_reach(every, reader)
    found: dict[UUID | None, list[tuple[UUID, str]]] = {}
    told = rows.order_by().values_list(FEEDS, "pk", "name").distinct()
    for grant_id, key, name in sorted(told, key=lambda row: plain(row[2])):
        found.setdefault(grant_id, []).append((key, name))
    return found


def _words(
    organization: Organization,
    notice: Notice,
    fed: list[tuple[UUID, str]],
    incident: Incident | None,
    roles: list[str],
    *,
    is_dated: bool,
) -> NoticeWords:
    url, button = where_to(organization, notice, fed)
    return NoticeWords(
        notice=notice,
        subject=subject_of(notice, fed, incident),
        sign=sign_of(notice),
        title=role_title(roles) if roles else title_of(notice),
        impact=role_impact(roles) if roles else impact_of(notice, incident, is_dated=is_dated),
        next_step=next_step_of(notice),
        url=url,
        button=button,
        since=exact_time(notice.occurred_at),
        rows=rows_of(notice, fed),
    )


def rows_of(notice: Notice, fed: list[tuple[UUID, str]]) -> frozenset[UUID]:
    if notice.connection_id is not None:
        return frozenset({notice.connection_id})
    return frozenset(key for key, _name in fed)


def subject_of(notice: Notice, fed: list[tuple[UUID, str]], incident: Incident | None) -> str:
    if notice.connection is not None:
        row = notice.connection
        return f"{row.name} ({row.selling_partner_id or '–'}, {row.region})"
    if notice.ads_grant is not None:
        return ads_words(notice.ads_grant, [name for _key, name in fed])
    if incident is not None:
        return f"{incident.get_surface_display()} {incident.region}".strip()
    return _("Amazon")


def ads_words(grant: AdsGrant, names: list[str]) -> str:
    day = exact_day(grant.authorized_at)
    if not names:
        return _("Amazon Ads consent of %(day)s") % {"day": day}
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    if more > 0:
        return ngettext(
            "Amazon Ads consent of %(day)s, for %(names)s and %(count)d more",
            "Amazon Ads consent of %(day)s, for %(names)s and %(count)d more",
            more,
        ) % {"day": day, "names": shown, "count": more}
    return _("Amazon Ads consent of %(day)s, for %(names)s") % {"day": day, "names": shown}


def word_of(kind: str, reasons: Collection[str] = ()) -> str:
    """What the row says, where it has the same state: nobody revoked what we stopped ourselves.
    `reasons`: of all the notices that it is the word for."""
    if kind == Kind.EXPIRED:
        return SIGNS[Health.EXPIRED]().word
    if kind == Kind.RECOVERED and Notice.RENEWED in reasons:
        return _("Renewed") if set(reasons) == {Notice.RENEWED} else _("Works again, or renewed")
    stopped = [reason in STOPPED_BY_US for reason in reasons if kind == Kind.REVOKED]
    if any(stopped):
        return new_consent_sign().word if all(stopped) else counted_sign(Health.REVOKED).word
    return str(Kind(kind).label)


def sign_of(notice: Notice) -> Sign:
    return sign_for(notice.kind, [notice.reason])


def sign_for(kind: str, reasons: Collection[str]) -> Sign:
    word = word_of(kind, reasons)
    if kind == Kind.REVOKED and word == new_consent_sign().word:
        return new_consent_sign()
    if kind in (Kind.REVOKED, Kind.EXPIRED):
        return Sign(word, "stop", "danger")
    if kind in (Kind.RECOVERED, Kind.INCIDENT_CLOSED):
        return Sign(word, "check-circle", "success")
    if kind == Kind.EXPIRING:
        return Sign(word, "clock", "warning")
    return Sign(word, "alert", "warning")


def where_to(
    organization: Organization, notice: Notice, fed: list[tuple[UUID, str]]
) -> tuple[str, str]:
    """The page of the next step, and what its button says."""
    slug = organization.slug
    if notice.kind == Kind.CLIENT_SILENT:
        return reverse("client_link_again", args=[slug, notice.subject_id]), _("Ask again")
    if not notice.needs_a_person:
        if notice.connection_id is not None:
            return reverse("connection_details", args=[slug, notice.connection_id]), _("Look")
        return reverse("account_connections", args=[slug]), _("Look")
    if notice.connection_id is not None:
        return reverse("connection_authorize", args=[slug, notice.connection_id]), _("Reconnect")
    if fed:
        return reverse("ppc_connect", args=[slug, fed[0][0]]), _("Reconnect")
    return reverse("account_connections", args=[slug]), _("Look")
