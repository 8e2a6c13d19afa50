from __future__ import annotations

from django.urls import path

from connections import (
    arrivals,
    calendar_views,
    client_link_views,
    client_pages,
    doors,
    help_pages,
    notification_views,
    views,
)

ROW = "o/<slug:slug>/connections/<uuid:connection_id>/"
NOTIFICATIONS = "o/<slug:slug>/notifications"
CALENDAR = "o/<slug:slug>/calendar"
CLIENT_LINKS = "o/<slug:slug>/client-links"

urlpatterns = [
    path("o/<slug:slug>/connections/", views.account_connections, name="account_connections"),
    path("o/<slug:slug>/connections/changes", views.connection_changes, name="connection_changes"),
    path("o/<slug:slug>/connections/new", views.connection_new, name="connection_new"),
    path(ROW, views.connection_details, name="connection_details"),
    path(f"{ROW}timeline", views.connection_timeline, name="connection_timeline"),
    path(f"{ROW}authorize", views.connection_authorize, name="connection_authorize"),
    path(f"{ROW}authorize-as-new", views.connection_add_as_new, name="connection_add_as_new"),
    path(f"{ROW}rename", views.connection_rename, name="connection_rename"),
    path(f"{ROW}remove", views.connection_remove, name="connection_remove"),
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
        f"{NOTIFICATIONS}/<uuid:notice_id>/acknowledge",
        notification_views.notice_acknowledge,
        name="notice_acknowledge",
    ),
    path(
        f"{NOTIFICATIONS}/<uuid:notice_id>/snooze",
        notification_views.notice_snooze,
        name="notice_snooze",
    ),
    path(CALENDAR, calendar_views.renewal_calendar, name="renewal_calendar"),
    path(f"{CALENDAR}/link", calendar_views.calendar_feed_make, name="calendar_feed_make"),
    path(f"{CALENDAR}/link/end", calendar_views.calendar_feed_end, name="calendar_feed_end"),
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
        f"{NOTIFICATIONS}/ask-clients",
        client_link_views.client_reminders_switch,
        name="client_reminders_switch",
    ),
    path("c/<str:token>", client_pages.client_link, name="client_link"),
    path("c/ended/<str:reference>", client_pages.client_link_ended, name="client_link_ended"),
]
