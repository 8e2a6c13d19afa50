"""What the workers of `tests/test_rogues.py` can do besides the product's own work."""

from __future__ import annotations

import os
import signal
import time

from django.apps import AppConfig

INSTANT, SLOW, DEADLY = "tests.instant", "tests.slow", "tests.deadly"
SLOW_SECONDS = 0.3
LEASE_SECONDS = 3


class Rogues(AppConfig):
    name = "tests.rogues"
    label = "rogues"

    def ready(self) -> None:
        from sellerlegend.jobs import ledger  # needs the models
        from sellerlegend.jobs.ledger import Claim, Kind  # same

        def finish(claim: Claim) -> None:
            with claim.finishing():
                pass

        def dawdle(claim: Claim) -> None:
            time.sleep(SLOW_SECONDS)
            finish(claim)

        def crash(_claim: Claim) -> None:
            os.kill(os.getpid(), signal.SIGSEGV)

        for name, run in ((INSTANT, finish), (SLOW, dawdle), (DEADLY, crash)):
            ledger.register(
                Kind(
                    name=name,
                    run=run,
                    changed=lambda _job: None,
                    give_up=lambda _job: None,
                    lease_seconds=LEASE_SECONDS,
                )
            )
