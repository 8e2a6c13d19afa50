"""The group *Support* sees links to clients, invitations, tags, clients, views, limits, queues and
files that people brought.

Django makes the rows of permissions only after all migrations, so those needed are made here.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

SEEN = {
    "organizations": {"invitation": "invitation"},
    "connections": {
        "clientlink": "client link",
        "clientreminders": "client reminders",
        "tag": "tag",
        "client": "client",
        "savedview": "saved view",
        "reach": "reach",
        "reconnectqueue": "reconnect queue",
        "reconnectitem": "reconnect item",
        "tokenimport": "token import",
        "importedtoken": "imported token",
        "clientlist": "client list",
    },
}


def add(apps: Any, schema_editor: Any) -> None:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Support")
    for app_label, models in SEEN.items():
        for model, words in models.items():
            content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
                app_label=app_label, model=model
            )
            permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
                content_type=content_type,
                codename=f"view_{model}",
                defaults={"name": f"Can view {words}"},
            )
            group.permissions.add(permission)


def remove(apps: Any, schema_editor: Any) -> None:
    """Back to what the group had; the permissions themselves are Django's."""
    group = apps.get_model("auth", "Group").objects.filter(name="Support").first()
    if group is None:
        return
    for app_label, models in SEEN.items():
        seen = group.permissions.filter(
            content_type__app_label=app_label, codename__in=[f"view_{model}" for model in models]
        )
        group.permissions.remove(*seen)


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0018_clients_act"),
        ("connections", "0017_sent_as_links"),
    ]
    operations = [migrations.RunPython(add, remove)]
