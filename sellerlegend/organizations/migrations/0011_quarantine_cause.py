from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0010_passwords_remembered"),
    ]

    operations = [
        migrations.AddField(
            model_name="installationstate",
            name="quarantine_cause",
            field=models.CharField(blank=True, db_default="", default="", max_length=30),
        ),
    ]
