"""What each event of the record is called in a row's story, and which are told nobody there."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise

# (words, icon, tone). Words may hold details named in SHOWN.
CODES: dict[str, tuple[Words, str, str]] = {
    # The row
    "connection_created": (_("Connection added"), "plus", "neutral"),
    "connection_renamed": (_("Renamed from “%(old)s” to “%(new)s”"), "info", "neutral"),
    "connection_confirmed": (_("Confirmed that it is the right store"), "check", "success"),
    "connection_undone": (_("Undone: not the right store"), "minus", "neutral"),
    "connection_grouped": (
        _("Assigned to a client, or given tags, by a file"),
        "link",
        "neutral",
    ),
    "connection_merged": (_("Joined with the row of the same seller"), "link", "neutral"),
    "connection_disconnected": (_("Disconnected"), "minus", "neutral"),
    "connection_removed": (_("Connection removed"), "minus", "neutral"),
    # Groups
    "connection_tagged": (_("Tags set to: %(new)s"), "info", "neutral"),
    "connection_tag_added": (_("Tagged “%(new)s”"), "info", "neutral"),
    "connection_tag_removed": (_("Tag “%(old)s” taken off"), "info", "neutral"),
    "connection_client_set": (_("Given to the client “%(new)s”"), "info", "neutral"),
    "connection_client_taken": (_("Belongs to no client any more"), "info", "neutral"),
    # Trips to Amazon
    "authorization_opened": (_("Set out to Amazon for a consent"), "external", "neutral"),
    "authorization_request_consumed": (_("Came back from Amazon"), "external", "neutral"),
    "authorization_request_expired": (
        _("A trip to Amazon ended without a return"),
        "clock",
        "neutral",
    ),
    "authorization_ended": (_("A trip to Amazon was completed"), "external", "neutral"),
    "authorization_refused": (_("A return from Amazon was not accepted"), "alert", "warning"),
    # Links for people without a login
    "client_link_made": (_("A link for the client was made"), "link", "neutral"),
    "client_link_sent": (_("The link was sent to the client"), "mail", "neutral"),
    "client_link_opened": (
        _("The client's link was opened, by the client or by a mail scanner"),
        "search",
        "neutral",
    ),
    "client_link_left": (_("The client set out to Amazon"), "external", "neutral"),
    "client_link_failed": (_("The client's link did not work yet"), "alert", "warning"),
    "client_link_consented": (
        _("The client gave the consent by link"),
        "check-circle",
        "success",
    ),
    "client_link_declined": (
        _("The recipient of a link does not know the request"),
        "stop",
        "warning",
    ),
    "client_link_expired": (_("A link for the client expired"), "clock", "neutral"),
    "client_link_revoked": (_("A link for the client was ended"), "minus", "neutral"),
    # Selling Partner
    "spapi_grant_stored": (_("First consent of Selling Partner"), "key", "success"),
    "imported_token_waiting": (
        _("A refresh token from another tool was confirmed"),
        "key",
        "neutral",
    ),
    "imported_token_stored": (
        _("A refresh token from another tool was imported"),
        "key",
        "success",
    ),
    "imported_token_refused": (
        _("A refresh token from another tool was not imported"),
        "alert",
        "warning",
    ),
    "imported_token_left": (
        _("A refresh token from another tool was left out and destroyed"),
        "minus",
        "neutral",
    ),
    "spapi_grant_active": (
        _("The consent of Selling Partner is in order"),
        "check-circle",
        "success",
    ),
    "spapi_grant_doubted": (
        _("Amazon refused the consent of Selling Partner; we ask again"),
        "progress",
        "warning",
    ),
    "spapi_grant_invalid": (
        _("The consent of Selling Partner is no longer used"),
        "stop",
        "danger",
    ),
    "spapi_grant_disconnected": (
        _("The consent of Selling Partner was ended, its token destroyed"),
        "minus",
        "neutral",
    ),
    "spapi_grant_token_erased": (
        _("The token of an ended consent of Selling Partner was erased"),
        "minus",
        "neutral",
    ),
    # Amazon Ads
    "ads_grant_stored": (_("Consent of Amazon Ads given"), "key", "success"),
    "ads_grant_active": (_("The consent of Amazon Ads is in order"), "check-circle", "success"),
    "ads_grant_doubted": (
        _("Amazon refused the consent of Amazon Ads; we ask again"),
        "progress",
        "warning",
    ),
    "ads_grant_invalid": (_("The consent of Amazon Ads is no longer used"), "stop", "danger"),
    "ads_grant_disconnected": (
        _("The consent of Amazon Ads was ended, its token destroyed"),
        "minus",
        "neutral",
    ),
    "ads_grant_token_erased": (
        _("The token of an ended consent of Amazon Ads was erased"),
        "minus",
        "neutral",
    ),
    "ads_profiles_read": (_("Amazon Ads profiles read"), "check", "neutral"),
    "ads_profiles_failed": (
        _("Amazon Ads profiles could not be read"),
        "alert",
        "warning",
    ),
    "vault_locked": (_("A stored consent could not be opened"), "stop", "danger"),
    # Marketplaces and links
    "participations_read": (_("Marketplaces read from Amazon"), "check", "neutral"),
    "participations_partial": (
        _("A part of Amazon's list of marketplaces could not be read"),
        "alert",
        "warning",
    ),
    "participations_failed": (_("The marketplaces could not be read"), "alert", "warning"),
    "onboarding_pending": (_("A marketplace was set back to pending"), "dashed", "neutral"),
    "onboarding_working": (_("Onboarding of a marketplace began"), "progress", "progress"),
    "onboarding_onboarded": (_("A marketplace was onboarded"), "check-circle", "success"),
    "onboarding_needs_attention": (
        _("Onboarding of a marketplace needs somebody"),
        "alert",
        "warning",
    ),
    "onboarding_paused": (_("A marketplace was paused"), "pause", "neutral"),
    "ppc_link_pending": (_("An Ads link was set back to pending"), "dashed", "neutral"),
    "ppc_link_working": (_("Linking an Ads profile began"), "progress", "progress"),
    "ppc_link_linked": (_("An Ads profile was linked"), "check-circle", "success"),
    "ppc_link_needs_attention": (_("An Ads link needs somebody"), "alert", "warning"),
    "ppc_link_unlinked": (_("An Ads profile was unlinked"), "minus", "neutral"),
    # The life of a consent
    "check_requested": (_("Asked Amazon whether all is well"), "search", "neutral"),
    "seller_confirmed": (_("Amazon confirmed the Seller ID"), "check-circle", "success"),
    "access_gap": (
        _("Access came back after a gap"),
        "info",
        "neutral",
    ),
    "capability_missing": (_("A permission turned out to be missing"), "key", "warning"),
    "capability_granted": (_("A missing permission is there again"), "key", "success"),
    "marketplace_added": (_("The seller joined a marketplace"), "plus", "success"),
    "marketplace_lost": (_("The seller left a marketplace"), "minus", "warning"),
    "connection_restored": (_("Connection restored"), "check", "success"),
    "data_set_reported": (_("An importer reported how far it is"), "progress", "neutral"),
    "amazon_failing": (_("Amazon did not answer as it should"), "alert", "warning"),
    "amazon_answers": (_("Amazon answers again"), "check-circle", "success"),
    "incident_passed": (_("A problem at Amazon has passed"), "check-circle", "success"),
    "notice_made": (_("A notice was written"), "mail", "neutral"),
    "notice_acknowledged": (_("A notice was acknowledged"), "check", "neutral"),
    # Support
    "resync_requested": (_("Asked Amazon for everything again"), "progress", "neutral"),
    "retry_requested": (_("Repeated what had failed"), "progress", "neutral"),
    "staff_looked": (_("Looked at this connection"), "search", "neutral"),
}

# What staff do to the installation, to people and organizations: no part of a row's story, and
# never listed here even if it came to carry a connection.
NOT_FOR_TENANTS = frozenset(
    {
        "application_role_added",
        "calendar_feed_ended",
        "calendar_feed_made",
        "check_left_out",
        "client_list_confirmed",
        "client_changed",
        "client_created",
        "client_deleted",
        "client_reminders_off",
        "client_reminders_on",
        "client_secret_dated",
        "client_secret_rotated",
        "client_secret_rotation_requested",
        "client_secret_stored",
        "client_secrets_rewrapped",
        "connections_exported",
        "data_key_renewed",
        "data_key_rewrapped",
        "data_keys_renewal_began",
        "data_keys_renewal_ended",
        "encryption_key_retired",
        "erased",
        "incident_closed",
        "incident_opened",
        "login_deleted",
        "invitation_accepted",
        "invitation_resent",
        "invitation_revoked",
        "invitation_sent",
        "marketplace_supported",
        "marketplace_unsupported",
        "member_left",
        "member_reach_changed",
        "member_removed",
        "member_role_changed",
        "notice_mail_dropped",
        "notice_mail_failed",
        "notice_mail_sent",
        "organization_created",
        "organization_deleted",
        "organization_renamed",
        "ownership_transferred",
        "person_changed",
        "pruned",
        # A person's own working list: what it did to a row is told by the trips.
        "reconnect_item_at_amazon",
        "reconnect_item_failed",
        "reconnect_item_linked",
        "reconnect_item_not_needed",
        "reconnect_item_reconnected",
        "reconnect_item_skipped",
        "reconnect_item_waiting",
        "reconnect_queue_filled",
        "reconnect_queue_finished",
        "quarantine_began",
        "quarantine_released",
        "tag_created",
        "tag_deleted",
        "tag_renamed",
        "test_mail_sent",
        "token_file_confirmed",
        "token_file_read",
        "view_deleted",
        "view_renamed",
        "view_saved",
    }
)

# Details that are the organization's own words.
SHOWN = ("old", "new")
