"""Refresh the consents in scope, then read participations and Ads profiles again."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connections import bulk_refresh, refusals, verdicts
from connections.bulk_refresh import Batch, NeighbourAtIt, Result, Submit
from connections.due_notices import revoked_reason
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from marketplaces import services as marketplace_services
from ppc import asking, upkeep
from sellerlegend.amazon.errors import (
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    HeldBack,
)
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
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

ROWS_OF_A_BATCH = 500
# So many that the threads have work while one is written and another is taken, and so few that none
# waits longer than its leases allow.
BATCHES_AT_ONCE = 3
OWNER = "connection__organization_id"
IsNew = Callable[[uuid.UUID], bool]
# Says nothing of the consent, and would be said of every further one.
STOPPING = (HeldBack, ClientMisconfigured, verdicts.Quarantined)
WORST_FIRST = (Ending.FAILED, Ending.ATTENTION, Ending.WAITING, Ending.DONE)


class Command(OpsCommand):
    help = "Refresh consents, then read participations and Amazon Ads profiles again."
    verb = "resync"
    statuses = (Grant.Status.ACTIVE, Grant.Status.DOUBTED, Grant.Status.INVALID)
    has_concurrency = True
    is_cut = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One Ads consent feeds many rows; a run refreshes it with the first of them.
        self.seen_consents: set[uuid.UUID] = set()
        self.seen_lock = threading.Lock()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--tokens-only", action="store_true", help="only refresh, many at once; read nothing"
        )

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
        results = [] if marketplace_services.is_askable(connection) else [left_out(connection)]
        if asking.sides_of(connection):
            results += self.resync(connection)
        kind, worst = min(results, key=lambda result: WORST_FIRST.index(result[1].ending))
        return Outcome(worst.ending, f"{kind}: {worst.reason}" if worst.reason else "")

    def resync(self, connection: Connection) -> list[tuple[str, Outcome]]:
        jobs = upkeep.begin_resync(
            connection=connection,
            grants=[grant for grant in upkeep.askable_grants(connection) if self.is_new(grant.pk)],
            actor=COMMAND,
            reason=self.lock_name,
        )
        return [(job.kind, outcome_of(ledger.run_here(job))) for job in jobs]

    def is_new(self, grant_id: uuid.UUID) -> bool:
        with self.seen_lock:
            is_new = grant_id not in self.seen_consents
            self.seen_consents.add(grant_id)
        return is_new

    # Tokens only -----------------------------------------------------------------------

    def outcomes(
        self, targets: list[Target], options: Mapping[str, Any]
    ) -> Iterator[tuple[Target, Outcome | None]]:
        if options["dry_run"] or not options["tokens_only"]:
            yield from super().outcomes(targets, options)
            return
        with bulk_refresh.submitting(self.worker_count(options)) as submit:
            started: deque[Started] = deque()
            for place in range(0, len(targets), ROWS_OF_A_BATCH):
                if self.is_stopping:
                    break
                rows = targets[place : place + ROWS_OF_A_BATCH]
                try:
                    started.append(Started(rows, submit, self.is_new))
                except verdicts.Quarantined as error:
                    self.is_stopping = True
                    self.say(f"Stopped: {reason_of(error)}.")
                    break
                # The next ones are under way while the first are written.
                if len(started) >= BATCHES_AT_ONCE:
                    yield from self.finished(started.popleft(), submit)
            while started:
                yield from self.finished(started.popleft(), submit)

    def finished(self, started: Started, submit: Submit) -> Iterator[tuple[Target, Outcome]]:
        """The rows of a batch, up to the first that Amazon was not asked for: there it resumes."""
        endings = started.finish(submit)
        for target in started.targets:
            if self.is_cut:
                return
            results = endings[target.key]
            stop = next((error for error in results if isinstance(error, STOPPING)), None)
            if stop is not None:
                self.is_cut = self.is_stopping = True
                self.say(f"Stopped: {reason_of(stop)}.")
                return
            yield target, worst_of([ending_of(error, target) for error in results])


class Started:
    """The consents behind some rows, while Amazon is asked."""

    def __init__(self, targets: Sequence[Target], submit: Submit, is_new: IsNew) -> None:
        self.targets = targets
        self.row_of: dict[uuid.UUID, uuid.UUID | str] = {}
        rows = [target.key for target in targets]
        with across_organizations("resync_tokens"):
            grants = SpApiGrant.objects.filter(connection__in=rows)
            own = list(grants.order_by("connection_id").values_list("pk", "connection_id", OWNER))
            askable = AdsGrant.objects.filter(refusals.askable())
            ads = askable.filter(organization__in={owner for *_, owner in own}).order_by("pk")
            shared = list(ads.values_list("pk", "organization_id"))
        first_rows: dict[uuid.UUID, uuid.UUID] = {}
        for grant, row, owner in own:
            self.row_of[grant] = row
            first_rows.setdefault(owner, row)
        new = [(grant, owner) for grant, owner in shared if is_new(grant)]
        self.row_of |= {grant: first_rows[owner] for grant, owner in new}
        by_kind: list[tuple[bulk_refresh.Model, list[uuid.UUID]]] = [
            (SpApiGrant, [grant for grant, *_ in own]),
            (AdsGrant, [grant for grant, _ in new]),
        ]
        self.batches: list[Batch] = [
            bulk_refresh.begin(model, ids, submit) for model, ids in by_kind if ids
        ]

    def finish(self, submit: Submit) -> defaultdict[uuid.UUID | str, list[Result]]:
        endings: defaultdict[uuid.UUID | str, list[Result]] = defaultdict(list)
        for batch in self.batches:
            for grant, result in bulk_refresh.finish(batch, submit).items():
                endings[self.row_of[grant]].append(result)
        return endings


def left_out(connection: Connection) -> tuple[str, Outcome]:
    """A row whose Selling Partner cannot be asked about before a new consent."""
    with across_organizations("resync_tokens"):
        grants = SpApiGrant.objects.filter(connection=connection)
        code = grants.values_list("last_error_code", flat=True).first() or ""
    return marketplace_services.RESYNC, Outcome(Ending.ATTENTION, revoked_reason(code))


def reason_of(error: AmazonError) -> str:
    if isinstance(error, NeighbourAtIt):
        return "refresh_under_way"
    if isinstance(error, HeldBack):
        return "amazon_unavailable"
    reason = verdicts.verdict(error, Job(created_at=timezone.now())).reason
    if reason in staff_notices.CAUSES:
        staff_notices.tell(reason)
    return reason


def ending_of(error: Result, target: Target) -> Outcome:
    """Nothing is queued here: what Amazon did not answer has failed, not merely to wait."""
    if error is None:
        return Outcome(Ending.DONE)
    if not isinstance(error, AmazonError):
        logger.error(
            "command_row_failed",
            exc_info=error,
            extra={"command": "resync_tokens", "row": target.key},
        )
        return Outcome(Ending.FAILED, type(error).__name__)
    if isinstance(error, NeighbourAtIt | verdicts.GrantDoubted):
        return Outcome(Ending.WAITING, reason_of(error))
    if isinstance(error, AmazonUnavailable | verdicts.VaultKeyMissing):
        return Outcome(Ending.FAILED, reason_of(error))
    return Outcome(Ending.ATTENTION, reason_of(error))


def worst_of(outcomes: Sequence[Outcome]) -> Outcome:
    """A row whose consent vanished meanwhile has nothing left to prove."""
    by_ending = sorted(outcomes, key=lambda outcome: WORST_FIRST.index(outcome.ending))
    return by_ending[0] if by_ending else Outcome(Ending.DONE)
