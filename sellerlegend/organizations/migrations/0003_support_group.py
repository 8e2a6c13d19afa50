"""The group *Support*: sees every state, may use the named actions, changes nothing by itself.

Django makes the rows of permissions only after all migrations, so those needed are made here;
it finds and keeps them.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

GROUP = "Support"
SEEN = {
    "organizations": ("user", "organization", "membership", "auditevent"),
    "jobs": ("job",),
    "connections": ("connection", "spapigrant", "adsgrant", "authorizationrequest"),
    "marketplaces": ("marketplace", "marketplaceaccount"),
    "ppc": ("adsprofile", "ppclink"),
}
ACTIONS = {
    "resync_connection": "Can re-sync",
    "retry_connection": "Can retry now",
    "require_reconnect_connection": "Can require a reconnect",
}


def add(apps: Any, schema_editor: Any) -> None:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=GROUP)
    for app_label, models in SEEN.items():
        for model in models:
            group.permissions.add(permission(apps, app_label, model, f"view_{model}"))
    for codename, name in ACTIONS.items():
        group.permissions.add(permission(apps, "connections", "connection", codename, name))


def permission(apps: Any, app_label: str, model: str, codename: str, name: str = "") -> Any:
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=model
    )
    row, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename=codename,
        defaults={"name": name or f"Can {codename.replace('_', ' ')}"},
    )
    return row


def remove(apps: Any, schema_editor: Any) -> None:
    apps.get_model("auth", "Group").objects.filter(name=GROUP).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0002_audit_events_stay"),
        ("jobs", "0001_initial"),
        ("connections", "0002_staff_permissions"),
        ("marketplaces", "0001_initial"),
        ("ppc", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(add, remove)]
