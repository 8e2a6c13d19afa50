"""What the end of an organization ends, before it and on the receipt for who did it: afterwards no
page shows it any more. The receipt is a job of the ledger, so a mail server may be away."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from smtplib import SMTPException
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import translation
from django.utils.translation import gettext as _

from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.notice_sending import message_id, put_down
from sellerlegend.alphabet import Alphabetical
from sellerlegend.jobs.ledger import Claim
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, User

logger = logging.getLogger(__name__)

RECEIPT = "ppc.receipt"
DELETED = "organization_deleted"
# Longer than a receipt is tried, and far from the 30 days: erasing waits for it so long.
RECEIPT_WAITS = timedelta(days=3)


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
    stores: tuple[Store, ...]
    spapi_consents: int
    ads_consents: int
    people: tuple[str, ...]


def of_organization(organization: Organization) -> Ending:
    living = [
        model.objects.for_organization(organization).exclude(status=Grant.Status.DISCONNECTED)
        for model in (SpApiGrant, AdsGrant)
    ]
    members = Membership.objects.for_organization(organization).select_related("user")
    return Ending(
        name=organization.name,
        stores=stores_of(organization),
        spapi_consents=living[0].count(),
        ads_consents=living[1].count(),
        people=tuple(str(member.user) for member in members.order_by("created_at")),
    )


def stores_of(organization: Organization) -> tuple[Store, ...]:
    rows = Connection.with_removed.for_organization(organization).order_by(
        Alphabetical("name"), "region"
    )
    known = rows.filter(selling_partner_id__isnull=False)
    facts = known.values_list("name", "selling_partner_id", "region")
    return tuple(Store(*each) for each in facts)


def counts(ending: Ending) -> dict[str, Any]:
    """What the record of the deletion keeps for the receipt, since it is gone by then."""
    return {
        "spapi_consents": ending.spapi_consents,
        "ads_consents": ending.ads_consents,
        "people": len(ending.people),
    }


# The receipt ---------------------------------------------------------------------------------


def send_receipt(claim: Claim) -> None:
    """The run of the job: what the record of the deletion and the rows say, to who did it. Rows
    wait for it (`erasure.deleted_organizations`); nothing of it is stored a second time."""
    event = deletion_of(claim.job.organization_id)
    if event is None or event.actor is None:
        with claim.finishing(error="nobody_to_tell"):
            return
    message = compose(claim.job.organization, event, event.actor)
    try:
        message.send()
    except (OSError, SMTPException) as error:
        logger.warning("receipt_unsent", extra={"cause": type(error).__name__})
        put_down(claim, error, since=event.at)
        return
    with claim.finishing():
        pass


def deletion_of(organization_id: UUID) -> AuditEvent | None:
    events = AuditEvent.objects.for_organization(organization_id).filter(code=DELETED)
    found: AuditEvent | None = events.select_related("actor").first()
    return found


def compose(organization: Organization, event: AuditEvent, person: User) -> EmailMessage:
    """In the person's language. The name is somebody's own text: one line, whatever it holds."""
    with translation.override(person.language or settings.LANGUAGE_CODE):
        subject = _("%(name)s was deleted") % {"name": organization.name}
        return EmailMessage(
            subject=" ".join(subject.split()),
            body=receipt(organization, event, str(person)),
            to=[person.email],
            headers={
                "Message-ID": message_id("receipt", organization.pk),
                "Auto-Submitted": "auto-generated",
            },
        )


def receipt(organization: Organization, event: AuditEvent, who: str) -> str:
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
            "name": organization.name,
            "at": f"{event.at:%Y-%m-%d %H:%M:%S}",
            "spapi": event.details["spapi_consents"],
            "ads": event.details["ads_consents"],
            "people": event.details["people"],
        }
    ]
    stores = stores_of(organization)
    if stores:
        lines = [f"- {row.name}, {row.selling_partner_id}, {row.region}" for row in stores]
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
