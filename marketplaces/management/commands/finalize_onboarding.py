"""Finish the onboarding that is due, or repeat what stopped, as a worker would."""

from __future__ import annotations

from marketplaces import onboarding
from marketplaces.models import MarketplaceAccount
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, outcome_of
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.scoping import across_organizations

Onboarding = MarketplaceAccount.Onboarding


class Command(OpsCommand):
    help = "Finish onboarding that is due; --status needs_attention repeats what stopped."
    verb = "onboard"
    statuses = (Onboarding.WORKING, Onboarding.NEEDS_ATTENTION)

    def targets(self, scope: Scope) -> list[Target]:
        if not scope.options["dry_run"]:
            ledger.recover_lost()
        with across_organizations("finalize_onboarding"):
            rows = onboarding.unfinished(scope.status or Onboarding.WORKING)
            found = scope.narrow(rows, to_connection="connection__").values_list(
                "pk",
                "organization__slug",
                "connection__selling_partner_id",
                "connection__region",
                "marketplace_id",
            )
            names = ("organization", "seller_id", "region", "marketplace")
            return [
                Target(pk, dict(zip(names, map(str, facts), strict=True))) for pk, *facts in found
            ]

    def perform(self, target: Target) -> Outcome:
        with across_organizations("finalize_onboarding"):
            account = MarketplaceAccount.objects.select_related("connection").get(pk=target.key)
        job = onboarding.finalize(account, actor=COMMAND)
        if account.onboarding == Onboarding.ONBOARDED:
            return Outcome(Ending.DONE)
        if job is None or account.onboarding == Onboarding.NEEDS_ATTENTION:
            return Outcome(Ending.ATTENTION, account.attention_reason)
        return outcome_of(job)
