"""What this app looks after at every sweep, and what it counts for the first-run page."""

from __future__ import annotations

from connections import aftermath, services
from sellerlegend.jobs import incident_watch, incidents, ledger
from sellerlegend.organizations import custody, quarantine, setup, staff_notices

ledger.register_sweeper(services.sweep_abandoned)
ledger.register_sweeper(custody.remember_keys)
ledger.register_sweeper(quarantine.beat)
ledger.register_sweeper(incident_watch.look)
ledger.register_sweeper(staff_notices.send_due)
incidents.register_listener(aftermath.show)
setup.count_sellers_with(services.count_sellers)
