from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Trips that began at Amazon are told from those that began here."""

    dependencies = [("connections", "0007_capabilities_and_data_sets")]

    operations = [
        migrations.AddField(
            model_name="authorizationrequest",
            name="starts_at_amazon",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
