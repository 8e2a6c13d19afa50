"""How many rows of an organization need a person: the banner, and the count in the menu.

Kept in the shared cache for each revision and hour of the organization: events move the revision,
and what time alone changes is an hour old at most.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.health import MOMENTS, NEEDS_A_PERSON, health_of, moments
from connections.models import AdsGrant, Connection
from connections.reach import within_reach
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.models import Membership
from sellerlegend.prepared import PreparedQuery

logger = logging.getLogger(__name__)

STORED_SECONDS = 7_200
LINK = "marketplace_accounts__ppc_link__"
# A link that a person ended uses its consent no more.
LINKS_IN_USE = ("pending", "working", "linked", "needs_attention")


@dataclass(frozen=True)
class Attention:
    """Of one organization, for the templates. Nothing is shown while `count` is 0."""

    count: int

    @property
    def words(self) -> str:
        """With what is counted: the bar above the list counts one side alone."""
        if not self.count:  # said when it has come to that, never shown
            return _("No connection needs you, on Selling Partner or PPC")
        return ngettext(
            "%(count)d connection needs you, on Selling Partner or PPC",
            "%(count)d connections need you, on Selling Partner or PPC",
            self.count,
        ) % {"count": self.count}


def attention_of(
    organization_id: UUID, revision: int, reader: Membership | None = None
) -> Attention:
    """A limited member's is counted each time, and never kept where others would find it."""
    if reader is not None and reader.is_limited:
        rows = needing(organization_id, **moments()).order_by()
        return Attention(within_reach(rows, reader).count())
    return Attention(known_count(organization_id, revision, int(time.time()) // 3600))


@lru_cache(maxsize=4096)
def known_count(organization_id: UUID, revision: int, hour: int) -> int:
    """A process asks the shared cache once for each key: the page that nobody changed since costs
    no look-up."""
    key = f"attention:{organization_id.hex}:{revision}:{hour}"
    count = _stored(key)
    if count is None:
        count = counted(organization_id)
        _store(key, count)
    return count


def counted(organization_id: UUID) -> int:
    rows = COUNT.rows(organization_id=organization_id, **moments())
    return int(rows[0]["number"]) if rows else 0


def needing(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    """The rows with a side that waits for a person. On PPC any of its consents counts."""
    rows = Connection.objects.for_organization(organization_id)
    state = health_of(LwaApplication.SPAPI, at, prefix="spapi_grant__", region="region")
    found: QuerySet[Any, Any] = rows.annotate(spapi_state=state).filter(
        Q(spapi_state__in=NEEDS_A_PERSON) | Q(pk__in=fed_by(organization_id, NEEDS_A_PERSON, at))
    )
    return found


def fed_by(
    organization_id: UUID, states: tuple[str, ...], at: dict[str, datetime]
) -> QuerySet[Any, Any]:
    """The rows whose links use an Ads consent in one of these states. The consents are few, and
    found once for all rows."""
    grants = AdsGrant.objects.for_organization(organization_id)
    troubled = grants.annotate(state=health_of(LwaApplication.ADS, at)).filter(state__in=states)
    return fed_by_grants(organization_id, troubled)


def fed_by_grants(organization_id: UUID, grants: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """The rows whose links use one of these Ads consents."""
    rows = Connection.objects.for_organization(organization_id)
    fed: QuerySet[Any, Any] = rows.filter(linked_to(grant__in=grants.values("pk"))).values("pk")
    return fed


def linked_to(**grant: Any) -> Q:
    """Of a row: one of its links uses an Ads consent that meets these lookups (`grant`,
    `grant__in`). What no row in sight uses needs nobody, neither in the count nor in a notice."""
    lookups = {f"{LINK}profile__{name}": value for name, value in grant.items()}
    return Q(**{f"{LINK}status__in": LINKS_IN_USE}, **lookups)


def count_query(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    rows = needing(organization_id, **at).order_by()
    counts: QuerySet[Any, Any] = rows.values("organization_id").annotate(number=Count("pk"))
    return counts


COUNT = PreparedQuery(count_query, organization_id=UUID, **dict.fromkeys(MOMENTS, datetime))


def _stored(key: str) -> int | None:
    try:
        found = cache.get(key)
    except Exception as error:  # noqa: BLE001  # a cache that is down is a cache miss
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
        return None
    return found if isinstance(found, int) else None


def _store(key: str, count: int) -> None:
    try:
        cache.set(key, count, STORED_SECONDS)
    except Exception as error:  # noqa: BLE001  # it was counted all the same
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
