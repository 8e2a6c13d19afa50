"""As many connections as an agency has: written through the ORM, in every state and of every age.

The usual ones came about through the front door; these only have to be many. The fake Amazon knows
their consents, so that a proof says what the row says; what a row was seeded to suffer from is not
proved before somebody asks for it.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import django

if __name__ == "__main__":
    # The models below need it.
    django.setup()

from django.db import transaction
from django.utils import timezone

from connections import credentials, revisions, verification
from connections.grouping_models import Client, Tag, Tagging
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.models import Membership, Organization
from tests.demo.seed import Amazon

BRANDS = (
    "Alder", "Birch", "Cobalt", "Dune", "Ember", "Fjord", "Granite", "Harvest", "Indigo", "Juno",
    "Kestrel", "Lumen", "Meadow", "Nimbus", "Orchard", "Pebble", "Quartz", "Ridge", "Saffron",
    "Timber", "Umbra", "Velvet", "Willow", "Yarrow", "Zephyr",
)  # fmt: skip
TRADES = ("Outdoors", "Kitchen", "Toys", "Beauty", "Garden", "Pets", "Sports", "Home", "Tea")
CLIENTS = (
    "Alpine Goods GmbH", "Baltic Trading", "Cascade Brands", "Delta & Sons", "Évora Casa",
    "Foxglove Ltd", "Great Lakes Supply", "Harbor House", "Iris Labs", "Jade Imports",
)  # fmt: skip
TAGS = ("Holiday season", "Key account", "Needs call", "New in 2026", "Vendor too", "Europe team")
# As `connections.refusals` leaves a consent.
REFUSED = {"last_error_code": "invalid_grant", "last_failure_code": "grant_doubted"}
# One in that many rows; the others are well, and some of those expire by their age.
TROUBLES: tuple[tuple[int, dict[str, Any]], ...] = (
    (23, {"status": Grant.Status.INVALID, "refusals": 3} | REFUSED),
    (29, {"status": Grant.Status.DISCONNECTED, "refresh_token": ""}),
    (31, {"status": Grant.Status.DOUBTED, "refusals": 1} | REFUSED),
    (37, {"throttled_since": True, "last_failure_code": "amazon_throttled"}),
    (41, {"permission_missing_since": True, "last_failure_code": "permission_missing"}),
    (43, {"last_success_at": timedelta(days=3)}),
)
WAITING_EACH = 47
CONSENTS_A_CALL = 500
PLACES_EACH = 4
LOGINS = 3


def seed_many(organization_id: UUID, rows: int, emulator_url: str) -> int:
    """Fill up to this many rows; returns how many were made. Raises DemoFailed."""
    organization = Organization.objects.get(pk=organization_id)
    present = Connection.objects.for_organization(organization).count()
    with transaction.atomic():
        Many(organization, Amazon(emulator_url)).make(present, rows)
        revisions.touch_all(organization_id)
    return max(0, rows - present)


class Many:
    """The same rows at every run: chance is a seeded one."""

    def __init__(self, organization: Organization, amazon: Amazon) -> None:
        self.organization = organization
        self.amazon = amazon
        self.chance = random.Random(2026)  # no secret
        self.now = timezone.now()
        self.later = self.now + timedelta(days=365)
        members = Membership.objects.for_organization(organization).exclude(role="viewer")
        self.people = [membership.user for membership in members.select_related("user")]

    def make(self, present: int, wanted: int) -> None:
        fresh = [self.row(number) for number in range(present, wanted)]
        if not fresh:
            return
        Connection.objects.for_organization(self.organization).bulk_create(fresh)
        self.consents([row for row in fresh if row.selling_partner_id])
        self.groups(fresh)

    def row(self, number: int) -> Connection:
        region = self.chance.choices(("NA", "EU", "FE"), (5, 4, 1))[0]
        brand, trade = BRANDS[number % 25], TRADES[number // 25 % 9]
        waits = number % WAITING_EACH == 0
        return Connection(
            organization=self.organization,
            name=f"{brand} {trade} {region} {number:03d}",
            region=region,
            marketplace_id=next(iter(places_of(region))),
            selling_partner_id=None
            if waits
            else f"A{number:05d}{self.chance.randrange(10**8):08d}",
            created_by=self.people[0],
            account_confirmed_at=None if waits else self.now,
            participations_read_at=None if waits else self.now,
            seller_proved_at=None if waits else self.now,
        )

    def consents(self, rows: list[Connection]) -> None:
        """Given on days all over the last year, some before it."""
        grants = [self.consent(number, row) for number, row in enumerate(rows, start=1)]
        troubles = [self.trouble(number) for number in range(1, len(rows) + 1)]
        known = [self.at_amazon(*pair) for pair in zip(grants, troubles, strict=True)]
        tokens: list[str] = []
        for start in range(0, len(known), CONSENTS_A_CALL):
            tokens += self.amazon.consent_of_many(known[start : start + CONSENTS_A_CALL])
        for grant, token, trouble in zip(grants, tokens, troubles, strict=True):
            self.keep(grant, token, trouble)
        SpApiGrant.objects.for_organization(self.organization).bulk_create(grants)
        accounts = [account for row in rows for account in self.stores(row)]
        MarketplaceAccount.objects.for_organization(self.organization).bulk_create(accounts)
        self.links(accounts)

    def consent(self, number: int, row: Connection) -> SpApiGrant:
        given = self.now - timedelta(days=self.chance.randrange(2, 372), hours=number % 24)
        person = self.chance.choices([*self.people, None], [6] * len(self.people) + [1])[0]
        grant = SpApiGrant(connection=row, authorized_at=given, authorized_by=person)
        grant.status, grant.status_changed_at = Grant.Status.ACTIVE, given
        row.created_at = given
        return grant

    def at_amazon(self, grant: SpApiGrant, trouble: dict[str, Any]) -> dict[str, Any]:
        """What Seller Central knows of it."""
        row = grant.connection
        return {
            "seller_id": row.selling_partner_id,
            "name": store_name(row),
            "marketplaces": places_of(row.region)[:PLACES_EACH],
            "region": row.region,
            "age_seconds": (self.now - grant.authorized_at).total_seconds(),
            "is_revoked": trouble.get("status") == Grant.Status.INVALID,
        }

    def keep(self, grant: SpApiGrant | AdsGrant, token: str, trouble: dict[str, Any]) -> None:
        """What a trouble says is not proved before somebody asks."""
        sealed = credentials.seal_refresh_token(grant, Secret(token), self.organization.data_key)
        due = self.later if trouble else verification.next_proof(self.now)
        well = {"last_success_at": self.now, "verified_at": self.now, "verify_due_at": due}
        for name, value in (sealed | well | trouble).items():
            setattr(grant, name, value)

    def trouble(self, number: int) -> dict[str, Any]:
        for each, columns in TROUBLES:
            if number % each == 0:
                facts = {name: self.moment(value) for name, value in columns.items()}
                return facts | {"last_failure_at": self.now, "status_changed_at": self.now}
        return {}

    def moment(self, value: Any) -> Any:
        """True: two hours ago; a timedelta: so long ago."""
        if value is True:
            return self.now - timedelta(hours=2)
        return self.now - value if isinstance(value, timedelta) else value

    def stores(self, row: Connection) -> list[MarketplaceAccount]:
        names = places_of(row.region)
        return [
            MarketplaceAccount(
                organization=self.organization,
                connection=row,
                marketplace_id=marketplace_id,
                name=MARKETPLACES[marketplace_id].name,
                store_name=store_name(row),
                country_code=MARKETPLACES[marketplace_id].country_code,
                currency=MARKETPLACES[marketplace_id].currency,
                language=MARKETPLACES[marketplace_id].language,
                domain_name=MARKETPLACES[marketplace_id].domain,
                is_participating=True,
                **self.onboarding(place),
            )
            for place, marketplace_id in enumerate(list(names)[:PLACES_EACH])
        ]

    def onboarding(self, place: int) -> dict[str, Any]:
        if place and self.chance.random() < 0.3:
            return {"onboarding": MarketplaceAccount.Onboarding.PENDING}
        done = self.now - timedelta(days=1)
        return {
            "onboarding": MarketplaceAccount.Onboarding.ONBOARDED,
            "onboarded_at": done,
            "onboarding_changed_at": done,
        }

    def links(self, accounts: list[MarketplaceAccount]) -> None:
        """Two of three rows run ads, through few logins, as at an agency."""
        logins = [self.login(number) for number in range(LOGINS)]
        pairs = [
            (account, self.profile(logins[account.connection_id.int % LOGINS], account))
            for account in accounts
            if account.connection_id.int % 3
        ]
        for grant in logins:
            self.let_in(grant, [profile for _, profile in pairs if profile.grant is grant])
        profiles = AdsProfile.objects.for_organization(self.organization)
        profiles.bulk_create([profile for _, profile in pairs])
        PpcLink.objects.for_organization(self.organization).bulk_create(
            [self.link(account, profile) for account, profile in pairs]
        )

    def login(self, number: int) -> AdsGrant:
        given = self.now - timedelta(days=20 + 30 * number)
        return AdsGrant(
            organization=self.organization,
            authorized_at=given,
            authorized_by=self.people[number % len(self.people)],
            status=Grant.Status.ACTIVE,
            status_changed_at=given,
        )

    def let_in(self, grant: AdsGrant, profiles: list[AdsProfile]) -> None:
        """The consent to these profiles, as the fake Amazon knows it too."""
        login = f"ads-{grant.pk.hex[:8]}@agency.example"
        token = self.amazon.consent_to_ads(login, [as_profile(each) for each in profiles])
        self.keep(grant, token, {})
        grant.save(force_insert=True)

    def profile(self, grant: AdsGrant, account: MarketplaceAccount) -> AdsProfile:
        known = MARKETPLACES[account.marketplace_id]
        return AdsProfile(
            organization=self.organization,
            grant=grant,
            profile_id=str(7_000_000_000_000_000_000 + account.pk.int % 10**15),
            account_type="seller",
            account_id=account.connection.selling_partner_id or "",
            account_name=account.store_name,
            marketplace_id=account.marketplace_id,
            country_code=known.ads_country_code,
            currency_code=known.currency,
            can_edit=True,
        )

    def link(self, account: MarketplaceAccount, profile: AdsProfile) -> PpcLink:
        moment = self.now - timedelta(days=1)
        return PpcLink(
            organization=self.organization,
            account=account,
            profile=profile,
            status=PpcLink.Status.LINKED,
            linked_at=moment,
            status_changed_at=moment,
        )

    def groups(self, rows: list[Connection]) -> None:
        clients = [self.named(Client, name) for name in CLIENTS]
        tags = [self.named(Tag, name) for name in TAGS]
        for row in rows:
            row.client = self.chance.choice([*clients, None])
        Connection.objects.for_organization(self.organization).bulk_update(rows, ["client"], 500)
        Tagging.objects.for_organization(self.organization).bulk_create(
            Tagging(organization=self.organization, connection=row, tag=tag)
            for row in rows
            for tag in self.chance.sample(tags, self.chance.randrange(3))
        )

    def named(self, model: Any, name: str) -> Any:
        groups = model.objects.for_organization(self.organization)
        return groups.filter(name=name).first() or groups.create(name=name)


def as_profile(profile: AdsProfile) -> dict[str, Any]:
    return {
        "marketplace": profile.marketplace_id,
        "profile_id": int(profile.profile_id),
        "account_id": profile.account_id,
        "account_name": profile.account_name,
    }


def store_name(row: Connection) -> str:
    return row.name.rsplit(" ", 2)[0]


def places_of(region: str) -> list[str]:
    return [key for key, known in MARKETPLACES.items() if known.region == Region(region)]


if __name__ == "__main__":
    print(seed_many(UUID(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
