"""Refresh the consents in scope, then read participations and Ads profiles again."""

from __future__ import annotations

import threading
import uuid
from typing import Any

from connections.models import Connection, Grant
from ppc import upkeep
from sellerlegend.commands import (
    Ending,
    OpsCommand,
    Outcome,
    Scope,
    Target,
    outcome_of,
    refuse_wrong_keys,
)
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.scoping import across_organizations

WORST_FIRST = (Ending.FAILED, Ending.ATTENTION, Ending.WAITING, Ending.DONE)


class Command(OpsCommand):
    help = "Refresh consents, then read participations and Amazon Ads profiles again."
    verb = "resync"
    statuses = (Grant.Status.ACTIVE, Grant.Status.DOUBTED, Grant.Status.INVALID)
    has_concurrency = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One Ads consent feeds many rows; a run refreshes it with the first of them.
        self.seen_consents: set[uuid.UUID] = set()
        self.seen_lock = threading.Lock()

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_wrong_keys()
        super().handle(*args, **options)

    def targets(self, scope: Scope) -> list[Target]:
        statuses = [scope.status] if scope.status else list(self.statuses)
        with across_organizations("resync_tokens"):
            rows = scope.narrow(Connection.objects.filter(spapi_grant__status__in=statuses))
            facts = rows.values_list("pk", "organization__slug", "selling_partner_id", "region")
            return [
                Target(pk, {"organization": slug, "seller_id": seller or "", "region": region})
                for pk, slug, seller, region in facts
            ]

    def perform(self, target: Target) -> Outcome:
        with across_organizations("resync_tokens"):
            connection = Connection.objects.get(pk=target.key)
        jobs = upkeep.begin_resync(
            connection=connection,
            grants=[grant for grant in upkeep.living_grants(connection) if self.is_new(grant.pk)],
            actor=COMMAND,
            reason=self.lock_name,
        )
        results = [(job, outcome_of(ledger.run_here(job))) for job in jobs]
        job, worst = min(results, key=lambda result: WORST_FIRST.index(result[1].ending))
        return Outcome(worst.ending, f"{job.kind}: {worst.reason}" if worst.reason else "")

    def is_new(self, grant_id: uuid.UUID) -> bool:
        with self.seen_lock:
            is_new = grant_id not in self.seen_consents
            self.seen_consents.add(grant_id)
        return is_new
