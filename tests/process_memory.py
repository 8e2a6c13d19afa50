"""What a process remembers for a while: a test begins as a process that has just started.

Without this a test would see what an earlier one of the same process met (a refused secret, a
deaf broker), though its rows are gone from the database.
"""

from __future__ import annotations

from connections import incident_banner, token_cache
from sellerlegend import celery, shared_cache, tallies
from sellerlegend.amazon import lwa
from sellerlegend.applications import usage
from sellerlegend.applications.clients import forget_clients
from sellerlegend.jobs import breakers, budgets, incidents, outcomes
from sellerlegend.organizations import quarantine


def forget() -> None:
    shared_cache.listen_again()
    breakers.forget()
    budgets.forget()
    incident_banner.forget()
    incidents.forget()
    outcomes.forget()
    forget_clients()
    quarantine.forget()
    usage.TALLY.forget()
    tallies.take()
    lwa._set_aside.clear()
    token_cache._own.clear()
    celery._deaf_until.clear()
