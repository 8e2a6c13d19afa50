"""Finish the PPC links that are due, or repeat what stopped, as a worker would."""

from __future__ import annotations

from ppc import services
from ppc.models import PpcLink
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, outcome_of
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.scoping import across_organizations

Status = PpcLink.Status


class Command(OpsCommand):
    help = "Finish PPC links that are due; --status needs_attention repeats what stopped."
    verb = "link"
    statuses = (Status.WORKING, Status.NEEDS_ATTENTION)

    def targets(self, scope: Scope) -> list[Target]:
        if not scope.options["dry_run"]:
            ledger.recover_lost()
        with across_organizations("link_ppc"):
            rows = services.unfinished(scope.status or Status.WORKING)
            found = scope.narrow(rows, to_connection="account__connection__").values_list(
                "pk",
                "organization__slug",
                "account__connection__selling_partner_id",
                "account__connection__region",
                "account__marketplace_id",
            )
            names = ("organization", "seller_id", "region", "marketplace")
            return [
                Target(pk, dict(zip(names, map(str, facts), strict=True))) for pk, *facts in found
            ]

    def perform(self, target: Target) -> Outcome:
        with across_organizations("link_ppc"):
            row = PpcLink.objects.select_related("account__connection").get(pk=target.key)
        job = services.finalize(row, actor=COMMAND)
        if row.status == Status.LINKED:
            return Outcome(Ending.DONE)
        if job is None or row.status == Status.NEEDS_ATTENTION:
            return Outcome(Ending.ATTENTION, row.attention_reason)
        return outcome_of(job)
