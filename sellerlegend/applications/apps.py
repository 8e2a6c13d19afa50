from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ApplicationsConfig(AppConfig):
    name = "sellerlegend.applications"
    label = "applications"

    def ready(self) -> None:
        import_module("sellerlegend.applications.work")  # what every sweep looks after
        import_module("sellerlegend.applications.checks")  # registers the system check
