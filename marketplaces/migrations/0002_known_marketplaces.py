"""The 23 marketplaces of Amazon's list. Later ones arrive by later migrations."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from sellerlegend.amazon.regions import MARKETPLACES


def add(apps: Any, schema_editor: Any) -> None:
    model = apps.get_model("marketplaces", "Marketplace")
    model.objects.bulk_create(
        [
            model(
                marketplace_id=entry.marketplace_id,
                name=entry.name,
                country_code=entry.country_code,
                region=entry.region.value,
                has_ads=entry.has_ads,
            )
            for entry in MARKETPLACES.values()
        ]
    )


def remove(apps: Any, schema_editor: Any) -> None:
    apps.get_model("marketplaces", "Marketplace").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("marketplaces", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
