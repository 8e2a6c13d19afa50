"""How healthy one side of a row is: computed where it is read, from recorded facts, never stored.

The facts are the columns of the grant (`observations.py` writes them), the open incidents and the
roles of our application. Every state is one condition here, in the order in which they win; the
database evaluates them for lists, filters and counts alike, so that no two places can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    Subquery,
    TextChoices,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models import ADS_YEAR_RULE_SINCE, CONSENT_DAYS, Grant
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.jobs.incidents import WINDOW
from sellerlegend.jobs.models import Incident

EXPIRING_DAYS = 60
# What mends itself is told no more: the end comes first, and only a person holds it off.
LAST_DAYS = 7
# Verified once a day: half a day later than that, nobody knows any more.
STALE_AFTER = timedelta(hours=36)


class Health(TextChoices):
    """Of one side, Selling Partner or PPC."""

    CONNECTED = "connected", _("Connected")
    EXPIRING = "expiring", _("Expiring")
    EXPIRED = "expired", _("Renewal overdue")
    DOUBTED = "doubted", _("Refused, checking again")
    REVOKED = "revoked", _("Revoked")
    PERMISSION_MISSING = "permission_missing", _("Permission missing")
    THROTTLED = "throttled", _("Throttled")
    STALE = "stale", _("Stale")
    INCIDENT = "incident", _("Amazon incident")
    WAITING = "waiting", _("Waiting for consent")
    DISCONNECTED = "disconnected", _("Disconnected")


# A person of the organization has to do something; everything else mends itself or is wanted.
NEEDS_A_PERSON = (
    Health.EXPIRED,
    Health.REVOKED,
    Health.PERMISSION_MISSING,
    Health.EXPIRING,
)
# The worst first: what a row says whose PPC is fed by several consents. What needs a person comes
# before what mends itself, or a row would be counted for something that it does not say.
SEVERITY = (
    *NEEDS_A_PERSON,
    Health.DOUBTED,
    Health.INCIDENT,
    Health.STALE,
    Health.THROTTLED,
    Health.CONNECTED,
    Health.DISCONNECTED,
    Health.WAITING,
)

# Failures that an incident explains; every other one has a reason of the consent's own.
AMAZONS = ("amazon_unavailable", "amazon_throttled", "unexpected_reply")
# Which part of Amazon a consent is for; all need the token endpoint besides.
SURFACES = {
    LwaApplication.SPAPI: Incident.Surface.SELLERS,
    LwaApplication.ADS: Incident.Surface.ADS,
}
# The moments that the conditions compare with, by name: the values of a prepared query.
MOMENTS = ("year_ago", "expiring_since", "last_days_since", "quiet_since")


def moments(now: datetime | None = None) -> dict[str, datetime]:
    now = now or timezone.now()
    return {
        "year_ago": now - timedelta(days=CONSENT_DAYS),
        "expiring_since": now - timedelta(days=CONSENT_DAYS - EXPIRING_DAYS),
        "last_days_since": now - timedelta(days=CONSENT_DAYS - LAST_DAYS),
        "quiet_since": now - STALE_AFTER,
    }


def health_of(
    application: LwaApplication, at: Mapping[str, datetime], *, prefix: str = "", region: str = ""
) -> Case:
    """The state as an expression, for a query whose grants are reached by `prefix`.

    `region` names the column with the row's region; without one an incident of any region counts.
    """
    conditions = conditions_of(application, at, prefix=prefix, region=region)
    return Case(
        *[When(condition, then=Value(state.value)) for state, condition in conditions],
        default=Value(Health.CONNECTED.value),
        output_field=CharField(max_length=20),
    )


def conditions_of(
    application: LwaApplication, at: Mapping[str, datetime], *, prefix: str = "", region: str = ""
) -> list[tuple[Health, Q]]:
    """In the order in which they win; a grant that meets none of them is connected."""

    def fact(**lookups: Any) -> Q:
        return Q(**{f"{prefix}{name}": value for name, value in lookups.items()})

    ends = fact(is_consent_dated=True)
    if application == LwaApplication.ADS:
        ends = fact(authorized_at__gte=ADS_YEAR_RULE_SINCE)
    over = ends & fact(authorized_at__lt=at["year_ago"])
    has_time = ~(ends & fact(authorized_at__lt=at["last_days_since"]))
    has_new_role = fact(authorized_at__lt=newest_role(application))
    is_silent = fact(last_success_at__isnull=True) | fact(last_success_at__lt=at["quiet_since"])
    return [
        (Health.WAITING, fact(status__isnull=True)),
        (Health.DISCONNECTED, fact(status=Grant.Status.DISCONNECTED)),
        (Health.REVOKED, was_lost_early(prefix)),
        (Health.EXPIRED, over),
        (Health.REVOKED, fact(status=Grant.Status.INVALID)),
        (Health.DOUBTED, has_time & fact(status=Grant.Status.DOUBTED)),
        (Health.INCIDENT, has_time & met_incident(application, prefix, region)),
        (Health.PERMISSION_MISSING, fact(permission_missing_since__isnull=False) | has_new_role),
        # Who is only slowed down still answers; days without an answer are no slowness.
        (Health.STALE, has_time & is_silent),
        (Health.EXPIRING, ends & fact(authorized_at__lt=at["expiring_since"])),
        (Health.THROTTLED, fact(throttled_since__isnull=False)),
    ]


def was_lost_early(prefix: str = "") -> Q:
    """Of a consent: it was over before its year was, and stays so when that year ends."""
    end = F(f"{prefix}authorized_at") + timedelta(days=CONSENT_DAYS)
    lookups = {"status": Grant.Status.INVALID, "status_changed_at__lt": end}
    return Q(**{f"{prefix}{name}": value for name, value in lookups.items()})


def met_incident(application: LwaApplication, prefix: str, region: str) -> Q:
    """The consent's own last call failed for a reason of Amazon's, in a time that belongs to an
    open incident of a part that it needs: a failure of days ago, and a role that it lacks, are
    its own."""
    here = Q(region="") | Q(region=OuterRef(region)) if region else Q()
    parts = Q(surface=Incident.Surface.LWA) | Q(surface=SURFACES[application]) & here
    has_failed = Q(**{f"{prefix}last_failure_at__isnull": False}) & (
        Q(**{f"{prefix}last_success_at__isnull": True})
        | Q(**{f"{prefix}last_failure_at__gt": F(f"{prefix}last_success_at")})
    )
    is_amazons = Q(**{f"{prefix}last_failure_code__in": AMAZONS})
    window_later = OuterRef(f"{prefix}last_failure_at") + Value(WINDOW)
    belongs = Incident.objects.filter(
        parts,
        closed_at=None,
        opened_at__lte=ExpressionWrapper(window_later, output_field=DateTimeField()),
    )
    return has_failed & is_amazons & Q(Exists(belongs))


def newest_role(application: LwaApplication) -> Coalesce:
    """When our application last got a role: older consents do not have it."""
    roles = ApplicationRole.objects.filter(application=application).order_by("-added_at")
    return Coalesce(roles.values("added_at")[:1], Value(datetime(1970, 1, 1, tzinfo=UTC)))


def news_of_role(application: LwaApplication) -> Subquery:
    """For a query of consents: when the last role that this one is older than was written down, be
    it long after our application got it. NULL: it has them all."""
    roles = ApplicationRole.objects.filter(
        application=application, added_at__gt=OuterRef("authorized_at")
    )
    return Subquery(roles.order_by("-entered_at").values("entered_at")[:1])


def last_turn() -> Greatest:
    """When an incident last opened or closed, or our application got a role: what changes the
    health of many rows at once, without a change of any of them."""
    incidents = Incident.objects.annotate(
        turned_at=Greatest("opened_at", Coalesce("closed_at", "opened_at"))
    ).order_by("-turned_at")
    never = Value(datetime(1970, 1, 1, tzinfo=UTC))
    return Greatest(
        Coalesce(Subquery(incidents.values("turned_at")[:1]), never),
        newest_role(LwaApplication.SPAPI),
        newest_role(LwaApplication.ADS),
    )


def worst(states: list[str]) -> str:
    """Of the consents that feed one row; WAITING when there is none."""
    return min(states, key=lambda state: SEVERITY.index(Health(state)), default=Health.WAITING)
