"""Every route of the product. `tests/architecture/test_every_url.py` declares each one again."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("sellerlegend.organizations.urls")),
    path("", include("connections.urls")),
    path("", include("marketplaces.urls")),
    path("", include("ppc.urls")),
    path("", include("sellerlegend.monitoring.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "sellerlegend.errors.bad_request"
handler403 = "sellerlegend.errors.permission_denied"
handler404 = "sellerlegend.errors.page_not_found"
handler500 = "sellerlegend.errors.server_error"
