from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0019_support_and_links"),
    ]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="has_sleeping_limit",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
