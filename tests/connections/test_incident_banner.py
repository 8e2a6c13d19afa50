"""One banner on every page, for those who use the part of Amazon that has an incident."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections import incident_banner
from connections.words import exact_time
from ppc import erasure
from ppc.disconnecting import Side, disconnect
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import Organization, User
from tests import factories, trips

pytestmark = pytest.mark.django_db
PROMISE = "Your consents are not affected"


def begin(surface: str, region: str = "", cause: str = "failing") -> Incident:
    found = incidents.open_one(surface=surface, region=region, cause=cause, actor=WORKER)
    assert found is not None
    return found


def words_of(organization: Organization) -> str:
    revision = Organization.objects.values_list("revision", flat=True).get(pk=organization.pk)
    return incident_banner.words_for(organization.pk, revision)


def shown(browser: Client, name: str, *args: object) -> str:
    answer = browser.get(reverse(name, args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_page_of_theirs_says_what_and_since_when(
    browser: Client, organization: Organization
) -> None:
    factories.make_connection(organization)
    pages = [("account_connections", organization.slug), ("profile",), ("security",)]
    assert all(PROMISE not in shown(browser, *page) for page in pages)

    begin("sellers", "NA")

    for page in pages:
        text = shown(browser, *page)
        assert text.count(PROMISE) == 1
        assert "Selling Partner API (North America)" in text


@pytest.mark.parametrize(
    ("surface", "region", "concerns"),
    [
        ("lwa", "", True),
        ("sellers", "NA", True),
        ("sellers", "EU", False),
        ("ads", "NA", False),
    ],
)
def test_it_concerns_those_who_use_that_part(
    organization: Organization, surface: str, region: str, concerns: bool
) -> None:
    factories.make_connection(organization)
    without_any = factories.make_organization()
    begin(surface, region)

    assert bool(words_of(organization)) is concerns
    assert words_of(without_any) == ""


def test_after_the_last_consent_nothing_is_said_of_consents(
    browser: Client, organization: Organization
) -> None:
    connection = factories.make_connection(organization)
    begin("lwa")
    assert PROMISE in shown(browser, "account_connections", organization.slug)

    actor = Actor.person(factories.owner_of(organization))
    disconnect(connection=connection, sides=frozenset({Side.SPAPI}), actor=actor)

    assert PROMISE not in shown(browser, "account_connections", organization.slug)


def test_after_the_end_of_an_organization_its_people_read_nothing_of_its_consents(
    organization: Organization,
) -> None:
    factories.make_connection(organization)
    owner = factories.owner_of(organization)
    browser = trips.sign_in(owner)
    begin("lwa")
    assert PROMISE in shown(browser, "account_connections", organization.slug)

    erasure.delete_organization(organization=organization, actor=Actor.person(owner))

    assert PROMISE not in shown(browser, "organization_new")


def test_an_ads_consent_is_concerned_in_every_region(organization: Organization) -> None:
    factories.make_ads_grant(organization)
    begin("ads", "FE")

    assert "Amazon Ads API (Far East)" in words_of(organization)


def test_several_are_one_banner_and_it_goes_with_the_last(
    browser: Client, organization: Organization
) -> None:
    factories.make_connection(organization)
    both = [begin("lwa"), begin("sellers", "NA")]
    hours_later = both[0].opened_at + timedelta(hours=3)
    Incident.objects.filter(pk=both[1].pk).update(opened_at=hours_later)

    text = shown(browser, "account_connections", organization.slug)
    assert text.count(PROMISE) == 1
    assert (
        f"Amazon has a problem: Login with Amazon since {exact_time(both[0].opened_at)} and "
        f"Selling Partner API (North America) since {exact_time(hours_later)}. Your"
    ) in text
    for incident in both:
        assert incidents.close(incident, actor=Actor.staff(factories.make_user()))

    assert PROMISE not in shown(browser, "account_connections", organization.slug)


def test_of_refusals_nobody_is_promised_that_no_consent_is_affected(
    organization: Organization,
) -> None:
    factories.make_connection(organization)
    begin("sellers", "NA")
    assert PROMISE in words_of(organization)

    begin("lwa", cause="refusing")

    said = words_of(organization)
    assert said.startswith("Amazon has a problem: Selling Partner API (North America) since ")
    assert " and Login with Amazon since " in said
    assert said.endswith(
        ". It refuses the consents of many at the moment. None ends by that alone: we go on "
        "asking, and tell you if one stays refused."
    )
    assert PROMISE not in said


def test_it_costs_nothing_while_nothing_is_wrong_and_little_otherwise(
    member: User, organization: Organization
) -> None:
    factories.make_connection(organization)
    organization.refresh_from_db()
    place = (organization.pk, organization.revision)
    assert incident_banner.words_for(*place) == ""
    with CaptureQueriesContext(database) as sent:
        incident_banner.words_for(*place)
    assert len(sent) == 0

    begin("lwa")
    with CaptureQueriesContext(database) as sent:
        for _ in range(10):
            incident_banner.words_for(*place)

    assert len(sent) == 3
