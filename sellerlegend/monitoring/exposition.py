"""What Prometheus reads: gauges counted from the rows now, counters that processes added up.

Every label comes from a closed set. No organization, person, seller or row is named.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sellerlegend.monitoring import gauges
from sellerlegend.monitoring.models import Tally
from sellerlegend.tallies import BOUND

PREFIX = "sellerlegend_"


@dataclass(frozen=True)
class Counted:
    """A counter or histogram that processes feed by `sellerlegend.tallies`."""

    name: str
    meaning: str
    labels: tuple[str, ...]


COUNTERS = (
    Counted("amazon_answers", "Answers of Amazon by class of status", ("operation", "status")),
    Counted("repetitions", "Calls of Amazon that repeat one without an answer", ("part",)),
    Counted("repetitions_held", "Repetitions that were put off: too many failed", ("part",)),
    Counted("refreshes", "Refreshes of access tokens by what came of them", ("kind", "result")),
    Counted("bells_not_heard", "Messages that no broker took; the sweep finds the job", ("queue",)),
    Counted("requests", "Pages answered, by route and class of status", ("route", "status")),
    Counted("rate_refusals", "Requests refused because there were too many", ("limit",)),
)
HISTOGRAMS = (
    Counted("amazon_call_seconds", "Time that calls to Amazon took", ("operation",)),
    Counted("request_seconds", "Time that pages took", ()),
)
LATEST = (Counted("amazon_clock_skew_seconds", "Amazon's clock minus ours, last seen", ()),)

Rows = dict[str, list[tuple[dict[str, str], float]]]


def exposition() -> str:
    """Prometheus' text format. Raises django.db.Error."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Everything())
    return generate_latest(registry).decode()


class Everything(Collector):
    def collect(self) -> Iterable[Metric]:
        yield from gauges.collect()
        rows = tallies_of_all()
        yield from (counter(spec, rows[f"{spec.name}"]) for spec in COUNTERS)
        yield from (histogram(spec, rows) for spec in HISTOGRAMS)
        yield from (latest(spec, rows[spec.name]) for spec in LATEST)


def tallies_of_all() -> Rows:
    rows: defaultdict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for name, labels, value in Tally.objects.values_list("name", "labels", "value"):
        rows[name].append((json.loads(labels), value))
    return rows


def counter(spec: Counted, rows: list[tuple[dict[str, str], float]]) -> Metric:
    family = CounterMetricFamily(PREFIX + spec.name, spec.meaning, labels=spec.labels)
    for labels, value in rows:
        family.add_metric(values(spec, labels), value)
    return family


def latest(spec: Counted, rows: list[tuple[dict[str, str], float]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + spec.name, spec.meaning, labels=spec.labels)
    for labels, value in rows:
        family.add_metric(values(spec, labels), value)
    return family


def histogram(spec: Counted, rows: Rows) -> Metric:
    family = HistogramMetricFamily(PREFIX + spec.name, spec.meaning, labels=spec.labels)
    buckets: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for labels, value in rows.get(f"{spec.name}_bucket", []):
        buckets[values(spec, labels)][labels[BOUND]] = value
    sums = {values(spec, labels): value for labels, value in rows.get(f"{spec.name}_sum", [])}
    for series, counts in buckets.items():
        family.add_metric(series, list(cumulated(counts)), sums.get(series, 0.0))
    return family


def cumulated(counts: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Prometheus' buckets hold all that is smaller as well."""
    total = 0.0
    for bound in sorted({*counts, "+Inf"}, key=float):
        total += counts.get(bound, 0.0)
        yield bound, total


def values(spec: Counted, labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in spec.labels)


def metric_names() -> set[str]:
    """Every name that a rule or a dashboard may use."""
    names = {PREFIX + spec.name for spec in (*gauges.GAUGES, *LATEST)}
    names |= {f"{PREFIX}{spec.name}_total" for spec in COUNTERS}
    for spec in HISTOGRAMS:
        names |= {f"{PREFIX}{spec.name}_{end}" for end in ("bucket", "sum", "count")}
    return names
