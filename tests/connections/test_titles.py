"""The title of a page tells it apart from the other pages of the product, and its organization."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections import list_queries
from connections.grouping_models import Tag
from connections.models import Grant
from sellerlegend.organizations.models import Membership, Organization, Role
from tests import factories
from tests.page_titles import title
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db

END = " · Northstar Trading · SellerLegend"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return signed_in_freshly(factories.make_member(organization, Role.OWNER))


def title_of(browser: Client, organization: Organization, name: str, *key: object) -> str:
    return title(browser.get(reverse(name, args=[organization.slug, *key])).text)


def test_the_list_says_which_part_of_it_is_shown(
    browser: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_queries, "ROWS_PER_PAGE", 1)
    for name in ("Aspen", "Birch"):
        factories.make_connection(organization, name=name)
    tag = Tag.objects.for_organization(organization).create(name="Summer")
    url = reverse("account_connections", args=[organization.slug])
    shown = {
        query: title(browser.get(f"{url}{query}").text).removesuffix(END)
        for query in ("", "?page=2", "?q=asp&region=NA", f"?tag={tag.pk}")
    }

    assert shown == {
        "": "Account Connections",
        "?page=2": "Account Connections · Page 2",
        "?q=asp&region=NA": "Account Connections: “asp”, North America",
        f"?tag={tag.pk}": "Account Connections: Tag: Summer",
    }


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("connection_authorize", "Reconnect Aspen"),
        ("connection_rename", "Rename Aspen"),
        ("connection_groups", "Tags and client of Aspen"),
        ("client_link_new", "Ask the client of Aspen by link"),
        ("connection_disconnect", "Disconnect Aspen?"),
        ("connection_remove", "Remove Aspen?"),
    ],
)
def test_a_dialog_as_a_page_names_its_row(
    browser: Client, organization: Organization, route: str, expected: str
) -> None:
    row = factories.make_connection(organization, name="Aspen")

    assert title_of(browser, organization, route, row.pk) == expected + END


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("member_role", "Role of Bo"),
        ("member_remove", "Remove Bo?"),
        ("member_reach", "What Bo sees"),
    ],
)
def test_a_dialog_as_a_page_names_its_person(
    browser: Client, organization: Organization, route: str, expected: str
) -> None:
    user = factories.make_member(organization, Role.VIEWER)
    user.name = "Bo"
    user.save()
    member = Membership.objects.for_organization(organization).get(user=user)

    assert title_of(browser, organization, route, member.pk) == expected + END


def test_each_place_of_the_queue_has_its_own_title(
    browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization, name="Aspen")
    row.spapi_grant.status = Grant.Status.INVALID
    row.spapi_grant.save()
    [queue, add, finish] = [
        reverse(name, args=[organization.slug])
        for name in ("reconnect_queue", "reconnect_queue_add", "reconnect_queue_finish")
    ]
    pages = [browser.get(queue), browser.get(f"{add}?row={row.pk}")]
    pages.append(browser.post(add, {"row": row.pk}, follow=True))
    pages.append(browser.post(finish, follow=True))

    assert [title(page.text).removesuffix(END) for page in pages] == [
        "Reconnect queue: choose what to begin with",
        "Reconnect one after another",
        "Reconnect queue: Aspen",
        "Reconnect queue: the result",
    ]
    assert "The queue is over. What was left of it counts as skipped." in pages[-1].text


def test_the_links_to_clients_say_of_which_state(
    browser: Client, organization: Organization
) -> None:
    url = reverse("client_links", args=[organization.slug])

    assert title(browser.get(f"{url}?state=sent").text) == "Links to clients: Sent" + END


def test_the_borrowed_pages_speak_as_the_product_does(browser: Client) -> None:
    """Those of the sign-in, which come with a package."""
    bad = reverse("account_reset_password_from_key", kwargs={"uidb36": "x", "key": "bad"})
    german = {"Accept-Language": "de"}

    logout = browser.get(reverse("account_logout"))
    over = Client().get(bad, headers=german).text

    assert title(logout.text) == "Sign out · SellerLegend"
    assert "Do you want to sign out?" in logout.text
    assert "Dieser Link funktioniert nicht" in over
    assert "neuen Link</a> an." in over
