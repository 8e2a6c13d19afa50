"""The permissions of the named actions of the staff pages."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("connections", "0001_initial")]
    operations = [
        migrations.AlterModelOptions(
            name="connection",
            options={
                "permissions": [
                    ("resync_connection", "Can re-sync"),
                    ("retry_connection", "Can retry now"),
                    ("require_reconnect_connection", "Can require a reconnect"),
                ]
            },
        )
    ]
