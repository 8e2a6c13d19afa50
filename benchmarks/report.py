"""Figures against goals, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.measure import Sample


@dataclass(frozen=True)
class Figure:
    """How often a sample costs its yardstick (the sum of some samples of the same run)."""

    name: str
    samples: dict[str, Sample]
    measured: str
    yardstick: tuple[str, ...]
    goal: float
    queries: int
    query_goal: int | None

    @property
    def ratio(self) -> float:
        return self.quiet / sum(self.samples[name].quiet for name in self.yardstick)

    @property
    def median_ratio(self) -> float:
        medians = sum(self.samples[name].median for name in self.yardstick)
        return self.samples[self.measured].median / medians

    @property
    def quiet(self) -> float:
        return self.samples[self.measured].quiet

    @property
    def is_reached(self) -> bool:
        few = self.query_goal is None or self.queries <= self.query_goal
        return self.ratio <= self.goal and few

    def line(self) -> str:
        sample = self.samples[self.measured]
        yard = sum(self.samples[name].quiet for name in self.yardstick)
        most = "" if self.query_goal is None else f" ≤ {self.query_goal}"
        return (
            f"{self.name:16} {sample.quiet:8.2f} {sample.median:8.2f} {sample.database:6.2f} "
            f"{' + '.join(self.yardstick):>22} {yard:8.2f} {self.ratio:6.2f} "
            f"{self.median_ratio:6.2f}  ≤ {self.goal:<5g} {self.queries:3d}{most:5} "
            f"{self.samples['calibration'].quiet:5.1f} {self.samples['calibration'].median:5.1f}  "
            f"{'reached' if self.is_reached else 'NOT REACHED'}"
        )


@dataclass(frozen=True)
class Rate:
    """How many a second, against a yardstick that takes turns with it: more is better."""

    name: str
    measured: float
    yardstick: float
    goal: float
    loop: float

    @property
    def is_reached(self) -> bool:
        return self.measured >= self.goal * self.yardstick

    def line(self) -> str:
        return (
            f"{self.name:16} {self.measured:8.0f}/s against {self.yardstick:6.0f}/s: "
            f"{self.measured / self.yardstick:5.1f} times, goal ≥ {self.goal:g} times, "
            f"loop {self.loop:.1f} ms  {'reached' if self.is_reached else 'NOT REACHED'}"
        )


@dataclass(frozen=True)
class Span:
    """How long many took at once, against the time in which they only wait; and our own CPU."""

    name: str
    seconds: float
    ideal: float
    goal: float
    cpu_ms: float
    cpu_goal: float
    loop: float

    @property
    def is_reached(self) -> bool:
        return self.seconds <= self.goal * self.ideal and self.cpu_ms <= self.cpu_goal

    def line(self) -> str:
        return (
            f"{self.name:16} {self.seconds:8.2f} s against {self.ideal:.2f} s: "
            f"{self.seconds / self.ideal:5.1f} times, goal ≤ {self.goal:g} times; "
            f"{self.cpu_ms:.2f} ms CPU each, goal ≤ {self.cpu_goal:g} ms; "
            f"loop {self.loop:.1f} ms  {'reached' if self.is_reached else 'NOT REACHED'}"
        )


@dataclass(frozen=True)
class Growth:
    """What the same work costs after something grew, both in units of one yardstick."""

    name: str
    words: str
    before: float
    after: float
    goal: float

    @property
    def is_reached(self) -> bool:
        return self.after <= self.goal * self.before

    def line(self) -> str:
        return (
            f"{self.name:16} {self.words:28} {self.before:6.2f} → {self.after:6.2f} hellos: "
            f"{self.after / self.before:5.2f} times, goal ≤ {self.goal:g} times  "
            f"{'reached' if self.is_reached else 'NOT REACHED'}"
        )


@dataclass(frozen=True)
class Spread:
    """Milliseconds of many answers: the middle one, and the slowest of a hundred."""

    name: str
    each_second: float
    middle: float
    slow: float
    goal: float

    @property
    def is_reached(self) -> bool:
        return self.slow <= self.goal * self.middle

    def line(self) -> str:
        return (
            f"{self.name:16} {self.each_second:6.0f}/s, p50 {self.middle:.0f} ms, "
            f"p99 {self.slow:.0f} ms: {self.slow / self.middle:4.1f} times, goal ≤ {self.goal:g} "
            f"times  {'reached' if self.is_reached else 'NOT REACHED'}"
        )


@dataclass(frozen=True)
class Exactly:
    """A number that must be this one."""

    name: str
    measured: int
    goal: int
    words: str

    @property
    def is_reached(self) -> bool:
        return self.measured == self.goal

    def line(self) -> str:
        verdict = "reached" if self.is_reached else "NOT REACHED"
        return f"{self.name:16} {self.measured} {self.words}; goal {self.goal}  {verdict}"


Line = Figure | Rate | Span | Growth | Spread | Exactly
HEADING = (
    f"{'':16} {'CPU ms':>8} {'':>8} {'PG':>6} {'':>22} {'':>8} {'times':>6} {'':>6}  "
    f"{'goal':7} {'queries':8} {'loop ms':>11}\n"
    f"{'':16} {'5th pct':>8} {'median':>8} {'mean':>6} {'yardstick':>22} {'5th pct':>8} "
    f"{'5th':>6} {'median':>6}  {'':7} {'':8} {'5th':>5} {'med':>5}"
)


@dataclass
class Report:
    figures: list[Line] = field(default_factory=list)

    def add(self, figure: Line) -> None:
        if isinstance(figure, Figure) and not any(isinstance(f, Figure) for f in self.figures):
            print(HEADING)
        self.figures.append(figure)
        print(figure.line(), flush=True)

    def same_text(self, name: str, difference: str, size: int) -> None:
        verdict = f"differs: {difference}" if difference else "is the product's"
        print(f"{name}: the floor's text ({size / 1_000:.0f} kB) {verdict}")

    def say(self, words: str) -> None:
        print(f"{'':16} {words}")

    @property
    def all_reached(self) -> bool:
        return all(figure.is_reached for figure in self.figures)
