"""*Retry now* for a whole row, for staff: what waits is due now, what failed is tried again."""

from __future__ import annotations

from connections.models import Connection
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces import verification as marketplace_verification
from marketplaces.models import MarketplaceAccount
from ppc import asking, checking, services
from ppc.disconnecting import Side
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
    """Repeat whatever of the row waits, was lost or needs attention, on the sides on which Amazon
    can be asked. Returns how much that was."""
    sides = asking.sides_of(connection)
    if not sides:
        return 0
    count = hurry_proofs(connection, sides)
    if Side.SPAPI in sides:
        accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
        mine = accounts.filter(connection=connection).select_related("connection")
        count += int(marketplace_services.retry_reading(connection))
        count += sum(onboarding.retry_onboarding(row, actor=actor) for row in mine)
    links = PpcLink.objects.for_organization(connection.organization_id)
    linked = links.filter(account__connection=connection).select_related("account__connection")
    return count + sum(services.retry_linking(row, actor=actor) for row in linked)


def hurry_proofs(connection: Connection, sides: asking.Sides) -> int:
    """Checks and daily proofs that wait are due now. None is queued: that is what *Check now* is
    for."""
    by_row = asking.ads_by_row(connection.organization_id, [connection])
    subjects = list(by_row.get(connection.pk, ()))
    if Side.SPAPI in sides:
        subjects.append(connection.pk)
    jobs = Job.objects.for_organization(connection.organization_id)
    live = jobs.filter(subject_id__in=subjects, kind__in=PROOFS, status__in=Job.LIVE)
    return sum(ledger.hurry(job) for job in live.order_by("pk"))
