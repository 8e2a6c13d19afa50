"""Rows that join trees cannot cross organizations: composite foreign keys, on PostgreSQL.

SQLite, the embedded default, cannot add foreign keys to a table; there the services alone
hold the rule.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

KEYS = (
    # child table, column, parent table
    ("marketplaces_marketplaceaccount", "connection_id", "connections_connection"),
    ("ppc_adsprofile", "grant_id", "connections_adsgrant"),
    ("ppc_ppclink", "account_id", "marketplaces_marketplaceaccount"),
    ("ppc_ppclink", "profile_id", "ppc_adsprofile"),
)


def add(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for child, column, parent in KEYS:
        schema_editor.execute(
            f"ALTER TABLE {child} ADD CONSTRAINT {name_of(child, column)} "
            f"FOREIGN KEY (organization_id, {column}) REFERENCES {parent} (organization_id, id) "
            "DEFERRABLE INITIALLY DEFERRED"
        )


def remove(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for child, column, _ in KEYS:
        schema_editor.execute(f"ALTER TABLE {child} DROP CONSTRAINT {name_of(child, column)}")


def name_of(child: str, column: str) -> str:
    return f"{child}_{column}_same_organization"


class Migration(migrations.Migration):
    dependencies = [
        ("ppc", "0001_initial"),
        ("marketplaces", "0001_initial"),
        ("connections", "0001_initial"),
    ]
    operations = [migrations.RunPython(add, remove)]
