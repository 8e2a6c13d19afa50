"""Second steps that stood in the clear are sealed; sessions whose cookies stood there end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import migrations

from sellerlegend.organizations import second_secrets


def seal(apps, schema_editor):
    rewrite(apps, second_secrets.seal)


def lay_open(apps, schema_editor):
    rewrite(apps, second_secrets.opened)


def rewrite(apps: Any, change: Callable[[str], str]) -> None:
    for row in apps.get_model("mfa", "Authenticator").objects.all():
        stored = {name: row.data[name] for name in second_secrets.SECRETS if name in row.data}
        if stored:
            row.data |= {name: change(text) for name, text in stored.items()}
            row.save(update_fields=["data"])


def end_sessions(apps, schema_editor):
    apps.get_model("usersessions", "UserSession").objects.all().delete()
    apps.get_model("sessions", "Session").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0008_vault_canary"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("sessions", "0001_initial"),
        ("usersessions", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(seal, lay_open),
        migrations.RunPython(end_sessions, migrations.RunPython.noop),
    ]
