"""The product's addresses, and the pages that only measuring needs."""

from __future__ import annotations

from django.urls import include, path

from benchmarks import pages, plain_consent, plain_list

urlpatterns = [
    path("bench/o/<slug:slug>/connections.json", plain_list.connections_json),
    path("bench/hello", pages.hello),
    path("bench/list", pages.list_part),
    path("bench/plain/callback", plain_consent.callback),
    path("bench/plain/<slug:slug>/<uuid:connection_id>", plain_consent.start),
    path("", include("sellerlegend.urls")),
]
