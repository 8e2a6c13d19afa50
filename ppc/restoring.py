"""What a restored backup brought back to life although it had been ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction

from connections import revisions, superseding
from connections.models import AdsGrant, Grant, SpApiGrant
from ppc import erasure
from sellerlegend import deletions
from sellerlegend.organizations import people_log
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import across_organizations

GRANTS: dict[str, type[SpApiGrant] | type[AdsGrant]] = {
    SpApiGrant.EVENT_PREFIX: SpApiGrant,
    AdsGrant.EVENT_PREFIX: AdsGrant,
}


@dataclass(frozen=True)
class Resurrected:
    """`kind` organization, spapi_grant, ads_grant or one of a person's, alive here and ended there;
    `is_certain` unless the log holds only that its end began."""

    kind: str
    id: UUID
    organization: str
    ended_at: str
    is_certain: bool


def resurrected(logs: list[Path]) -> list[Resurrected]:
    """By the deletion logs. A consent given anew since has a higher version and is let be.
    Raises OSError for a log that cannot be read."""
    found: dict[tuple[str, UUID], Resurrected] = {}
    lines = [line for path in logs for line in deletions.read(path)]
    with across_organizations("what a backup brought back"):
        for line in sorted(lines, key=_when):
            key = line["kind"], UUID(line["id"])
            whose = _whose(line)
            if whose is None:
                if line["kind"] in people_log.SWITCHES:
                    found.pop(key, None)  # given back since
                continue
            is_certain = line.get("state") != deletions.BEGUN
            if is_certain or key not in found:
                found[key] = Resurrected(*key, whose, _when(line), is_certain)
    return list(found.values())


def _when(line: dict[str, Any]) -> str:
    return str(line.get("at", ""))


def _whose(line: dict[str, Any]) -> str | None:
    """The slug of what lives although it was ended, "" for a person's; None: it does not live."""
    if line["kind"] in people_log.KINDS:
        return "" if people_log.is_revived(line) else None
    alive = _alive(line["kind"], UUID(line["id"]), int(line.get("version", 0)))
    return alive.slug if alive else None


def _alive(kind: str, row_id: UUID, version: int) -> Organization | None:
    """The organization of a row that lives although it was ended."""
    if kind == "organization":
        return Organization.objects.filter(pk=row_id, deleted_at=None).first()
    if kind not in GRANTS:
        return None
    living = GRANTS[kind].objects.exclude(status=Grant.Status.DISCONNECTED)
    grant = living.filter(pk=row_id, version__lte=version).first()
    return Organization.objects.get(pk=grant.owner_id()) if grant else None


def end_again(kind: str, row_id: UUID) -> None:
    with across_organizations("what a backup brought back"), transaction.atomic():
        if kind in people_log.KINDS:
            people_log.end_again(kind, row_id)
            return
        if kind == "organization":
            organization = Organization.objects.get(pk=row_id)
            erasure.delete_organization(organization=organization, actor=COMMAND)
            return
        grant = GRANTS[kind].objects.get(pk=row_id)
        revisions.touch_all(grant.owner_id())
        if grant.status != Grant.Status.DISCONNECTED:
            superseding.destroy(grant, actor=COMMAND, reason="ended_before_restore")
