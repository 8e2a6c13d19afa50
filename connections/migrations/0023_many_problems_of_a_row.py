from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("connections", "0022_consents_of_clients"),
    ]

    operations = [
        migrations.AlterField(
            model_name="importedtoken",
            name="outcome",
            field=models.CharField(blank=True, default="", max_length=100),
        ),
    ]
