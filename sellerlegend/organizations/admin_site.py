"""The staff site: Django's admin, looking across organizations on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.checked_admin import CheckedLists
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.organizations.step_up import changes_want_proof

# Packages register these by themselves; their pages would show secrets of people.
NEVER_SHOWN = frozenset(
    {"account.emailconfirmation", "mfa.authenticator", "usersessions.usersession"}
)
# The first two answer for any table one names.
UNUSED = frozenset({"autocomplete", "view_on_site", "password_change_done"})


def checked(admin_class: Any) -> Any:
    """A package's own pages answer crafted input as ours do."""
    if admin_class is None or issubclass(admin_class, CheckedLists):
        return admin_class or CheckedLists
    return type(admin_class.__name__, (CheckedLists, admin_class), {})


class StaffSite(admin.AdminSite):
    site_header = _("SellerLegend staff")
    site_title = _("SellerLegend staff")
    index_title = _("States of connections")

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: Any = None,
        **options: Any,
    ) -> None:
        wanted = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        shown = [model for model in wanted if model._meta.label_lower not in NEVER_SHOWN]
        super().register(shown, checked(admin_class), **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Without pages that nothing here uses."""
        return [page for page in super().get_urls() if getattr(page, "name", "") not in UNUSED]

    # Passwords have one door: Django's own pages would take any number of guesses.

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Staff sign in where everybody does: one rate limit, and their second factor."""
        return secure_admin_login(lambda _request: redirect("admin:index"))(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Where everybody changes theirs: one rate limit, and a mail that says so."""
        return redirect("account_change_password")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Every change wants a fresh proof, as on everybody's pages; leaving does not."""
        guarded = view if view == self.logout else changes_want_proof(view)
        inner = super().admin_view(guarded, cacheable)

        def across(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with across_organizations("staff admin"):
                response = inner(request, *args, **kwargs)
                # A lazy response would run its queries after the block.
                if isinstance(response, TemplateResponse) and not response.is_rendered:
                    response.render()
                return response

        return across
