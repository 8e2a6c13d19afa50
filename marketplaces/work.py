"""The kinds of background work of this app."""

from __future__ import annotations

from connections import revisions, token_imports
from marketplaces import importing, onboarding, services, verification
from sellerlegend.jobs import budgets, ledger
from sellerlegend.jobs.models import Job


def show_change(job: Job) -> None:
    if job.connection_id is not None:
        revisions.touch(job.organization_id, [job.connection_id])


def lock_organization(job: Job) -> None:
    """Which row of the screen it will be shows only in the transaction itself."""
    revisions.touch(job.organization_id, [])


ledger.register(
    ledger.Kind(
        name=services.READ,
        run=budgets.watched(services.read_participations),
        changed=show_change,
        give_up=services.reading_given_up,
        restart=services.reading_restarted,
    )
)
ledger.register(
    ledger.Kind(
        name=services.RESYNC,
        run=budgets.watched(services.resync),
        changed=show_change,
        give_up=services.reading_given_up,
        restart=services.reading_restarted,
        queue="background",
    )
)
ledger.register(
    ledger.Kind(
        name=onboarding.ONBOARD,
        run=budgets.watched(onboarding.onboard),
        run_many=budgets.watched_many(onboarding.onboard_many),
        changed=show_change,
        give_up=onboarding.onboarding_given_up,
        restart=onboarding.onboarding_restarted,
    )
)
ledger.register(
    ledger.Kind(
        name=verification.VERIFY,
        run=budgets.watched(verification.verify),
        changed=show_change,
        give_up=services.reading_given_up,
        queue="background",
    )
)
ledger.register(
    ledger.Kind(
        name=verification.CHECK,
        run=budgets.watched(verification.check),
        changed=show_change,
        give_up=services.reading_given_up,
        restart=verification.check_restarted,
    )
)
ledger.register(
    ledger.Kind(
        name=token_imports.IMPORT,
        run=budgets.watched(importing.bring_in),
        changed=lock_organization,
        give_up=importing.given_up,
    )
)
ledger.register_sweeper(verification.sweep_due)
