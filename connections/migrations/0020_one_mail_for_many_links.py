from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("connections", "0019_ads_grant_asked_for")]

    operations = [
        migrations.AddField(
            model_name="clientlink",
            name="mail_id",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="clientlink",
            index=models.Index(fields=["mail_id"], name="client_links_by_mail"),
        ),
    ]
