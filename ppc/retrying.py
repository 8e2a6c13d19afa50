"""*Retry now* for a whole row, for staff: what waits is due now, what failed is tried again."""

from __future__ import annotations

from connections import ads_consents
from connections.models import Connection
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces import verification as marketplace_verification
from marketplaces.models import MarketplaceAccount
from ppc import checking, services
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor

PROOFS = (
    marketplace_verification.VERIFY,
    marketplace_verification.CHECK,
    checking.VERIFY,
    checking.CHECK,
)


def retry_row(*, connection: Connection, actor: Actor) -> int:
    """Repeat whatever of the row waits, was lost or needs attention. Returns how much that was."""
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    links = PpcLink.objects.for_organization(connection.organization_id)
    mine = accounts.filter(connection=connection).select_related("connection")
    linked = links.filter(account__connection=connection).select_related("account__connection")
    count = int(marketplace_services.retry_reading(connection))
    count += sum(onboarding.retry_onboarding(row, actor=actor) for row in mine)
    count += sum(services.retry_linking(row, actor=actor) for row in linked)
    return count + hurry_proofs(connection)


def hurry_proofs(connection: Connection) -> int:
    """Checks and daily proofs of both sides that wait are due now. None is queued: that is what
    *Check now* is for."""
    subjects = [connection.pk, *(grant.pk for grant in ads_consents.of_row(connection))]
    jobs = Job.objects.for_organization(connection.organization_id)
    live = jobs.filter(subject_id__in=subjects, kind__in=PROOFS, status__in=Job.LIVE)
    return sum(ledger.hurry(job) for job in live.order_by("pk"))
