from __future__ import annotations

from django.conf import settings
from django.urls import path, re_path

from connections import (
    arrivals,
    authoriser_views,
    bulk_views,
    calendar_views,
    client_link_maker_views,
    client_link_views,
    client_list_invite_views,
    client_list_views,
    client_pages,
    doors,
    export_views,
    gallery,
    grouping_views,
    help_pages,
    import_views,
    list_views,
    notification_views,
    picture_views,
    queue_link_views,
    queue_views,
    views,
)

ROW = "o/<slug:slug>/connections/<uuid:connection_id>/"
NOTIFICATIONS = "o/<slug:slug>/notifications"
IMPORT = "o/<slug:slug>/connections/import/"
CALENDAR = "o/<slug:slug>/calendar"
LIST = "o/<slug:slug>/connections/"
GROUPS = "o/<slug:slug>/groups"
VIEWS = f"{LIST}views"
QUEUE = "o/<slug:slug>/reconnect-queue"
CLIENT_LINKS = "o/<slug:slug>/client-links"

urlpatterns = [
    path("o/<slug:slug>/connections/", views.account_connections, name="account_connections"),
    path("o/<slug:slug>/connections.json", list_views.connections_json, name="connections_json"),
    path("o/<slug:slug>/connections/changes", views.connection_changes, name="connection_changes"),
    path(
        "o/<slug:slug>/connections/export",
        export_views.connections_export,
        name="connections_export",
    ),
    path(f"{IMPORT}clients", client_list_views.client_list_new, name="client_list_new"),
    path(f"{IMPORT}clients/<uuid:list_id>", client_list_views.client_list, name="client_list"),
    path(
        f"{IMPORT}clients/<uuid:list_id>/invite",
        client_list_invite_views.client_list_invite,
        name="client_list_invite",
    ),
    path(f"{IMPORT}tokens", import_views.token_import_new, name="token_import_new"),
    path(f"{IMPORT}tokens/<uuid:import_id>", import_views.token_import, name="token_import"),
    path("o/<slug:slug>/connections/new", views.connection_new, name="connection_new"),
    path(
        "o/<slug:slug>/connections/pictures",
        picture_views.connections_overview,
        name="connections_overview",
    ),
    path(ROW, views.connection_details, name="connection_details"),
    path(f"{ROW}timeline", views.connection_timeline, name="connection_timeline"),
    path(f"{ROW}authorize", views.connection_authorize, name="connection_authorize"),
    path(f"{ROW}authorize-as-new", views.connection_add_as_new, name="connection_add_as_new"),
    path(f"{ROW}rename", views.connection_rename, name="connection_rename"),
    path(f"{ROW}confirm", views.connection_confirm, name="connection_confirm"),
    path(f"{ROW}undo", views.connection_undo, name="connection_undo"),
    path(f"{ROW}refresh", views.connection_read_again, name="connection_read_again"),
    path(f"{ROW}another-region", views.connection_another_region, name="connection_another_region"),
    path("amazon/spapi/login", doors.spapi_login, name="spapi_login"),
    path("amazon/spapi/start/<slug:ticket>", doors.appstore_start, name="appstore_start"),
    path("amazon/spapi/callback", arrivals.spapi_callback, name="spapi_callback"),
    path("amazon/ads/callback", arrivals.ads_callback, name="ads_callback"),
    path(
        "amazon/outcome/<str:reference>",
        arrivals.authorization_outcome,
        name="authorization_outcome",
    ),
    path("help/errors", help_pages.error_catalogue, name="error_catalogue"),
    path("help/amazon-codes", help_pages.amazon_codes_page, name="amazon_codes"),
    path(NOTIFICATIONS, notification_views.notifications, name="notifications"),
    path(
        f"{NOTIFICATIONS}/test-mail",
        notification_views.notifications_test_mail,
        name="notifications_test_mail",
    ),
    path(
        f"{NOTIFICATIONS}/acknowledge",
        notification_views.notices_acknowledge,
        name="notices_acknowledge",
    ),
    path(
        f"{NOTIFICATIONS}/<uuid:notice_id>/snooze",
        notification_views.notice_snooze,
        name="notice_snooze",
    ),
    path(CALENDAR, calendar_views.renewal_calendar, name="renewal_calendar"),
    path(f"{CALENDAR}/link", calendar_views.calendar_feed_make, name="calendar_feed_make"),
    path(f"{CALENDAR}/link/end", calendar_views.calendar_feed_end, name="calendar_feed_end"),
    path(f"{LIST}filters", list_views.connection_filters, name="connection_filters"),
    path(f"{LIST}overview", list_views.connection_overview, name="connection_overview"),
    path(f"{LIST}tag", bulk_views.connections_tag, name="connections_tag"),
    path(f"{LIST}client", bulk_views.connections_client, name="connections_client"),
    path(VIEWS, list_views.saved_views_page, name="saved_views"),
    path(f"{VIEWS}/save", list_views.view_save, name="view_save"),
    path(f"{VIEWS}/rename", list_views.view_rename, name="view_rename"),
    path(f"{VIEWS}/delete", list_views.view_delete, name="view_delete"),
    path(f"{ROW}groups", grouping_views.connection_groups, name="connection_groups"),
    path(GROUPS, grouping_views.connection_groups_page, name="connection_groups_page"),
    path(f"{GROUPS}/tags/new", grouping_views.tag_new, name="tag_new"),
    path(f"{GROUPS}/tags/<int:tag_id>", grouping_views.tag_rename, name="tag_rename"),
    path(f"{GROUPS}/tags/<int:tag_id>/delete", grouping_views.tag_delete, name="tag_delete"),
    path(f"{GROUPS}/clients/new", grouping_views.client_new, name="client_new"),
    path(f"{GROUPS}/clients/<uuid:client_id>", grouping_views.client_change, name="client_change"),
    path(
        f"{GROUPS}/clients/<uuid:client_id>/delete",
        grouping_views.client_delete,
        name="client_delete",
    ),
    path("o/<slug:slug>/authorisers", authoriser_views.authorisers, name="authorisers"),
    path(QUEUE, queue_views.reconnect_queue, name="reconnect_queue"),
    path(f"{QUEUE}/add", queue_views.reconnect_queue_add, name="reconnect_queue_add"),
    path(f"{QUEUE}/open", queue_views.reconnect_queue_open, name="reconnect_queue_open"),
    path(f"{QUEUE}/skip", queue_views.reconnect_queue_skip, name="reconnect_queue_skip"),
    path(
        f"{QUEUE}/put-last", queue_views.reconnect_queue_put_last, name="reconnect_queue_put_last"
    ),
    path(f"{QUEUE}/take-up", queue_views.reconnect_queue_take_up, name="reconnect_queue_take_up"),
    path(f"{QUEUE}/send", queue_link_views.reconnect_queue_send, name="reconnect_queue_send"),
    path(f"{QUEUE}/finish", queue_views.reconnect_queue_finish, name="reconnect_queue_finish"),
    path("calendar/<str:token>.ics", calendar_views.calendar_feed, name="calendar_feed"),
    path(f"{ROW}ask-client", client_link_views.client_link_new, name="client_link_new"),
    path(CLIENT_LINKS, client_link_views.client_link_list, name="client_links"),
    path(
        f"{CLIENT_LINKS}/<uuid:link_id>/again",
        client_link_views.client_link_again,
        name="client_link_again",
    ),
    path(
        f"{CLIENT_LINKS}/<uuid:link_id>/revoke",
        client_link_views.client_link_revoke,
        name="client_link_revoke",
    ),
    path(
        f"{CLIENT_LINKS}/made-by/<uuid:person_id>",
        client_link_maker_views.client_links_of_person,
        name="client_links_of_person",
    ),
    path(
        f"{NOTIFICATIONS}/ask-clients",
        client_link_views.client_reminders_switch,
        name="client_reminders_switch",
    ),
    # Mail programs add a slash. The page answers as it is: no redirect carries the token about.
    re_path(r"^c/(?P<token>[^/]+)/?\Z", client_pages.client_link, name="client_link"),
    path("c/ended/<slug:reference>", client_pages.client_link_ended, name="client_link_ended"),
]

if settings.DEBUG:
    urlpatterns.append(path("components", gallery.components_page, name="components_page"))
