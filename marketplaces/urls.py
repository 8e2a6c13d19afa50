from __future__ import annotations

from django.urls import path

from marketplaces import bulk_views, views

ROW = "o/<slug:slug>/connections/<uuid:connection_id>/"

urlpatterns = [
    path(
        "o/<slug:slug>/connections/onboard",
        bulk_views.marketplaces_onboard_many,
        name="marketplaces_onboard_many",
    ),
    path(f"{ROW}onboard", views.marketplaces_onboard, name="marketplaces_onboard"),
    path(
        f"{ROW}onboard/<uuid:account_id>/retry", views.marketplaces_retry, name="marketplaces_retry"
    ),
    path(
        f"{ROW}onboard/<uuid:account_id>/pause", views.marketplace_pause, name="marketplace_pause"
    ),
    path(
        f"{ROW}onboard/<uuid:account_id>/resume",
        views.marketplace_resume,
        name="marketplace_resume",
    ),
]
