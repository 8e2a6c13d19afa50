"""Facts that come later, or never, may be blank in a form. No column changes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("connections", "0011_calendar_feeds"),
    ]

    operations = [
        migrations.AlterField(
            model_name="connection",
            name="account_confirmed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="connection",
            name="mws_auth_token_updated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="connection",
            name="participations_read_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="connection",
            name="seller_proved_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
