"""The group *Support* sees incidents of Amazon's, and opens and closes them by hand.

Django makes the rows of permissions only after all migrations, so those needed are made here.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

PERMISSIONS = {
    "view_incident": "Can view incident",
    "open_incident": "Can open an incident",
    "close_incident": "Can close an incident",
}


def add(apps: Any, schema_editor: Any) -> None:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Support")
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="jobs", model="incident"
    )
    for codename, name in PERMISSIONS.items():
        permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        group.permissions.add(permission)


def remove(apps: Any, schema_editor: Any) -> None:
    permissions = apps.get_model("auth", "Permission").objects
    permissions.filter(
        content_type__app_label="jobs",
        content_type__model="incident",
        codename__in=list(PERMISSIONS),
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0013_renewal_of_data_keys"),
        ("organizations", "0003_support_group"),
        ("jobs", "0006_incident_permissions"),
    ]
    operations = [migrations.RunPython(add, remove)]
