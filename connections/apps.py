from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ConnectionsConfig(AppConfig):
    name = "connections"

    def ready(self) -> None:
        import_module("connections.checks")  # registers the system check
        import_module("connections.work")  # names the kinds of background work this app does
