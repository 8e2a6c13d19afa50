from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class MarketplacesConfig(AppConfig):
    name = "marketplaces"

    def ready(self) -> None:
        import_module("marketplaces.work")  # names the kinds of background work this app does
