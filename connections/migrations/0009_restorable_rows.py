from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    """A removed row is hidden and can be restored; its name is free meanwhile."""

    dependencies = [("connections", "0008_appstore_starts")]

    operations = [
        migrations.AlterModelManagers(
            name="connection", managers=[("with_removed", models.Manager())]
        ),
        migrations.AlterModelOptions(
            name="connection",
            options={
                "default_manager_name": "with_removed",
                "permissions": [
                    ("resync_connection", "Can re-sync"),
                    ("retry_connection", "Can retry now"),
                    ("require_reconnect_connection", "Can require a reconnect"),
                ],
            },
        ),
        migrations.AddField(
            model_name="connection",
            name="removed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.RemoveConstraint(
            model_name="connection", name="connection_name_once_per_organization"
        ),
        migrations.AddConstraint(
            model_name="connection",
            constraint=models.UniqueConstraint(
                "organization",
                Lower("name"),
                condition=models.Q(("removed_at", None)),
                name="connection_name_once_per_organization",
            ),
        ),
    ]
