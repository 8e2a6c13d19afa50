"""An agency of 300 connections for one test module, and what its database knows of them."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.product import Product
from tests.browser.screen import new_name, new_organization
from tests.demo.environment import demo_environment
from tests.demo.seed import child

ROWS = 300
OWNER, ADMIN, LEAVER = "owner@example.com", "admin@example.com", "member@example.com"
JOIN = """
INSERT INTO organizations_membership
    (id, organization_id, user_id, role, is_limited, has_sleeping_limit, created_at)
SELECT ?, ?, id, ?, 0, 0, datetime('now') FROM organizations_user WHERE email = ?
"""


ROWS_OF = "FROM connections_connection WHERE organization_id = :organization"
CONSENTS = """FROM connections_connection
LEFT JOIN connections_spapigrant ON connection_id = connections_connection.id
WHERE connections_connection.organization_id = :organization"""
PERSON = "SELECT id FROM organizations_user WHERE email = :value"


@dataclass(frozen=True)
class Agency:
    """Its database is asked in SQL: Django's ORM is closed while a browser is open."""

    product: Product
    id: str
    slug: str

    @property
    def path(self) -> str:
        return f"/o/{self.slug}/"

    @property
    def list_path(self) -> str:
        return f"{self.path}connections/"

    def ask(self, question: str, value: str = "") -> list[Any]:
        """The first column of what is found."""
        with closing(database_of(self.product)) as database:
            named = {"organization": self.id, "value": value}
            return [found[0] for found in database.execute(question, named)]

    def rows(self) -> int:
        """300 and what other tests have brought meanwhile: they come in any order."""
        return int(self.ask(f"SELECT count(*) {ROWS_OF} AND removed_at IS NULL")[0])

    def sellers(self) -> list[str]:
        return self.ask(
            f"SELECT selling_partner_id {ROWS_OF} AND selling_partner_id IS NOT NULL"
            " ORDER BY lower(name)"
        )

    def names_backwards(self, region: str) -> list[str]:
        return self.ask(
            f"SELECT name {ROWS_OF} AND region = :value ORDER BY lower(name) DESC", region
        )

    def rows_called(self, beginning: str) -> list[str]:
        """Their ids."""
        found = self.ask(f"SELECT id {ROWS_OF} AND name LIKE :value || '%'", beginning)
        return [str(uuid.UUID(one)) for one in found]

    def tag(self, name: str) -> int:
        question = "SELECT id FROM connections_tag WHERE organization_id = :organization"
        return int(self.ask(f"{question} AND name = :value", name)[0])

    def tagged(self, name: str) -> int:
        question = "SELECT count(*) FROM connections_tagging WHERE tag_id = :value"
        return int(self.ask(question, str(self.tag(name)))[0])

    def pending_marketplaces(self, beginning: str) -> int:
        question = f"""SELECT count(*) FROM marketplaces_marketplaceaccount
            WHERE onboarding != 'onboarded'
            AND connection_id IN (SELECT id {ROWS_OF} AND name LIKE :value || '%')"""
        return int(self.ask(question, beginning)[0])

    def without_consent(self, beginning: str) -> int:
        """Rows that still wait for their first one, or that somebody disconnected."""
        question = f"""SELECT count(*) {CONSENTS} AND name LIKE :value || '%'
            AND (selling_partner_id IS NULL OR status = 'disconnected')"""
        return int(self.ask(question, beginning)[0])

    def store_of_client(self, name: str) -> tuple[str, str, str]:
        """A name, Seller ID and region."""
        question = f"""SELECT name || '|' || selling_partner_id || '|' || region {ROWS_OF}
            AND selling_partner_id IS NOT NULL AND client_id IN (SELECT id
            FROM connections_client WHERE organization_id = :organization AND name = :value)"""
        store, seller, region = self.ask(question, name)[0].split("|")
        return store, seller, region

    def consents_of(self, email: str) -> int:
        question = f"""SELECT count(*) {CONSENTS} AND status != 'disconnected'
            AND authorized_by_id = ({PERSON})"""
        return int(self.ask(question, email)[0])

    def person(self, email: str) -> str:
        return str(uuid.UUID(self.ask(PERSON, email)[0]))

    def member(self, email: str) -> str:
        """The id of the membership; "" when there is none."""
        question = f"""SELECT id FROM organizations_membership
            WHERE organization_id = :organization AND user_id = ({PERSON})"""
        found = self.ask(question, email)
        return str(uuid.UUID(found[0])) if found else ""


def database_of(product: Product) -> sqlite3.Connection:
    assert product.var_dir is not None
    return sqlite3.connect(product.var_dir / "database.sqlite3", timeout=30)


def new_agency(page: Page, product: Product) -> Agency:
    """An owner, an admin and a member, who gave the consents of 300 rows."""
    new_organization(page, new_name("Agency"))
    slug = urlsplit(page.url).path.split("/")[2]
    with closing(database_of(product)) as database:
        query = "SELECT id FROM organizations_organization WHERE slug = ?"
        (organization_id,) = database.execute(query, [slug]).fetchone()
        for email, role in ((ADMIN, "admin"), (LEAVER, "member")):
            database.execute(JOIN, [uuid.uuid4().hex, organization_id, role, email])
        database.commit()
    seed(product, organization_id)
    return Agency(product, organization_id, slug)


def seed(product: Product, organization_id: str) -> None:
    """As `make run ROWS=300` does, in a process with the product's environment."""
    port, amazon_port = urlsplit(product.url).port, urlsplit(product.amazon_url).port
    assert port is not None
    assert amazon_port is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DATABASE_URL", ""), ("REDIS_URL", "")):
            patch.setenv(name, value)
        patch.setenv("VAR_DIR", str(product.var_dir))
        for name, value in demo_environment(port=port, amazon_port=amazon_port).items():
            patch.setenv(name, value)
        child("tests.demo.seed_many", organization_id, str(ROWS), product.amazon_url)
