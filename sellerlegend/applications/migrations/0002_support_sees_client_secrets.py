"""The group *Support* may look at our client secrets: fingerprints, dates and counts.

Django makes the rows of permissions only after all migrations, so the one needed is made here.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

MODEL = "clientsecret"


def add(apps: Any, schema_editor: Any) -> None:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Support")
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="applications", model=MODEL
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename=f"view_{MODEL}",
        defaults={"name": "Can view client secret"},
    )
    group.permissions.add(permission)


def remove(apps: Any, schema_editor: Any) -> None:
    permissions = apps.get_model("auth", "Permission").objects
    permissions.filter(content_type__app_label="applications").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("applications", "0001_initial"),
        ("organizations", "0003_support_group"),
    ]
    operations = [migrations.RunPython(add, remove)]
