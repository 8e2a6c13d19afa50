"""What this app looks after at every sweep, and what it counts for the first-run page."""

from __future__ import annotations

from connections import (
    aftermath,
    client_link_mails,
    client_links,
    client_reminders,
    client_silence,
    imported_tokens,
    notice_mails,
    notice_sending,
    notices,
    repeated_refusals,
    services,
)
from sellerlegend.jobs import budgets, incident_counts, incident_watch, incidents, ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import custody, quarantine, setup, staff_notices

ledger.register_sweeper(services.sweep_abandoned)
ledger.register_sweeper(imported_tokens.sweep_overdue)
ledger.register_sweeper(custody.remember_keys)
ledger.register_sweeper(quarantine.beat)
ledger.register_sweeper(incident_watch.look)
ledger.register_sweeper(incidents.tell_of_those_left_open)
ledger.register_sweeper(staff_notices.send_due)
incident_counts.register_repeats(repeated_refusals.repeats)
incident_counts.register_doubts(repeated_refusals.in_doubt)
incidents.register_listener(aftermath.show)
incidents.register_listener(notices.tell_of_incident)
setup.count_sellers_with(services.count_sellers)


def show_nothing(_job: Job) -> None:
    """No row of the screen looks different."""


ledger.register(
    ledger.Kind(
        name=notice_mails.MAIL,
        run=budgets.watched(notice_sending.send),
        changed=show_nothing,
        give_up=notice_sending.given_up,
        queue="background",
    )
)
ledger.register_sweeper(notices.derive_in_turn)
ledger.register_sweeper(notice_mails.plan_mails)
ledger.register(
    ledger.Kind(
        name=client_links.MAIL,
        run=budgets.watched(client_link_mails.send),
        changed=client_link_mails.show_rows,
        give_up=client_link_mails.given_up,
        queue="background",
    )
)
ledger.register(
    ledger.Kind(
        name=client_links.MAIL_IN_TURN,
        run=budgets.watched(client_link_mails.send_in_turn),
        changed=client_link_mails.show_rows,
        give_up=client_link_mails.given_up,
        queue="background",
    )
)
ledger.register_sweeper(client_links.end_overdue)
ledger.register_sweeper(client_reminders.ask_in_turn)
ledger.register_sweeper(client_silence.look_in_turn)
