"""Saved views: one person's, under a name."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from connections import saved_views
from connections.grouping_models import SavedView
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.page_titles import title

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def viewer(organization: Organization) -> User:
    return factories.make_member(organization, Role.VIEWER)


@pytest.fixture
def browser(viewer: User) -> Browser:
    return trips.sign_in(viewer)


def url(name: str) -> str:
    return reverse(name, args=["acme"])


def views(user: User) -> list[tuple[str, str]]:
    found = SavedView._base_manager.filter(user=user).order_by("pk")
    return list(found.values_list("name", "query"))


def one(organization: Organization, user: User, name: str = "Mine") -> SavedView:
    views = SavedView.objects.for_organization(organization)
    view: SavedView = views.create(user=user, name=name, query="region=NA")
    return view


def test_what_the_list_shows_is_saved_canonically_and_stands_above_it(
    organization: Organization, viewer: User, browser: Browser
) -> None:
    factories.make_connection(organization)
    query = "health=revoked&q=%20a%20&nonsense=1&sort=name&page=2&region=EU"
    page = browser.get(f"{url('view_save')}?{query}").content.decode()
    canonical = "q=a&amp;health=revoked&amp;region=EU"
    assert f'name="query" value="{canonical}"' in page

    answer = browser.post(url("view_save"), {"name": "Revoked in Europe", "query": query})

    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/connections/?q=a&health=revoked&region=EU")
    assert "The view Revoked in Europe is saved." in browser.get(url("account_connections")).text
    assert views(viewer) == [("Revoked in Europe", "q=a&health=revoked&region=EU")]
    strip = browser.get(url("connection_overview")).content.decode()
    assert f'href="{url("account_connections")}?{canonical}" >Revoked in Europe<' in strip
    events = AuditEvent.objects.for_organization(organization).filter(code="view_saved")
    assert [event.details for event in events] == [{"new": "Revoked in Europe"}]


def test_a_view_is_renamed_and_deleted(
    organization: Organization, viewer: User, browser: Browser
) -> None:
    view = one(organization, viewer)

    renamed = browser.post(f"{url('view_rename')}?view={view.pk}", {"name": "Other"})
    assert "The view has its new name." in browser.get(url("saved_views")).text
    assert views(viewer) == [("Other", "region=NA")]
    asked = browser.get(f"{url('view_delete')}?view={view.pk}")
    assert views(viewer) == [("Other", "region=NA")]
    deleted = browser.post(f"{url('view_delete')}?view={view.pk}")

    assert renamed.status_code == deleted.status_code == 303
    assert title(asked.text).startswith("Delete Other?")
    assert "The view Other was deleted." in browser.get(url("saved_views")).text
    assert views(viewer) == []


@pytest.mark.parametrize("route", ["view_rename", "view_delete"])
@pytest.mark.parametrize("whose", ["colleague", "foreign", "nobody", "text"])
def test_only_ones_own_views_are_there(
    organization: Organization,
    browser: Browser,
    amazon: RunningEmulator,
    route: str,
    whose: str,
) -> None:
    other = factories.make_organization()
    known = {
        "colleague": one(organization, factories.owner_of(organization)).pk,
        "foreign": one(other, factories.owner_of(other)).pk,
        "nobody": 999_999_999,
        "text": "x",
    }
    path = f"{url(route)}?view={known[whose]}"

    with nothing_changes(amazon, events=()):
        assert browser.get(path).status_code == 404
        assert browser.post(path, {"name": "Taken over"}).status_code == 404
    strip = browser.get(url("connection_overview")).content.decode()
    assert "Mine" not in strip


def test_a_person_of_two_organizations_has_views_in_each(
    organization: Organization, viewer: User, browser: Browser, amazon: RunningEmulator
) -> None:
    other = factories.make_organization("Other", owner=viewer)
    view = one(other, viewer)

    with nothing_changes(amazon, events=()):
        assert browser.post(f"{url('view_delete')}?view={view.pk}").status_code == 404


def test_a_name_once_and_fifty_at_most(
    organization: Organization,
    viewer: User,
    browser: Browser,
    amazon: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one(organization, viewer, "Mine")
    monkeypatch.setattr(saved_views, "MOST_VIEWS", 2)

    with nothing_changes(amazon, events=()):
        taken = browser.post(url("view_save"), {"name": "MINE", "query": ""})
    one(organization, viewer, "Second")
    with nothing_changes(amazon, events=()):
        full = browser.post(url("view_save"), {"name": "Third", "query": ""})

    assert taken.status_code == full.status_code == 422
    assert "You already have a view with this name." in taken.content.decode()


def test_what_a_view_keeps_is_what_the_list_reads() -> None:
    text = "q=a+b&show=attention&side=ppc&tag=2&tag=7&sort=-created"

    assert saved_views.canonical(text) == text
