from __future__ import annotations

from django.urls import path

from ppc import ending_views, views

LIST = "o/<slug:slug>/connections/"
ROW = f"{LIST}<uuid:connection_id>/"

urlpatterns = [
    path("o/<slug:slug>/connections/check", views.connections_check, name="connections_check"),
    path(
        f"{LIST}check/<uuid:batch>",
        views.connections_check_result,
        name="connections_check_result",
    ),
    path(f"{ROW}check", views.connection_check, name="connection_check"),
    path(f"{ROW}disconnect", views.connection_disconnect, name="connection_disconnect"),
    path(f"{ROW}proof", ending_views.disconnect_proof, name="disconnect_proof"),
    path(f"{ROW}remove", ending_views.connection_remove, name="connection_remove"),
    path(f"{ROW}restore", ending_views.connection_restore, name="connection_restore"),
    path(f"{LIST}removed", ending_views.removed_connections, name="removed_connections"),
    path(f"{ROW}ppc", views.ppc_connect, name="ppc_connect"),
    path(f"{ROW}ppc/<uuid:account_id>/retry", views.ppc_retry, name="ppc_retry"),
]
