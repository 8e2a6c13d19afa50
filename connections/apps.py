from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from sellerlegend.alphabet import teach_sqlite


class ConnectionsConfig(AppConfig):
    name = "connections"

    def ready(self) -> None:
        connection_created.connect(teach_sqlite)
        import_module("connections.checks")  # registers the system check
        import_module("connections.work")  # names the kinds of background work this app does
