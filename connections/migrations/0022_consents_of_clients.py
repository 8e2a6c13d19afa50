"""Which Selling Partner consents a client gave by a link; of those before, the name that they got or
the record of events says it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import migrations, models
from django.db.models import Exists, OuterRef, Q

BATCH = 1000
# The consent is dated when it is stored, and its event when that is written down.
CLOSE = timedelta(minutes=1)


def note(apps: Any, schema_editor: Any) -> None:
    events = apps.get_model("organizations", "AuditEvent")._base_manager.filter(
        actor_kind="client",
        code__in=["spapi_grant_stored", "spapi_grant_active"],
        connection_id=OuterRef("connection_id"),
        at__gt=OuterRef("authorized_at") - CLOSE,
        at__lt=OuterRef("authorized_at") + CLOSE,
    )
    grants = apps.get_model("connections", "SpApiGrant")._base_manager
    of_nobody = grants.filter(authorized_by=None, is_by_client=False)
    by_clients = of_nobody.filter(~Q(authorized_name="") | Exists(events))
    while keys := list(by_clients.values_list("pk", flat=True)[:BATCH]):
        grants.filter(pk__in=keys).update(is_by_client=True)


class Migration(migrations.Migration):
    dependencies = [
        ("connections", "0021_revocations_have_mails_of_their_own"),
        ("organizations", "0019_support_and_links"),
    ]

    operations = [
        migrations.AddField(
            model_name="spapigrant",
            name="is_by_client",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunPython(note, migrations.RunPython.noop),
    ]
