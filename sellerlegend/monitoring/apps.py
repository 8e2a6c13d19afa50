from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "sellerlegend.monitoring"
    label = "monitoring"

    def ready(self) -> None:
        import_module("sellerlegend.monitoring.checks")
        import_module("sellerlegend.monitoring.flush")  # hears Celery's processes start and end
