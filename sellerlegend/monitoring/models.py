"""What processes counted, added up where every process can read it."""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """One time series: a metric's name, its labels as JSON, and the sum or the last value.

    A table and not files of one machine: web and workers run in containers of their own, and a
    scrape of any web process then tells the truth of all of them.
    """

    name = models.CharField(max_length=80)
    labels = models.CharField(max_length=300)
    value = models.FloatField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "labels"], name="tally_once_per_series")
        ]

    def __str__(self) -> str:
        return f"{self.name}{self.labels}"
