"""What the end of an organization ends, before it and on the receipt for who did it: afterwards no
page shows it any more."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from sellerlegend.organizations.models import Membership, Organization, User

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Store:
    """A seller who may still have to disable our app at Amazon."""

    name: str
    selling_partner_id: str
    region: str


@dataclass(frozen=True)
class Ending:
    """What is there now. `people`: everybody who loses access."""

    name: str
    at: datetime
    stores: tuple[Store, ...]
    spapi_consents: int
    ads_consents: int
    people: tuple[str, ...]


def of_organization(organization: Organization) -> Ending:
    rows = Connection.with_removed.for_organization(organization).order_by("name", "region")
    stores = rows.filter(selling_partner_id__isnull=False)
    living = [
        model.objects.for_organization(organization).exclude(status=Grant.Status.DISCONNECTED)
        for model in (SpApiGrant, AdsGrant)
    ]
    members = Membership.objects.for_organization(organization).select_related("user")
    return Ending(
        name=organization.name,
        at=timezone.now(),
        stores=tuple(
            Store(*facts) for facts in stores.values_list("name", "selling_partner_id", "region")
        ),
        spapi_consents=living[0].count(),
        ads_consents=living[1].count(),
        people=tuple(str(member.user) for member in members.order_by("created_at")),
    )


def send_receipt(ending: Ending, person: User) -> None:
    """After the commit. A mail server that is down does not bring the organization back."""
    text = receipt(ending, str(person))

    def send() -> None:
        try:
            send_mail(_("%(name)s was deleted") % {"name": ending.name}, text, None, [person.email])
        except (OSError, SMTPException) as error:
            logger.warning("receipt_unsent", extra={"cause": type(error).__name__})

    transaction.on_commit(send, robust=True)


def receipt(ending: Ending, who: str) -> str:
    parts = [
        _(
            "%(who)s deleted the organization %(name)s on %(at)s (UTC).\n\n"
            "Ended at once: consents of Seller Central: %(spapi)d; consents of Amazon Ads: "
            "%(ads)d; people who lost access: %(people)d. The tokens and the organization's key "
            "are destroyed. What Amazon told us is erased within 30 days; the record of events "
            "stays 400 days, with a keyed hash instead of names and Seller IDs."
        )
        % {
            "who": who,
            "name": ending.name,
            "at": f"{ending.at:%Y-%m-%d %H:%M:%S}",
            "spapi": ending.spapi_consents,
            "ads": ending.ads_consents,
            "people": len(ending.people),
        }
    ]
    if ending.stores:
        lines = [f"- {row.name}, {row.selling_partner_id}, {row.region}" for row in ending.stores]
        parts.append(
            _(
                "To finish at Amazon, for each of these the seller opens Seller Central → Apps and "
                "Services → Manage Your Apps and disables our app; whoever approved Amazon Ads "
                "removes it under Login with Amazon:"
            )
            + "\n"
            + "\n".join(lines)
        )
    return "\n\n".join(parts) + "\n"
