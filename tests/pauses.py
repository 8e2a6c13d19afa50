"""Breakers: the time for which a part of Amazon is left alone has passed."""

from __future__ import annotations

from django.utils import timezone

from sellerlegend.jobs import breakers
from sellerlegend.jobs.models import Breaker


def end_pauses() -> None:
    Breaker.objects.filter(open_until__isnull=False).update(
        open_until=timezone.now(), probe_until=None
    )
    breakers.forget()
