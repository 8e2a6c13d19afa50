"""The list as a table to take along: the reader's own rows, every cell a plain fact.

Rows are read in batches, so that ten thousand cost the memory of two hundred. No secret is near:
what the screen shows is all that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connections import list_queries, screen
from connections.grouping_models import Tagging
from connections.health import EXPIRING_DAYS, STALE_AFTER, Health
from connections.health_models import DataSetReport
from connections.health_words import dated_end, since_when, who_words
from connections.models import Connection, Grant
from connections.reader import Reader
from connections.rows import ConnectionRow
from sellerlegend.alphabet import Alphabetical
from sellerlegend.applications.models import ApplicationRole, LwaApplication

BATCH = 200
MOST_EXPORTED = 50_000

Facts = dict[str, Any]
Cell = str | datetime | None
Words = str | Promise


@dataclass(frozen=True)
class Beside:
    """What the list does not show of some rows, by connection."""

    clients: dict[UUID, str]
    tags: dict[UUID, list[str]]
    complete_through: dict[UUID, datetime]
    # Of all rows: when our application got roles at Amazon, the first first.
    roles_added: Sequence[datetime] = ()


@dataclass(frozen=True)
class ExportColumn:
    title: Words
    of: Callable[[Facts, ConnectionRow, Beside], Cell]
    is_time: bool = False


def batches_of(
    organization_id: UUID, ids: list[UUID], reader: Reader
) -> Iterator[list[list[Cell]]]:
    """The cells of these rows in this order, some rows at a time."""
    for start in range(0, len(ids), BATCH):
        yield _batch(organization_id, ids[start : start + BATCH], reader)


def _batch(organization_id: UUID, ids: list[UUID], reader: Reader) -> list[list[Cell]]:
    facts = {fact["id"]: fact for fact in list_queries.some_facts(organization_id, ids)}
    present = [row_id for row_id in ids if row_id in facts]
    if not present:
        return []
    # Always as many places, so that all batches share one prepared query.
    filled = present + present[-1:] * (BATCH - len(present))
    parts = list_queries.marketplace_facts(organization_id, filled)
    beside = replace(_beside(organization_id, present), roles_added=roles_added(facts.values()))
    found = []
    for row_id in present:
        fact = facts[row_id]
        row = screen.compose_row(fact, parts.get(row_id, []), reader)
        found.append([column.of(fact, row, beside) for column in COLUMNS])
    return found


def _beside(organization_id: UUID, ids: list[UUID]) -> Beside:
    rows = Connection.objects.for_organization(organization_id).filter(pk__in=ids)
    clients = dict(rows.exclude(client=None).values_list("pk", "client__name"))
    tags: dict[UUID, list[str]] = {}
    taggings = Tagging.objects.for_organization(organization_id).filter(connection_id__in=ids)
    for row_id, name in taggings.order_by(Alphabetical("tag__name")).values_list(
        "connection_id", "tag__name"
    ):
        tags.setdefault(row_id, []).append(name)
    complete: dict[UUID, datetime] = {}
    reports = DataSetReport.objects.for_organization(organization_id)
    known = reports.filter(connection_id__in=ids, data_through__isnull=False)
    for row_id, through in known.values_list("connection_id", "data_through"):
        complete[row_id] = min(through, complete.get(row_id, through))
    return Beside(clients, tags, complete)


# What a column says ------------------------------------------------------------------------


def roles_added(facts: Iterable[Facts]) -> list[datetime]:
    """When our application got its roles; no query where no row lacks one of them."""
    if not any(map(_lacks_a_role, facts)):
        return []
    roles = ApplicationRole.objects.filter(application=LwaApplication.SPAPI)
    return list(roles.order_by("added_at").values_list("added_at", flat=True))


def _lacks_a_role(fact: Facts) -> bool:
    """Amazon refused nothing: the consent is older than a role."""
    is_missing = fact["spapi_health"] == Health.PERMISSION_MISSING
    return is_missing and fact["permission_missing_since"] is None


def spapi_since(fact: Facts, roles: Sequence[datetime]) -> datetime | None:
    """The moment from which the state holds. `roles`: `roles_added` of these rows."""
    state = fact["spapi_health"]
    if _lacks_a_role(fact):
        return next((added for added in roles if added > fact["authorized_at"]), None)
    if state == Health.EXPIRING:
        ends = dated_end(LwaApplication.SPAPI, fact)
        return ends - timedelta(days=EXPIRING_DAYS) if ends else None
    if state == Health.STALE:
        answered: datetime | None = fact["last_success_at"]
        return answered + STALE_AFTER if answered else None
    if state == Health.INCIDENT:
        failed: datetime | None = fact["last_failure_at"]
        return failed
    return since_when(state, LwaApplication.SPAPI, fact)


def consented_at(fact: Facts) -> datetime | None:
    given: datetime | None = fact["authorized_at"]
    return None if fact["is_consent_dated"] is False else given


def renew_by(fact: Facts) -> datetime | None:
    is_over = fact["grant_status"] == Grant.Status.DISCONNECTED
    return None if is_over else dated_end(LwaApplication.SPAPI, fact)


def names_of(row: ConnectionRow, *, is_done: bool) -> str:
    return ", ".join(line.name for line in row.spapi.lines if line.is_done == is_done)


def ppc_word(row: ConnectionRow) -> str:
    return row.ppc_health.sign.word if row.ppc_health else ""


def ppc_names(row: ConnectionRow) -> str:
    return ", ".join(line.name for line in row.ppc.lines if line.is_done)


COLUMNS: tuple[ExportColumn, ...] = (
    ExportColumn(_("Name"), lambda fact, _row, _beside: fact["name"]),
    ExportColumn(_("Client"), lambda fact, _row, beside: beside.clients.get(fact["id"], "")),
    ExportColumn(_("Tags"), lambda fact, _row, beside: ", ".join(beside.tags.get(fact["id"], ()))),
    ExportColumn(_("Seller ID"), lambda fact, _row, _beside: fact["selling_partner_id"] or ""),
    ExportColumn(_("Region"), lambda fact, _row, _beside: fact["region"]),
    ExportColumn(
        _("Marketplaces onboarded"), lambda _fact, row, _beside: names_of(row, is_done=True)
    ),
    ExportColumn(
        _("Marketplaces not onboarded"), lambda _fact, row, _beside: names_of(row, is_done=False)
    ),
    ExportColumn(_("Selling Partner"), lambda _fact, row, _beside: row.spapi_health.sign.word),
    ExportColumn(_("Selling Partner code"), lambda fact, _row, _beside: fact["spapi_health"]),
    ExportColumn(
        _("Selling Partner since"),
        lambda fact, _row, beside: spapi_since(fact, beside.roles_added),
        is_time=True,
    ),
    ExportColumn(_("PPC"), lambda _fact, row, _beside: ppc_word(row)),
    ExportColumn(
        _("PPC code"),
        lambda _fact, row, _beside: str(row.ppc_health.state) if row.ppc_health else "",
    ),
    ExportColumn(_("Marketplaces with PPC"), lambda _fact, row, _beside: ppc_names(row)),
    ExportColumn(_("Consent given"), lambda fact, _row, _beside: consented_at(fact), is_time=True),
    ExportColumn(_("Renew by"), lambda fact, _row, _beside: renew_by(fact), is_time=True),
    ExportColumn(
        _("Authorised by"),
        lambda fact, _row, _beside: who_words(fact) if fact["authorized_at"] else "",
    ),
    ExportColumn(_("Last verified"), lambda fact, _row, _beside: fact["verified_at"], is_time=True),
    ExportColumn(
        _("Last success"), lambda fact, _row, _beside: fact["last_success_at"], is_time=True
    ),
    ExportColumn(
        _("Last failure"), lambda fact, _row, _beside: fact["last_failure_at"], is_time=True
    ),
    ExportColumn(
        _("Data complete up to"),
        lambda fact, _row, beside: beside.complete_through.get(fact["id"]),
        is_time=True,
    ),
    ExportColumn(_("Created"), lambda fact, _row, _beside: fact["created_at"], is_time=True),
)


def titles() -> list[str]:
    return [str(column.title) for column in COLUMNS]
