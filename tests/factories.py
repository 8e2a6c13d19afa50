"""Rows for tests, made through the product's own services where a service makes them."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from connections import client_lists, groups, storing, token_imports
from connections import services as connection_services
from connections.client_table import checked_list
from connections.grouping_models import Client, Reach, Tag
from connections.import_models import ClientList, TokenImport
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.notice_models import Notice
from connections.token_table import checked_table
from marketplaces.models import MarketplaceAccount
from ppc import services as ppc_services
from ppc.models import AdsProfile, PpcLink
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.audit import COMMAND, Actor, record_events
from sellerlegend.organizations.invitations import invite
from sellerlegend.organizations.models import Invitation, Membership, Organization, Role, User
from sellerlegend.organizations.services import create_organization

PASSWORD = "Demo-only-2026"
US, CANADA, MEXICO, BRAZIL = (
    "ATVPDKIKX0DER",
    "A2EUQ1WTGCTBG2",
    "A1AM78C64UM0Y8",
    "A2Q3Y263D00KWC",
)
UK, GERMANY = "A1F83G8C2ARO7P", "A1PA6795UKMFR9"
JAPAN = "A1VC38T7YXB528"

_numbers = itertools.count(1)


# People and organizations ------------------------------------------------------------------


def make_user(email: str = "", *, password: str = PASSWORD, **fields: Any) -> User:
    """Somebody with a verified address, who belongs to no organization yet."""
    user = User.objects.create_user(
        email or f"person{next(_numbers)}@example.com", password, **fields
    )
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def make_organization(name: str = "", *, owner: User | None = None) -> Organization:
    return create_organization(
        name=name or f"Organization {next(_numbers)}", owner=owner or make_user()
    )


def make_member(
    organization: Organization, role: Role = Role.MEMBER, *, user: User | None = None
) -> User:
    """A person with this role in the organization."""
    person = user or make_user()
    Membership.objects.for_organization(organization).create(user=person, role=role)
    return person


def limit(person: User, organization: Organization, *rows: Connection) -> Membership:
    """From now on this member sees these rows alone."""
    memberships = Membership.objects.for_organization(organization)
    memberships.filter(user=person).update(is_limited=True)
    membership = memberships.get(user=person)
    Reach.objects.for_organization(organization).bulk_create(
        Reach(organization=organization, membership=membership, connection=row) for row in rows
    )
    return membership


def make_invitation(
    organization: Organization,
    email: str = "",
    role: Role = Role.MEMBER,
    *,
    by: User | None = None,
    is_limited: bool = False,
) -> tuple[Invitation, str]:
    """An open one, and the token of its link."""
    members = Membership.objects.for_organization(organization)
    return invite(
        by=members.get(user=by or owner_of(organization)),
        email=email or f"invited{next(_numbers)}@example.com",
        role=role,
        is_limited=is_limited,
    )


def owner_of(organization: Organization) -> User:
    owners = Membership.objects.for_organization(organization).filter(role=Role.OWNER)
    return owners.select_related("user").earliest("created_at").user


# Connections -------------------------------------------------------------------------------


def make_waiting_connection(
    organization: Organization,
    *,
    name: str = "",
    marketplace_id: str = US,
    owner: User | None = None,
    **columns: Any,
) -> Connection:
    """A row without consent yet."""
    return connection_services.create_connection(
        organization=organization,
        name=name or f"Store {next(_numbers)}",
        marketplace_id=marketplace_id,
        actor=Actor.person(owner or owner_of(organization)),
        **columns,
    )


def make_connection(
    organization: Organization,
    *,
    name: str = "",
    marketplace_id: str = US,
    seller: str = "",
    refresh_token: str = "",
    confirmed: bool = True,
) -> Connection:
    """A row whose Seller Central consent is stored and sealed.

    To call the fake Amazon with it, pass `refresh_token=amazon.world.authorize(seller, region)`.
    """
    number = next(_numbers)
    owner = owner_of(organization)
    connection = make_waiting_connection(
        organization, name=name, marketplace_id=marketplace_id, owner=owner
    )
    consent(
        connection,
        seller=seller or f"A{number:013d}",
        refresh_token=refresh_token or f"Atzr|made-up-{number}",
        owner=owner,
    )
    if confirmed:
        connection_services.confirm_account(connection=connection, actor=Actor.person(owner))
    connection.refresh_from_db()
    return connection


def consent(
    connection: Connection, *, seller: str = "", refresh_token: str, owner: User | None = None
) -> Connection:
    """A consent comes back from Seller Central: the first one, or a newer one."""
    with transaction.atomic():
        stored = storing.store_spapi_grant(
            connection=connection,
            seller=seller or connection.selling_partner_id or "",
            token=Secret(refresh_token),
            actor=Actor.person(owner or owner_of(connection.organization)),
            is_proved=True,
        )
    return stored.row


def grant_of(connection: Connection) -> SpApiGrant:
    """As it is stored now, for one reader alone: a new object at every call."""
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    grant: SpApiGrant = grants.get(connection=connection)
    return grant


def make_tag(organization: Organization, name: str = "", *rows: Connection) -> Tag:
    """A tag, on these rows."""
    tag = groups.create_tag(
        organization=organization, name=name or f"tag {next(_numbers)}", actor=COMMAND
    )
    ids = [row.pk for row in rows]
    groups.tag_rows(organization=organization, rows=ids, tag=tag, actor=COMMAND)
    return tag


def make_client(organization: Organization, name: str = "", *rows: Connection) -> Client:
    """A client, whose rows these are."""
    client = groups.create_client(
        organization=organization,
        actor=COMMAND,
        name=name or f"Client {next(_numbers)}",
        contact_name="",
        contact_email="",
    )
    ids = [row.pk for row in rows]
    groups.give_to_client(organization=organization, rows=ids, client=client, actor=COMMAND)
    return client


def make_notice(connection: Connection, **columns: Any) -> Notice:
    """Sixty days before the end of the row's consent, unless `columns` say otherwise."""
    grant, now = grant_of(connection), timezone.now()
    facts = {"kind": Notice.Kind.EXPIRING, "days": 60, "step": "60 days", "occurred_at": now}
    notice: Notice = Notice.objects.for_organization(connection.organization_id).create(
        subject_id=grant.pk,
        consent_at=grant.authorized_at,
        connection=connection,
        authorized_by=grant.authorized_by,
        **(facts | columns),
    )
    return notice


def make_check(*rows: Connection) -> UUID:
    """The batch of a *Check now* for these rows that is over."""
    batch = uuid4()
    record_events(
        "check_requested", actor=COMMAND, subjects=rows, batch=str(batch), sides=["spapi"]
    )
    return batch


def make_files(organization: Organization) -> tuple[TokenImport, ClientList]:
    """A file of one refresh token and a list of one client, looked at and not confirmed."""
    actor = Actor.person(owner_of(organization))
    number = next(_numbers)
    tokens = (
        "name,marketplace,seller id,refresh token\n"
        f"Brought {number},US,B{number:013d},Atzr|brought-{number}\n"
    )
    clients = f"client name,store name,marketplace\nClient {number},Listed {number},US\n"
    return (
        token_imports.keep(
            organization=organization,
            rows=checked_table(tokens.encode(), organization.pk),
            actor=actor,
        ),
        client_lists.keep(
            organization=organization,
            lines=checked_list(clients.encode(), organization.pk),
            actor=actor,
        ),
    )


# Marketplaces ------------------------------------------------------------------------------


def make_account(
    connection: Connection,
    marketplace_id: str = US,
    *,
    onboarding: str = MarketplaceAccount.Onboarding.PENDING,
    is_participating: bool = True,
    **columns: Any,
) -> MarketplaceAccount:
    """What the Sellers API would have told about one marketplace."""
    known = MARKETPLACES[marketplace_id]
    facts = {
        "name": known.name,
        "country_code": known.country_code,
        "currency": known.currency,
        "language": known.language,
        "domain_name": known.domain,
        "store_name": connection.name,
        "onboarded_at": _time_if(onboarding == MarketplaceAccount.Onboarding.ONBOARDED),
    }
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    account: MarketplaceAccount = accounts.create(
        connection=connection,
        marketplace_id=marketplace_id,
        onboarding=onboarding,
        is_participating=is_participating,
        **(facts | columns),
    )
    return account


# Amazon Ads --------------------------------------------------------------------------------


def make_ads_grant(
    organization: Organization,
    *,
    refresh_token: str = "",
    user: User | None = None,
    asked_for: Connection | None = None,
) -> AdsGrant:
    """To call the fake Amazon, pass `refresh_token=amazon.world.authorize_ads(login)`."""
    with transaction.atomic():
        return ppc_services.store_ads_grant(
            organization=organization,
            token=Secret(refresh_token or f"Atzr|made-up-ads-{next(_numbers)}"),
            user=user or owner_of(organization),
            asked_for=asked_for,
        )


def make_profile(
    grant: AdsGrant,
    *,
    seller: str,
    marketplace_id: str = US,
    account_type: str = "seller",
    can_edit: bool = True,
    **columns: Any,
) -> AdsProfile:
    known = MARKETPLACES[marketplace_id]
    profiles = AdsProfile.objects.for_organization(grant.organization_id)
    profile: AdsProfile = profiles.create(
        grant=grant,
        account_type=account_type,
        account_id=seller,
        marketplace_id=marketplace_id,
        can_edit=can_edit,
        **(
            {
                "profile_id": str(9_000_000_000_000_000_000 + next(_numbers)),
                "account_name": f"Store of {seller}",
                "country_code": known.ads_country_code,
                "currency_code": known.currency,
            }
            | columns
        ),
    )
    return profile


def make_link(
    account: MarketplaceAccount, profile: AdsProfile | None = None, **columns: Any
) -> PpcLink:
    """Linked when there is a profile, else pending; `status=` overrides."""
    status = PpcLink.Status.PENDING if profile is None else PpcLink.Status.LINKED
    links = PpcLink.objects.for_organization(account.organization_id)
    link: PpcLink = links.create(
        account=account,
        profile=profile,
        **({"status": status, "linked_at": _time_if(profile is not None)} | columns),
    )
    return link


def put_to_use(grant: AdsGrant, connection: Connection | None = None) -> PpcLink:
    """A row with a marketplace that this consent feeds."""
    row = connection or make_connection(grant.organization)
    profile = make_profile(grant, seller=row.selling_partner_id or "")
    return make_link(make_account(row), profile)


def unknown_id() -> UUID:
    """An id that no row has, to compare with a foreign one."""
    return UUID(int=next(_numbers))


def _time_if(condition: bool) -> datetime | None:
    return timezone.now() if condition else None
