"""Which row an Ads consent was given for; of those before nobody knows.

PostgreSQL holds that it is a row of the same organization, as it does for links and profiles.
"""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

TABLE, NAME = "connections_adsgrant", "connections_adsgrant_asked_for_id_same_organization"


def add(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"ALTER TABLE {TABLE} ADD CONSTRAINT {NAME} "
            "FOREIGN KEY (organization_id, asked_for_id) "
            "REFERENCES connections_connection (organization_id, id) "
            "DEFERRABLE INITIALLY DEFERRED"
        )


def remove(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {NAME}")


class Migration(migrations.Migration):
    dependencies = [("connections", "0018_silent_clients")]

    operations = [
        migrations.AddField(
            model_name="adsgrant",
            name="asked_for",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="ads_grants_asked_for",
                to="connections.connection",
            ),
        ),
        migrations.RunPython(add, remove),
    ]
