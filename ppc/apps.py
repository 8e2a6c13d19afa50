from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class PpcConfig(AppConfig):
    name = "ppc"

    def ready(self) -> None:
        import_module("ppc.work")  # names the kinds of background work this app does
