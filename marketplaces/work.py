"""The kinds of background work of this app."""

from __future__ import annotations

from connections import revisions
from marketplaces import onboarding, services, verification
from sellerlegend.jobs import budgets, ledger
from sellerlegend.jobs.models import Job


def show_change(job: Job) -> None:
    if job.connection_id is not None:
        revisions.touch(job.organization_id, [job.connection_id])


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
ledger.register_sweeper(verification.sweep_due)
