"""Ending consents: the tokens are destroyed at once, the row and its history stay.

It reaches over all three apps, so it stands in the topmost. An Ads consent may feed several rows;
ending it ends it for all of them, and the page says so before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from connections import ads_consents, question, revisions, services, superseding
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import PpcLink
from ppc.services import LINK, usable_grants
from sellerlegend.alphabet import Alphabetical
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.transitions import advance, advance_many

Onboarding = MarketplaceAccount.Onboarding
# A link that a consent feeds, or fed until something stopped it.
FED = (PpcLink.Status.LINKED, PpcLink.Status.NEEDS_ATTENTION)


class Side(StrEnum):
    SPAPI = "spapi"
    PPC = "ppc"


@dataclass(frozen=True)
class FedRow:
    """A row, and in how many of its marketplaces PPC ends."""

    name: str
    region: str
    marketplaces: int
    is_own: bool


@dataclass(frozen=True)
class Affected:
    """What a disconnect of one row would end. `fed_rows`: every row the Ads consents feed."""

    has_spapi: bool
    has_ppc: bool
    fed_rows: tuple[FedRow, ...]
    onboarded: int = 0
    under_way: int = 0

    @property
    def others(self) -> int:
        """Rows besides this one that lose PPC."""
        return sum(not row.is_own for row in self.fed_rows)


def affected(connection: Connection) -> Affected:
    grants = ads_consents.of_row(connection)
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    states = accounts.filter(connection=connection).values_list("onboarding", flat=True)
    counted = list(states)
    return Affected(
        has_spapi=_spapi_grant(connection) is not None,
        has_ppc=bool(grants),
        fed_rows=fed_rows(grants, connection),
        onboarded=counted.count(Onboarding.ONBOARDED),
        under_way=counted.count(Onboarding.WORKING),
    )


def fed_rows(grants: list[AdsGrant], own: Connection) -> tuple[FedRow, ...]:
    """Every row that these Ads consents feed, by name."""
    rows = Connection.objects.for_organization(own.organization_id)
    fed = rows.filter(
        marketplace_accounts__ppc_link__profile__grant__in=grants,
        marketplace_accounts__ppc_link__status__in=FED,
    )
    counted = fed.annotate(fed=Count("marketplace_accounts__ppc_link")).order_by(
        Alphabetical("name"), "region"
    )
    return tuple(
        FedRow(name, region, count, is_own=row_id == own.pk)
        for row_id, name, region, count in counted.values_list("pk", "name", "region", "fed")
    )


def rows_losing(grants: list[AdsGrant]) -> list[UUID]:
    """Those of the consents' rows whose PPC is over with them: not a row that they only see while
    another consent feeds it."""
    if not grants:
        return []
    links = PpcLink.objects.for_organization(grants[0].organization_id).filter(status__in=FED)
    of_these = links.filter(profile__grant__in=grants)
    of_others = links.exclude(profile__grant__in=grants).filter(
        profile__grant__in=ads_consents.living(grants[0].organization_id)
    )
    losing = set(of_these.values_list("account__connection", flat=True))
    served = set(of_others.values_list("account__connection", flat=True))
    rows = ads_consents.rows_of(grants)
    return [row_id for row_id in rows if row_id in losing or row_id not in served]


def disconnect(*, connection: Connection, sides: frozenset[Side], actor: Actor) -> frozenset[Side]:
    """Destroy the tokens of these sides in one transaction. Returns the sides that had one.

    Work is closed, and a running worker's late write refused; what was being onboarded or linked
    is pending again. A trip to Amazon that is under way ends. Nothing tells Amazon: there the
    seller disables our app.
    """
    ended: dict[Side, list[dict[str, Any]]] = {}
    with transaction.atomic():
        revisions.touch_all(connection.organization_id)
        grants = ads_consents.of_row(connection) if Side.PPC in sides else []
        fed = rows_losing(grants)
        if Side.SPAPI in sides and (destroyed := _disconnect_spapi(connection, actor)):
            ended[Side.SPAPI] = destroyed
        if Side.PPC in sides and (destroyed := _disconnect_ppc(connection, grants, actor)):
            ended[Side.PPC] = destroyed
        if ended:
            _end_trips(connection, ended, fed, actor)
            question.answer(connection.organization_id, [connection.pk], actor=actor)
            record_event(
                "connection_disconnected",
                actor=actor,
                subject=connection,
                sides=sorted(ended),
                destroyed=[consent for side in sorted(ended) for consent in ended[side]],
                fed=[str(row_id) for row_id in fed],
            )
    return frozenset(ended)


def _what(side: Side, grant: SpApiGrant | AdsGrant, fed: int) -> dict[str, Any]:
    """For the proof: which consent, and in how many marketplaces it was used. No name."""
    is_dated = isinstance(grant, AdsGrant) or grant.is_consent_dated
    return {
        "side": side,
        "fingerprint": grant.fingerprint,
        "given_at": grant.authorized_at.isoformat(timespec="seconds") if is_dated else "",
        "marketplaces": fed,
    }


def _spapi_grant(connection: Connection) -> SpApiGrant | None:
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    living = grants.exclude(status=Grant.Status.DISCONNECTED)
    grant: SpApiGrant | None = living.filter(connection=connection).first()
    return grant


def _disconnect_spapi(connection: Connection, actor: Actor) -> list[dict[str, Any]]:
    """What was destroyed; nothing when there was no consent."""
    grant = _spapi_grant(connection)
    if grant is None:
        return []
    ledger.cancel_live(
        organization_id=connection.organization_id,
        subject_ids=[job.subject_id for job in services.live_work(connection).exclude(kind=LINK)],
    )
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    mine = accounts.filter(connection=connection)
    destroyed = _what(Side.SPAPI, grant, mine.exclude(onboarding=Onboarding.PENDING).count())
    for account in mine.filter(onboarding=Onboarding.WORKING):
        now = timezone.now()
        advance(
            account,
            to=Onboarding.PENDING,
            actor=actor,
            reason="disconnected",
            onboarding_changed_at=now,
        )
    superseding.destroy(grant, actor=actor, reason="disconnected")
    rows = Connection.objects.for_organization(connection.organization_id)
    rows.filter(pk=connection.pk).update(
        mws_auth_token="",
        mws_auth_token_tail="",
        mws_auth_token_updated_at=None,
        reading_error="",
    )
    return [destroyed]


def own_ads_grants(connection: Connection, *, heeds_removed: bool = False) -> list[AdsGrant]:
    """Living Ads consents that no other row would end: without this one, nobody could. Other rows
    that were removed count only where they are heeded."""
    rows = Connection.with_removed if heeds_removed else Connection.objects
    others = rows.for_organization(connection.organization_id).exclude(pk=connection.pk)
    return [
        grant
        for grant in ads_consents.of_row(connection)
        if not others.filter(pk__in=ads_consents.rows_of([grant])).exists()
    ]


def end_ads_consents(connection: Connection, grants: list[AdsGrant], actor: Actor) -> None:
    """These alone, in the caller's transaction, with the same proof as a disconnect."""
    if not grants:
        return
    fed = rows_losing(grants)
    destroyed = _disconnect_ppc(connection, grants, actor)
    _end_trips(connection, [Side.PPC], fed, actor)
    record_event(
        "connection_disconnected",
        actor=actor,
        subject=connection,
        sides=[Side.PPC],
        destroyed=destroyed,
        fed=[str(row_id) for row_id in fed],
    )


def _disconnect_ppc(
    connection: Connection, grants: list[AdsGrant], actor: Actor
) -> list[dict[str, Any]]:
    """The same of these Ads consents."""
    destroyed = []
    for grant in grants:
        _stop_listing(grant)
        destroyed.append(_what(Side.PPC, grant, _linked_by(grant)))
        superseding.destroy(grant, actor=actor, reason="disconnected")
    links = PpcLink.objects.for_organization(connection.organization_id)
    mine = links.filter(account__connection=connection, status=PpcLink.Status.WORKING)
    if grants or not usable_grants(connection.organization_id):
        for link in mine.select_related("account"):
            ledger.cancel_live(organization_id=link.organization_id, subject_ids=[link.pk])
            _move(link, PpcLink.Status.PENDING, actor)
    fed = links.filter(
        profile__grant__in=grants,
        status__in=FED,
    )
    for link in fed.select_related("account"):
        _move(link, PpcLink.Status.UNLINKED, actor)
    # What other rows are linking at this moment must look again, without this consent.
    jobs = Job.objects.for_organization(connection.organization_id)
    ledger.start_over(jobs.filter(kind=LINK, status__in=Job.LIVE))
    return destroyed


def _linked_by(grant: AdsGrant) -> int:
    links = PpcLink.objects.for_organization(grant.organization_id)
    return links.filter(profile__grant=grant, status__in=FED).count()


def _stop_listing(grant: AdsGrant) -> None:
    ledger.cancel_live(organization_id=grant.organization_id, subject_ids=[grant.pk])


def end_links(connection: Connection, actor: Actor) -> None:
    """The row's own, in the caller's transaction: the consents may feed others and stay."""
    links = PpcLink.objects.for_organization(connection.organization_id)
    of_the_row = links.filter(account__connection=connection).select_related("account")
    for link in of_the_row.filter(status__in=[*FED, PpcLink.Status.WORKING]):
        is_under_way = link.status == PpcLink.Status.WORKING
        to = PpcLink.Status.PENDING if is_under_way else PpcLink.Status.UNLINKED
        _move(link, to, actor, reason="removed")


def _move(link: PpcLink, to: str, actor: Actor, reason: str = "disconnected") -> None:
    advance(
        link,
        to=to,
        actor=actor,
        reason=reason,
        status_changed_at=timezone.now(),
        attention_reason="",
    )


def _end_trips(
    connection: Connection, ended: Iterable[Side], fed: list[UUID], actor: Actor
) -> None:
    """Somebody else's trip from before must not connect again what was just ended. An Ads consent
    would be given again by a trip of any row that it fed."""
    kinds = AuthorizationRequest.Kind
    rows = {Side.SPAPI: (kinds.SPAPI, []), Side.PPC: (kinds.ADS, fed)}
    trips = AuthorizationRequest.objects.for_organization(connection.organization_id)
    for side in ended:
        kind, others = rows[side]
        end_open_trips(
            trips.filter(connection__in=[connection.pk, *others], kind=kind),
            actor=actor,
            reason="disconnected",
            outcome="disconnected_meanwhile",
        )


def end_open_trips(
    trips: QuerySet[AuthorizationRequest], *, actor: Actor, reason: str, outcome: str = "expired"
) -> None:
    """Waits for a callback that is just using one: what it leaves open ends as well. `outcome` is
    what its person reads who comes back from Amazon."""
    while advance_many(
        trips.order_by("pk"),
        seen=AuthorizationRequest.Status.OPEN,
        to=AuthorizationRequest.Status.EXPIRED,
        actor=actor,
        reason=reason,
        is_patient=True,
        outcome=outcome,
        code_verifier="",
    ):
        pass


def sides_from(values: list[str]) -> frozenset[Side]:
    """What a form said; unknown words are left out."""
    return frozenset(Side(value) for value in values if value in set(Side))


def drop_row(organization_id: UUID, connection_id: UUID) -> None:
    """The row and what hangs under it, in the caller's transaction."""
    links = PpcLink.objects.for_organization(organization_id)
    links.filter(account__connection_id=connection_id).delete()
    Connection.with_removed.for_organization(organization_id).filter(pk=connection_id).delete()
