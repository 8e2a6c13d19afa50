"""Ads consents, and the links of marketplace accounts to the profiles they see."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections import ads_consents, credentials, question, revisions, verdicts
from connections.models import AdsGrant, Connection, Grant
from marketplaces.models import Marketplace, MarketplaceAccount
from marketplaces.onboarding import chooser
from ppc.matching import Match, match_profile
from ppc.models import AdsProfile, PpcLink
from ppc.profiles import Listing, facts_of, listed_profiles, read_profiles, record_profiles
from sellerlegend.amazon import ads
from sellerlegend.amazon.errors import AmazonError, HeldBack
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import custody
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedQuerySet
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

LINK = "ppc.link"
Status = PpcLink.Status
# With the last call's 20 seconds still well within what a task may take.
LISTING_SECONDS = 60.0


# Consents ----------------------------------------------------------------------------------


def store_ads_grant(
    *,
    organization: Organization,
    token: Secret,
    user: User,
    asked_for: Connection | None = None,
) -> AdsGrant:
    """Write a proven Ads consent as a row of its own, in the caller's transaction. `asked_for`:
    the row whose trip brought it, which it belongs to where no profile says otherwise.

    The consent names no account: whether it renews an older one shows when its profiles are read.
    """
    grant = AdsGrant(
        organization=organization,
        status=Grant.Status.ACTIVE,
        authorized_at=timezone.now(),
        authorized_by=user,
        asked_for=asked_for,
    )
    # The caller's copy is as old as its trip, and the data key may have been replaced since.
    data_key = custody.data_key_under_lock(organization.pk)
    sealed = credentials.seal_refresh_token(grant, token, data_key)
    for name, value in sealed.items():
        setattr(grant, name, value)
    grant.save(force_insert=True)
    record_event(
        "ads_grant_stored",
        actor=Actor.person(user),
        subject=grant,
        fingerprint=grant.fingerprint,
    )
    jobs = Job.objects.for_organization(organization)
    ledger.start_over(jobs.filter(kind=LINK, status__in=Job.LIVE))
    return grant


def usable_grants(organization_id: UUID) -> list[AdsGrant]:
    """Newest first: the consent a person gave last is the one they expect to be used."""
    grants = AdsGrant.objects.for_organization(organization_id)
    live = [Grant.Status.ACTIVE, Grant.Status.DOUBTED]
    return list(grants.filter(status__in=live).order_by("-authorized_at"))


# Choosing ----------------------------------------------------------------------------------


def linkable(connection: Connection) -> ScopedQuerySet[MarketplaceAccount]:
    """Participating, supported marketplaces with Amazon Ads that are not linked or linking."""
    with_ads = Marketplace.objects.filter(is_supported=True, has_ads=True, region=connection.region)
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    return accounts.filter(
        connection=connection,
        is_participating=True,
        marketplace_id__in=with_ads.values("marketplace_id"),
    ).exclude(
        ppc_link__status__in=[Status.WORKING, Status.LINKED],
    )


def of_the_row(connection: Connection, account_ids: list[UUID]) -> list[UUID]:
    """Those of these ids that are marketplaces of this row: no id links another row's."""
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    own = accounts.filter(connection=connection, pk__in=account_ids)
    return list(own.order_by("pk").values_list("pk", flat=True))


def is_covered(connection: Connection, account_ids: Iterable[UUID]) -> bool:
    """Whether consents we already hold see a profile for every chosen marketplace."""
    listed = listed_profiles(connection.organization_id, usable_grants(connection.organization_id))
    chosen = linkable(connection).filter(pk__in=list(account_ids))
    return all(_match(account, connection, listed).profile is not None for account in chosen)


def can_renew(connection: Connection) -> bool:
    """Whether the row is fed by a consent that a person can give again, with nothing to choose."""
    links = PpcLink.objects.for_organization(connection.organization_id)
    return bool(links.filter(account__connection=connection, status=Status.LINKED).exists())


def proposals(connection: Connection) -> dict[str, AdsProfile]:
    """The profile we would use for each marketplace of the row, by marketplace id."""
    grants = usable_grants(connection.organization_id)
    found: dict[str, AdsProfile] = {}
    for profile in listed_profiles(connection.organization_id, grants):
        matched = match_profile(
            [profile],
            selling_partner_id=connection.selling_partner_id or "",
            marketplace_id=profile.marketplace_id,
        )
        if matched.profile is not None:
            found.setdefault(profile.marketplace_id, profile)
    return found


def begin_linking(
    *, connection: Connection, account_ids: Iterable[UUID], actor: Actor
) -> list[PpcLink]:
    """Start linking the chosen marketplaces: state, event and one job each, one transaction.

    Ids that are not linkable any more are left as they are. Returns what was started.
    """
    with transaction.atomic():
        revisions.touch(connection.organization_id, [connection.pk])
        chosen = linkable(connection).filter(pk__in=list(account_ids)).order_by("pk")
        links = [_start(account, actor) for account in chosen]
        ledger.enqueue_many(
            LINK,
            organization=connection.organization_id,
            subjects=[(link.pk, connection.pk) for link in links],
        )
        if links:
            question.answer(connection.organization_id, [connection.pk], actor=actor)
        return links


def link_chosen(*, grant: AdsGrant, account_ids: list[UUID], actor: Actor) -> int:
    """After a fresh consent: link what was chosen before the trip, in the caller's transaction.
    Returns how many links are being made."""
    accounts = MarketplaceAccount.objects.for_organization(grant.organization_id)
    by_connection = accounts.filter(pk__in=account_ids).select_related("connection")
    return sum(
        len(begin_linking(connection=connection, account_ids=account_ids, actor=actor))
        for connection in {account.connection for account in by_connection}
    )


def _start(account: MarketplaceAccount, actor: Actor) -> PpcLink:
    links = PpcLink.objects.for_organization(account.organization_id)
    link: PpcLink = links.filter(account=account).first() or links.create(account=account)
    advance(
        link,
        to=Status.WORKING,
        actor=actor,
        status_changed_at=timezone.now(),
        attention_reason="",
        **chooser(actor),
    )
    return link


def linking_job(link: PpcLink, connection_id: UUID) -> Job:
    """The live job of a link being worked on; a new one when it was lost."""
    return ledger.enqueue(
        LINK,
        organization=link.organization_id,
        subject_id=link.pk,
        connection_id=connection_id,
    )


def retry_linking(link: PpcLink, *, actor: Actor) -> bool:
    """Now instead of later, or again after it stopped. False when there is nothing to repeat, and
    where no Ads consent could say something new."""
    if link.status == Status.NEEDS_ATTENTION:
        if not usable_grants(link.organization_id):
            return False
        connection = link.account.connection
        return bool(
            begin_linking(connection=connection, account_ids=[link.account_id], actor=actor)
        )
    return link.status == Status.WORKING and ledger.hurry(linking_job(link, link.connection_id))


def unfinished(status: str) -> QuerySet[PpcLink]:
    """Links an operator can push: in this state, with work that is due or was lost."""
    return PpcLink.objects.filter(status=status).exclude(ledger.held_back(LINK))


def finalize(row: PpcLink, *, actor: Actor) -> Job | None:
    """Do the link's work in this process, through the ledger. None: nothing can be repeated."""
    if row.status == Status.NEEDS_ATTENTION and not retry_linking(row, actor=actor):
        return None
    job = ledger.run_here(linking_job(row, row.connection_id))
    row.refresh_from_db()
    return job


def linking_restarted(job: Job, actor: Actor) -> bool:
    links = PpcLink.objects.for_organization(job.organization_id)
    link = links.select_related("account__connection").filter(pk=job.subject_id).first()
    return link is not None and retry_linking(link, actor=actor)


# Linking -----------------------------------------------------------------------------------


def link(claim: Claim) -> None:
    """The job: make sure the consents' profiles are known, match by all three keys, link."""
    row = (
        PpcLink.objects.for_organization(claim.job.organization_id)
        .select_related("account__connection")
        .filter(pk=claim.job.subject_id)
        .first()
    )
    if row is None or row.status != Status.WORKING:
        with claim.finishing():
            return
    connection = row.account.connection
    readings, failures = _read_all(usable_grants(row.organization_id), _pace_of(claim))
    own = {grant.pk for grant in ads_consents.of_row(connection)} if failures else set()
    error = _to_tell(failures, own)
    if error is not None and not _found_anyway(row.account, connection, readings):
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing():
                _needs_attention(row, "ads_grant_invalid" if reason == "grant_invalid" else reason)
        return
    with claim.finishing():
        for grant, listing in readings:
            if listing is not None:
                record_profiles(grant=grant, listing=listing)
        _settle(row, _known(readings, failures, own))


Reading = tuple[AdsGrant, Listing | None]
Failure = tuple[AdsGrant, AmazonError]


def _pace_of(claim: Claim) -> Callable[[], None]:
    """To be called before each of many calls: the lease is renewed, and a listing that takes
    longer than a worker may is put off like any other that Amazon does not give."""
    end = time.monotonic() + LISTING_SECONDS

    def pace() -> None:
        if time.monotonic() > end:
            raise HeldBack(operation=ads.OPERATION)
        claim.keep()

    return pace


def _read_all(
    grants: list[AdsGrant], pace: Callable[[], None]
) -> tuple[list[Reading], list[Failure]]:
    """Every consent's profiles; one consent's trouble does not hide what another one sees."""
    readings: list[Reading] = []
    failures: list[Failure] = []
    for grant in grants:
        try:
            readings.append((grant, read_profiles(grant, before_each=pace)))
        except AmazonError as error:
            failures.append((grant, error))
    return readings, failures


def _to_tell(failures: list[Failure], own: set[UUID]) -> AmazonError | None:
    """What keeps the row from its answer: the trouble of its newest consent. A refusal of another
    row's is not this row's, but what could not be read for another cause may see its seller."""
    of_own = [error for grant, error in failures if grant.pk in own]
    passing = [error for _, error in failures if isinstance(error, verdicts.NOT_OF_THE_CONSENT)]
    return next(iter([*of_own, *passing]), None)


def _known(readings: list[Reading], failures: list[Failure], own: set[UUID]) -> list[AdsGrant]:
    """Newest first: what was read now, and of other rows' consents what was seen before."""
    read = [grant for grant, _ in readings]
    others = [grant for grant, _ in failures if grant.pk not in own and grant.profiles_read_at]
    return sorted([*read, *others], key=lambda grant: grant.authorized_at, reverse=True)


def _found_anyway(
    account: MarketplaceAccount, connection: Connection, readings: list[Reading]
) -> bool:
    fresh = [
        AdsProfile(**facts_of(item))
        for _, listing in readings
        if listing is not None
        for item in listing.profiles
    ]
    stored = listed_profiles(
        account.organization_id, [grant for grant, listing in readings if listing is None]
    )
    return any(
        match_profile(
            listed,
            selling_partner_id=connection.selling_partner_id or "",
            marketplace_id=account.marketplace_id,
        ).profile
        is not None
        for listed in (fresh, stored)
    )


def _settle(row: PpcLink, grants: list[AdsGrant]) -> None:
    connection = row.account.connection
    if not grants:
        _needs_attention(row, "ads_grant_invalid")
        return
    found = _match(row.account, connection, listed_profiles(row.organization_id, grants))
    if found.profile is None:
        # The words are about the login that was used last, not about all of them together.
        latest = listed_profiles(row.organization_id, grants[:1])
        _needs_attention(row, _match(row.account, connection, latest).reason)
        return
    now = timezone.now()
    advance(
        row,
        to=Status.LINKED,
        actor=WORKER,
        profile=found.profile,
        status_changed_at=now,
        linked_at=now,
        attention_reason="",
    )


def _match(
    account: MarketplaceAccount, connection: Connection, listed: list[AdsProfile]
) -> Match[AdsProfile]:
    return match_profile(
        listed,
        selling_partner_id=connection.selling_partner_id or "",
        marketplace_id=account.marketplace_id,
    )


def _needs_attention(row: PpcLink, reason: str) -> None:
    advance(
        row,
        to=Status.NEEDS_ATTENTION,
        actor=WORKER,
        reason=reason,
        status_changed_at=timezone.now(),
        attention_reason=reason,
    )


def linking_given_up(job: Job) -> None:
    row = (
        PpcLink.objects.for_organization(job.organization_id)
        .filter(pk=job.subject_id, status=Status.WORKING)
        .first()
    )
    if row is not None:
        _needs_attention(row, "gave_up")
