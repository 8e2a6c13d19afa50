from __future__ import annotations

from django.urls import path

from connections import reach_views
from sellerlegend.organizations import (
    invitation_views,
    mail_views,
    people_views,
    staff_reference,
    views,
)

PEOPLE = "o/<slug:slug>/people"

urlpatterns = [
    path("", views.home, name="home"),
    path("organizations/new", views.organization_new, name="organization_new"),
    path("o/<slug:slug>/settings", views.organization_settings, name="organization_settings"),
    path("o/<slug:slug>/delete", views.organization_delete, name="organization_delete"),
    path(PEOPLE, people_views.people, name="people"),
    path(f"{PEOPLE}/invite", invitation_views.member_invite, name="member_invite"),
    path(
        f"{PEOPLE}/invitations/<uuid:invitation_id>/resend",
        invitation_views.invitation_resend,
        name="invitation_resend",
    ),
    path(
        f"{PEOPLE}/invitations/<uuid:invitation_id>/revoke",
        invitation_views.invitation_revoke,
        name="invitation_revoke",
    ),
    path(f"{PEOPLE}/leave", people_views.member_leave, name="member_leave"),
    path(f"{PEOPLE}/transfer", people_views.ownership_transfer, name="ownership_transfer"),
    path(f"{PEOPLE}/<uuid:member_id>/role", people_views.member_role, name="member_role"),
    path(f"{PEOPLE}/<uuid:member_id>/remove", people_views.member_remove, name="member_remove"),
    path(f"{PEOPLE}/<uuid:member_id>/reach", reach_views.member_reach, name="member_reach"),
    path("invitation", invitation_views.invitation, name="invitation"),
    path("invitation/accept", invitation_views.invitation_accept, name="invitation_accept"),
    path("invitation/<str:token>", invitation_views.invitation_link, name="invitation_link"),
    path("profile", views.profile, name="profile"),
    path("profile/delete", views.login_delete, name="login_delete"),
    path("security", views.security, name="security"),
    path("accounts/sessions/<int:pk>/end", views.session_end, name="session_end"),
    path("staff/setup", views.staff_setup, name="staff_setup"),
    path("staff/reference", staff_reference.staff_reference, name="staff_reference"),
    path("staff/test-mail", mail_views.staff_test_mail, name="staff_test_mail"),
]
