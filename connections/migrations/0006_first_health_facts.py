"""What is known of consents from before the facts were kept: when each was last refreshed."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models import F
from django.db.models.functions import Coalesce

BATCH = 1000


def note(apps: Any, schema_editor: Any) -> None:
    for name in ("SpApiGrant", "AdsGrant"):
        grants = apps.get_model("connections", name)._base_manager
        unknown = grants.filter(last_success_at=None).exclude(status="disconnected")
        while keys := list(unknown.values_list("pk", flat=True)[:BATCH]):
            last = Coalesce(F("last_refreshed_at"), F("authorized_at"))
            grants.filter(pk__in=keys).update(last_success_at=last)


class Migration(migrations.Migration):
    dependencies = [("connections", "0005_health_facts")]

    operations = [migrations.RunPython(note, migrations.RunPython.noop)]
