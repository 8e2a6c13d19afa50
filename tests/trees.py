"""One row of everything that an address can name, and the ids to fill an address with: of these
rows, and of none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from connections.grouping_models import Client as AgencyClient
from connections.grouping_models import Tag
from connections.import_models import ClientList, TokenImport
from connections.models import AuthorizationRequest, Connection
from connections.notice_models import Notice
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.models import Invitation, Membership, Organization, Role
from tests import client_trips, trips
from tests.factories import (
    make_account,
    make_check,
    make_client,
    make_connection,
    make_files,
    make_invitation,
    make_member,
    make_notice,
    make_organization,
    make_tag,
    owner_of,
)


@dataclass(frozen=True)
class Tree:
    """An organization with a row, a marketplace below it and a trip to Amazon."""

    organization: Organization
    connection: Connection
    account: MarketplaceAccount
    notice: Notice
    token_import: TokenImport
    client_list: ClientList
    member: Membership
    invitation: Invitation
    tag: Tag
    client: AgencyClient
    link: client_trips.Asked
    batch: UUID
    reference: str
    passkey: Authenticator


def make_tree(name: str) -> Tree:
    organization = make_organization(name)
    connection = make_connection(organization)
    owner = owner_of(organization)
    trips.leave(trips.sign_in(owner), connection)
    passkey = Authenticator.objects.create(
        user=owner,
        type=Authenticator.Type.WEBAUTHN,
        data={"name": "Key", "credential": credential()},
    )
    trip = AuthorizationRequest._base_manager.get(organization=organization)
    account, notice = make_account(connection), make_notice(connection)
    files = make_files(organization)
    member = make_member(organization, Role.VIEWER).memberships.get()
    invitation, _token = make_invitation(organization)
    tag, client = make_tag(organization), make_client(organization)
    link = client_trips.ask(connection)
    return Tree(
        organization,
        connection,
        account,
        notice,
        *files,
        member,
        invitation,
        tag,
        client,
        link,
        make_check(connection),
        trip.reference,
        passkey,
    )


def credential() -> dict[str, Any]:
    """What a browser tells of a new passkey. Nobody has its private half."""
    key_id = uuid4().bytes
    private = ec.generate_private_key(ec.SECP256R1())
    public = ES256.from_cryptography_key(private.public_key())  # type: ignore[no-untyped-call]
    known = AttestedCredentialData.create(Aaguid(bytes(16)), key_id, public)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    told = AttestationObject.create(
        "none", AuthenticatorData.create(bytes(32), flags, 0, known), {}
    )
    asked = CollectedClientData.create("webauthn.create", b"challenge", "https://testserver")
    return {
        "id": websafe_encode(key_id),
        "rawId": websafe_encode(key_id),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": websafe_encode(asked),
            "attestationObject": websafe_encode(told),
        },
    }


def ids_of(tree: Tree) -> dict[str, Any]:
    return {
        "slug": tree.organization.slug,
        "connection_id": tree.connection.pk,
        "account_id": tree.account.pk,
        "notice_id": tree.notice.pk,
        "import_id": tree.token_import.pk,
        "list_id": tree.client_list.pk,
        "member_id": tree.member.pk,
        "person_id": owner_of(tree.organization).pk,
        "invitation_id": tree.invitation.pk,
        "tag_id": tree.tag.pk,
        "client_id": tree.client.pk,
        "link_id": tree.link.pk,
        "batch": tree.batch,
        "reference": tree.reference,
        "pk": tree.passkey.pk,
        "ticket": "a-step-of-another-browser",
    }


def made_up() -> dict[str, Any]:
    return {
        "slug": "no-such-thing",
        "connection_id": uuid4(),
        "account_id": uuid4(),
        "notice_id": uuid4(),
        "import_id": uuid4(),
        "list_id": uuid4(),
        "member_id": uuid4(),
        "person_id": uuid4(),
        "invitation_id": uuid4(),
        "tag_id": 999_999_999,
        "client_id": uuid4(),
        "link_id": uuid4(),
        "batch": uuid4(),
        "reference": "BCDFGH23",
        "pk": 999_999_999,
        "ticket": "a-step-of-nobody",
    }
