from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0012_staff_notices"),
    ]

    operations = [
        migrations.AddField(
            model_name="installationstate",
            name="renewal_began_at",
            field=models.DateTimeField(null=True),
        ),
        # Empty for what is there: nobody wrote down when those data keys were born.
        migrations.AddField(
            model_name="organization",
            name="data_key_born_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="organization",
            name="data_key_born_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, editable=False, null=True
            ),
        ),
    ]
