"""A newer Ads consent takes over from an older one only where nothing is lost by it."""

from __future__ import annotations

import pytest
from django.db import transaction

from connections.models import AdsGrant, Grant
from ppc import profiles
from ppc.models import PpcLink
from sellerlegend.amazon.ads import Profile
from sellerlegend.organizations.models import AuditEvent
from tests import factories

pytestmark = pytest.mark.django_db

SELLER = "A1NORTHSTAR001"


def listed(profile_id: str, access: str = "edit") -> Profile:
    return Profile(
        profile_id=profile_id,
        country_code="US",
        currency_code="USD",
        timezone="America/Los_Angeles",
        account_type="seller",
        account_id=SELLER,
        account_name="Northstar Outdoors",
        marketplace_id=factories.US,
        sub_type="",
        access=access,  # type: ignore[arg-type]  # edit or view
    )


def read(grant: AdsGrant, *found: Profile) -> None:
    with transaction.atomic():
        profiles.record_profiles(grant=grant, listing=profiles.Listing(list(found)))


@pytest.fixture
def older() -> AdsGrant:
    """A consent that sees two profiles, one of them linked."""
    organization = factories.make_organization()
    grant = factories.make_ads_grant(organization)
    read(grant, listed("1"), listed("2"))
    account = factories.make_account(factories.make_connection(organization, seller=SELLER))
    links = PpcLink.objects.for_organization(organization)
    links.create(
        account=account,
        profile=grant.profiles.get(profile_id="1"),
        status=PpcLink.Status.LINKED,
        linked_at=grant.authorized_at,
    )
    return grant


def link_of(grant: AdsGrant) -> PpcLink:
    links = PpcLink.objects.for_organization(grant.organization_id)
    link: PpcLink = links.select_related("profile").get()
    return link


def test_a_newer_consent_that_sees_everything_takes_over(older: AdsGrant) -> None:
    newer = factories.make_ads_grant(older.organization)

    read(newer, listed("1"), listed("2"), listed("3"))

    older.refresh_from_db()
    link = link_of(older)
    assert (older.status, older.refresh_token) == (Grant.Status.DISCONNECTED, "")
    assert link.status == PpcLink.Status.LINKED
    assert link.profile is not None
    assert link.profile.grant_id == newer.pk
    codes = AuditEvent.objects.for_organization(older.organization_id).values_list(
        "code", flat=True
    )
    assert list(codes).count("ads_grant_disconnected") == 1


@pytest.mark.parametrize(
    "seen",
    [(), (listed("9"),), (listed("1"),), (listed("1"), listed("2", access="view"))],
    ids=["nothing", "another login", "less", "less rights"],
)
def test_a_newer_consent_that_sees_less_leaves_the_older_one(
    older: AdsGrant, seen: tuple[Profile, ...]
) -> None:
    newer = factories.make_ads_grant(older.organization)

    read(newer, *seen)

    before = older.refresh_token
    older.refresh_from_db()
    link = link_of(older)
    assert (older.status, older.refresh_token) == (Grant.Status.ACTIVE, before)
    assert link.profile is not None
    assert link.profile.grant_id == older.pk


def test_an_older_consent_never_takes_over_from_a_newer_one(older: AdsGrant) -> None:
    newer = factories.make_ads_grant(older.organization)
    read(newer, listed("1"))

    read(older, listed("1"), listed("2"))

    newer.refresh_from_db()
    assert newer.status == Grant.Status.ACTIVE


def test_another_organization_is_never_touched(older: AdsGrant) -> None:
    elsewhere = factories.make_ads_grant(factories.make_organization())

    read(elsewhere, listed("1"), listed("2"))

    older.refresh_from_db()
    assert older.status == Grant.Status.ACTIVE


# A consent that is over ---------------------------------------------------------------------


def end(grant: AdsGrant, status: str = Grant.Status.INVALID) -> None:
    token = {"refresh_token": ""} if status == Grant.Status.DISCONNECTED else {}
    rows = AdsGrant.objects.for_organization(grant.organization_id).filter(pk=grant.pk)
    rows.update(status=status, **token)


@pytest.mark.parametrize("status", [Grant.Status.INVALID, Grant.Status.DISCONNECTED])
def test_a_renewal_that_sees_less_heals_what_it_sees(older: AdsGrant, status: str) -> None:
    other = factories.make_account(link_of(older).account.connection, factories.CANADA)
    lost = factories.make_link(other, older.profiles.get(profile_id="2"))
    end(older, status)
    newer = factories.make_ads_grant(older.organization)

    read(newer, listed("1"))

    links = PpcLink.objects.for_organization(older.organization_id)
    healed = links.exclude(pk=lost.pk).select_related("profile").get()
    assert healed.profile is not None
    assert (healed.status, healed.profile.grant_id) == (PpcLink.Status.LINKED, newer.pk)
    lost.refresh_from_db()
    assert (lost.status, lost.attention_reason, lost.profile_id) == (
        PpcLink.Status.NEEDS_ATTENTION,
        "ads_profile_lost",
        None,
    )
    older.refresh_from_db()
    assert (older.status, older.refresh_token) == (Grant.Status.DISCONNECTED, "")


def test_a_consent_of_another_login_takes_nothing_from_one_that_is_over(older: AdsGrant) -> None:
    end(older)
    newer = factories.make_ads_grant(older.organization)

    read(newer, listed("9", access="view"))

    older.refresh_from_db()
    link = link_of(older)
    assert older.status == Grant.Status.INVALID
    assert link.profile is not None
    assert (link.status, link.profile.grant_id) == (PpcLink.Status.LINKED, older.pk)
