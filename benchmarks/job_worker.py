"""`celery --app benchmarks.job_worker`: the product's worker with work that is instant."""

from __future__ import annotations

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from collections.abc import Sequence  # settings had to come first

from sellerlegend.celery import app  # same
from sellerlegend.jobs import ledger  # same
from sellerlegend.jobs.ledger import Claim, Kind  # same
from sellerlegend.jobs.models import Job  # same

__all__ = ["KIND", "app"]

KIND = "benchmarks.instant"


def finish(claim: Claim) -> None:
    with claim.finishing():
        pass


def finish_many(claims: Sequence[Claim]) -> None:
    with ledger.finishing_many(claims):
        pass


def nothing(_job: Job) -> None:
    """No screen shows this work, and nobody gives it up."""


ledger.register(Kind(name=KIND, run=finish, changed=nothing, give_up=nothing, run_many=finish_many))
