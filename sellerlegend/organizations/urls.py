from __future__ import annotations

from django.conf import settings
from django.urls import path

from sellerlegend.organizations import mail_views, staff_reference, views

urlpatterns = [
    path("", views.home, name="home"),
    path("organizations/new", views.organization_new, name="organization_new"),
    path("o/<slug:slug>/settings", views.organization_settings, name="organization_settings"),
    path("o/<slug:slug>/delete", views.organization_delete, name="organization_delete"),
    path("profile", views.profile, name="profile"),
    path("profile/delete", views.login_delete, name="login_delete"),
    path("security", views.security, name="security"),
    path("accounts/sessions/<int:pk>/end", views.session_end, name="session_end"),
    path("staff/setup", views.staff_setup, name="staff_setup"),
    path("staff/reference", staff_reference.staff_reference, name="staff_reference"),
    path("staff/test-mail", mail_views.staff_test_mail, name="staff_test_mail"),
]

if settings.DEBUG:
    urlpatterns.append(path("components", views.components_page, name="components_page"))
