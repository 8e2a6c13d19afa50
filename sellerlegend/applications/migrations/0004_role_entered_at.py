"""When staff wrote a role down, which may be long after our application got it."""

from __future__ import annotations

from typing import Any

import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models
from django.db.models import F


def remember_as_added(apps: Any, _schema_editor: Any) -> None:
    """Nobody knows when they were written down: no news of today."""
    apps.get_model("applications", "ApplicationRole").objects.update(entered_at=F("added_at"))


class Migration(migrations.Migration):
    dependencies = [("applications", "0003_application_roles")]

    operations = [
        migrations.AddField(
            model_name="applicationrole",
            name="entered_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                default=django.utils.timezone.now,
                editable=False,
            ),
        ),
        migrations.RunPython(remember_as_added, migrations.RunPython.noop),
    ]
