"""What people read of an incident that is over: from when to when, and what of theirs it met.

The numbers stand in the event that says that they were told (`aftermath.py`): what they were
counted from is pruned, and changes with the next call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.gap_words import span_words
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.models import AuditEvent, Membership, Organization


def summaries_of(
    organization: Organization, incidents: Iterable[Incident], reader: Membership | None
) -> dict[UUID, str]:
    """By incident, of those that are over. Who is limited to some rows reads no numbers: they
    count the rows of all. One query, and none without such an incident."""
    over = [incident for incident in incidents if incident.closed_at is not None]
    is_limited = reader is not None and reader.is_limited
    told = {} if is_limited or not over else _told(organization, over)
    return {incident.pk: _words(incident, told.get(incident.pk, {})) for incident in over}


def _told(organization: Organization, incidents: list[Incident]) -> dict[UUID, dict[str, Any]]:
    events = AuditEvent.objects.for_organization(organization).filter(
        at__gte=min(incident.opened_at for incident in incidents),
        code="incident_closed",
        subject_id__in=[incident.pk for incident in incidents],
    )
    return dict(events.values_list("subject_id", "details"))


def _words(incident: Incident, facts: dict[str, Any]) -> str:
    times = span_words(incident.opened_at, incident.closed_at)
    met = _met(facts.get("rows", 0), facts.get("ads_consents", 0))
    return " ".join(filter(None, (times, met, _refused_still(facts.get("doubted", 0)))))


def _refused_still(doubted: int) -> str:
    words = ngettext(
        "Amazon refused %(count)d of these consents until then: we ask again within half an hour, "
        "and tell you if it stays so.",
        "Amazon refused %(count)d of these consents until then: we ask again within half an hour, "
        "and tell you which stay so.",
        doubted,
    )
    return words % {"count": doubted} if doubted else ""


def _met(rows: int, ads_consents: int) -> str:
    found = []
    if rows:
        words = ngettext("%(count)d connection", "%(count)d connections", rows)
        found.append(words % {"count": rows})
    if ads_consents:
        words = ngettext(
            "%(count)d Amazon Ads consent", "%(count)d Amazon Ads consents", ads_consents
        )
        found.append(words % {"count": ads_consents})
    if not found:
        return ""
    return _("It met %(what)s of yours.") % {"what": get_text_list(found, _("and"))}
