from __future__ import annotations

from django.urls import path

from ppc import views

ROW = "o/<slug:slug>/connections/<uuid:connection_id>/"

urlpatterns = [
    path("o/<slug:slug>/connections/check", views.connections_check, name="connections_check"),
    path(f"{ROW}check", views.connection_check, name="connection_check"),
    path(f"{ROW}disconnect", views.connection_disconnect, name="connection_disconnect"),
    path(f"{ROW}ppc", views.ppc_connect, name="ppc_connect"),
    path(f"{ROW}ppc/<uuid:account_id>/retry", views.ppc_retry, name="ppc_retry"),
]
