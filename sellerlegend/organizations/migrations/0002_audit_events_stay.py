"""Audit events cannot be changed, whoever writes the SQL. Deleting by age stays possible."""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLE = "organizations_auditevent"

FIXED = ("code", "at", "actor_kind", "subject_type", "subject_id", "connection_id", "reference")
COLUMNS = (*FIXED, "details")

# Foreign keys may be emptied when a person or an organization is deleted, never moved.
POSTGRESQL = f"""
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ({", ".join(f"NEW.{name}" for name in COLUMNS)}) IS DISTINCT FROM
       ({", ".join(f"OLD.{name}" for name in COLUMNS)})
       OR (NEW.organization_id IS NOT NULL
           AND NEW.organization_id IS DISTINCT FROM OLD.organization_id)
       OR (NEW.actor_id IS NOT NULL AND NEW.actor_id IS DISTINCT FROM OLD.actor_id) THEN
        RAISE EXCEPTION 'audit events are append-only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
"""

SQLITE = f"""
CREATE TRIGGER audit_append_only BEFORE UPDATE ON {TABLE}
WHEN {" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in COLUMNS)}
    OR (NEW.organization_id IS NOT NULL AND NEW.organization_id IS NOT OLD.organization_id)
    OR (NEW.actor_id IS NOT NULL AND NEW.actor_id IS NOT OLD.actor_id)
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
"""


def add(apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    schema_editor.execute(POSTGRESQL if vendor == "postgresql" else SQLITE)


def remove(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER audit_append_only ON {TABLE}")
        schema_editor.execute("DROP FUNCTION refuse_audit_change()")
    else:
        schema_editor.execute("DROP TRIGGER audit_append_only")


class Migration(migrations.Migration):
    dependencies = [("organizations", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
