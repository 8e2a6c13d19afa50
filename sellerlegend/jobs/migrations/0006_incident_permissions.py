"""The permissions of the named actions on incidents."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_incidents")]
    operations = [
        migrations.AlterModelOptions(
            name="incident",
            options={
                "permissions": [
                    ("open_incident", "Can open an incident"),
                    ("close_incident", "Can close an incident"),
                ]
            },
        )
    ]
