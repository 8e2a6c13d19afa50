from __future__ import annotations

import pytest
from django.test import Client

from connections.models import Connection
from sellerlegend.organizations.models import Organization, User
from tests import factories, trips


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def member(organization: Organization) -> User:
    return factories.make_member(organization)


@pytest.fixture
def browser(member: User) -> Client:
    """Where the member is signed in."""
    return trips.sign_in(member)


@pytest.fixture
def waiting(organization: Organization) -> Connection:
    """A row without consent."""
    return factories.make_waiting_connection(organization, name="New store")
