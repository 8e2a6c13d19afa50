"""The kinds of background work of this app, and what it looks after at every sweep."""

from __future__ import annotations

from connections import removal, revisions
from ppc import checking, farewell, pruning, removing, services, upkeep
from sellerlegend.jobs import budgets, ledger
from sellerlegend.jobs.models import Job


def show_change(job: Job) -> None:
    if job.connection_id is not None:
        revisions.touch(job.organization_id, [job.connection_id])


def show_nothing(_job: Job) -> None:
    """No row of a screen looks different."""


ledger.register(
    ledger.Kind(
        name=services.LINK,
        run=budgets.watched(services.link),
        changed=show_change,
        give_up=services.linking_given_up,
        restart=services.linking_restarted,
    )
)
ledger.register(
    ledger.Kind(
        name=upkeep.RESYNC,
        run=budgets.watched(upkeep.resync_grant),
        changed=upkeep.show_listing,
        give_up=upkeep.resync_given_up,
        restart=upkeep.resync_restarted,
        queue="background",
    )
)
ledger.register(
    ledger.Kind(
        name=checking.VERIFY,
        run=budgets.watched(checking.verify),
        changed=upkeep.show_listing,
        give_up=upkeep.resync_given_up,
        queue="background",
    )
)
ledger.register(
    ledger.Kind(
        name=checking.CHECK,
        run=budgets.watched(checking.check),
        changed=upkeep.show_listing,
        give_up=upkeep.resync_given_up,
        restart=checking.check_restarted,
    )
)
ledger.register(
    ledger.Kind(
        name=farewell.RECEIPT,
        run=budgets.watched(farewell.send_receipt),
        changed=show_nothing,
        give_up=show_nothing,
        queue="background",
    )
)
ledger.register_sweeper(checking.sweep_due)
ledger.register_sweeper(pruning.prune_in_turn)
removal.register_return(removing.link_again)
