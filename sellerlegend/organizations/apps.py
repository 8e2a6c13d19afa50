from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class OrganizationsConfig(AppConfig):
    name = "sellerlegend.organizations"
    label = "organizations"
    default = True

    def ready(self) -> None:
        import_module("sellerlegend.checks")  # registers the system checks
        import_module("sellerlegend.organizations.vault_checks")
        custody = import_module("sellerlegend.organizations.custody")
        second_secrets = import_module("sellerlegend.organizations.second_secrets")
        custody.count_keys_of("second steps", second_secrets.wrapped_data_keys)


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin with our site: it looks across organizations, loudly."""

    default = False
    default_site = "sellerlegend.organizations.admin_site.StaffSite"
