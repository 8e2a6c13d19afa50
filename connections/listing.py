"""What a reader chose to see of the list, and in which order: parameters of its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Lower, NullIf
from django.utils.translation import gettext as _

from connections.attention import fed_by, needing
from connections.health import SEVERITY, Health
from connections.models import Connection, Grant

ATTENTION = "attention"
BY_NAME = "name"

SORT_WORDS: dict[str, Callable[[], str]] = {
    BY_NAME: lambda: _("Name"),
    "renew_by": lambda: _("Renew by, soonest first"),
    "authorised": lambda: _("Authorised by"),
    "last_verified": lambda: _("Last verified, longest ago first"),
    "last_success": lambda: _("Last success, longest ago first"),
    "last_failure": lambda: _("Last failure, newest first"),
}


@dataclass(frozen=True)
class Chosen:
    """Values that nobody knows are as none: an old bookmark still shows the list."""

    show: str = ""
    health: str = ""
    sort: str = BY_NAME

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Chosen:
        show, health, sort = (parameters.get(name, "") for name in ("show", "health", "sort"))
        return cls(
            show=show if show == ATTENTION else "",
            health=health if health in Health.values else "",
            sort=sort if sort in SORT_WORDS else BY_NAME,
        )

    def only_sorted(self) -> Chosen:
        """The same order of all rows."""
        return Chosen(sort=self.sort)

    @property
    def is_default(self) -> bool:
        return self == Chosen()

    @property
    def is_filter(self) -> bool:
        return bool(self.show or self.health)

    @property
    def query(self) -> str:
        """As it stands in the address; "" for the list as it is."""
        known = {"show": self.show, "health": self.health}
        known["sort"] = "" if self.sort == BY_NAME else self.sort
        return urlencode({name: value for name, value in known.items() if value})

    @property
    def words(self) -> str:
        """What the list is narrowed to, for the bar above it."""
        told = [_("those that need you")] if self.show else []
        told += [str(Health(self.health).label)] if self.health else []
        return ", ".join(told)


def narrowed(
    rows: QuerySet[Any, Any],
    chosen: Chosen,
    organization_id: UUID,
    at: dict[str, datetime],
    ads_marketplaces: QuerySet[Any, Any],
) -> QuerySet[Any, Any]:
    """`rows` are those of `screen.connection_facts`, in the order of the list."""
    if chosen.show == ATTENTION:
        rows = rows.filter(pk__in=needing(organization_id, **at).order_by().values("pk"))
    if chosen.health:
        on_ppc = ppc_is(chosen.health, organization_id, at, ads_marketplaces)
        rows = rows.filter(Q(spapi_health=chosen.health) | on_ppc)
    if chosen.sort != BY_NAME:
        rows = rows.order_by(*first_by(chosen.sort), *rows.query.order_by)
    return rows


def first_by(sort: str) -> list[Any]:
    """Of the Selling Partner's consent; rows that know nothing stand last."""
    if sort == "renew_by":
        is_over = When(grant_status=Grant.Status.DISCONNECTED, then=None)
        is_unknown = When(is_consent_dated=False, then=None)
        return [Case(is_over, is_unknown, default=F("authorized_at")).asc(nulls_last=True)]
    if sort == "authorised":
        return [
            Lower(Coalesce(NullIf("authorized_by", Value("")), "authorized_by_email")).asc(
                nulls_last=True
            ),
            F("authorized_at").desc(nulls_last=True),
        ]
    if sort == "last_failure":
        return [F("last_failure_at").desc(nulls_last=True)]
    column = {"last_verified": "verified_at", "last_success": "last_success_at"}[sort]
    return [F(column).asc(nulls_last=True)]


def ppc_is(
    state: str,
    organization_id: UUID,
    at: dict[str, datetime],
    ads_marketplaces: QuerySet[Any, Any],
) -> Q:
    """The PPC side is in this state: one of its consents is, and none is in a worse one."""
    rows = Connection.objects.for_organization(organization_id)
    linked = rows.filter(marketplace_accounts__ppc_link__profile__isnull=False)
    if state == Health.WAITING:
        something_to_link = Q(marketplace_accounts__ppc_link__isnull=False) | Q(
            marketplace_accounts__is_participating=True,
            marketplace_accounts__marketplace_id__in=ads_marketplaces,
        )
        waiting = rows.filter(something_to_link, selling_partner_id__isnull=False)
        return Q(pk__in=waiting.values("pk")) & ~Q(pk__in=linked.values("pk"))
    if state == Health.DISCONNECTED:
        others = tuple(other for other in SEVERITY if other != Health.DISCONNECTED)
        fed = fed_by(organization_id, others, at)
        return Q(pk__in=linked.values("pk")) & ~Q(pk__in=fed)
    worse = SEVERITY[: SEVERITY.index(Health(state))]
    return Q(pk__in=fed_by(organization_id, (state,), at)) & ~Q(
        pk__in=fed_by(organization_id, worse, at)
    )
