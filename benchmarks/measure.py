"""CPU per call: callables take turns in one run, so that noise falls on all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Action = Callable[[], object]


@dataclass
class Sample:
    """CPU milliseconds of each call: our process, and PostgreSQL apart."""

    app: list[float] = field(default_factory=list)
    postgresql: list[float] = field(default_factory=list)

    @property
    def quiet(self) -> float:
        """The 5th percentile: what the work costs when nobody disturbs."""
        return percentile(self.app, 5)

    @property
    def median(self) -> float:
        return percentile(self.app, 50)

    @property
    def database(self) -> float:
        """Mean per call: the kernel accounts a backend's CPU in steps too coarse for one."""
        return sum(self.postgresql) / max(1, len(self.postgresql))


def percentile(values: list[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def calibration() -> float:
    """A fixed loop, in CPU milliseconds: how fast this machine is at this moment."""
    began = time.process_time()
    total = 0
    for number in range(200_000):
        total += number & 7
    return (time.process_time() - began) * 1_000


def interleave(
    actions: dict[str, Action],
    *,
    seconds: float,
    backend: Callable[[], int],
    least: int = 20,
    before: dict[str, Action] | None = None,
) -> dict[str, Sample]:
    """Let the actions take turns, in a new order each round, for about `seconds`.

    `before` names what is done, uncounted, before a call: emptying a cache for instance.
    `backend` is the process of PostgreSQL that serves the product.
    """
    before = before or {}
    samples = {name: Sample() for name in [*actions, "calibration"]}
    order = list(actions)
    for name in order * 3:  # warm caches, compiled templates, plans
        before.get(name, nothing)()
        actions[name]()
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < least or time.monotonic() < end:
        rounds += 1
        samples["calibration"].app.append(calibration())
        random.shuffle(order)
        for name in order:
            before.get(name, nothing)()
            one_call(actions[name], samples[name], backend())
    return samples


def nothing() -> None:
    """No preparation."""


def one_call(action: Action, sample: Sample, backend: int) -> None:
    database = cpu_of(backend)
    began = time.process_time()
    action()
    sample.app.append((time.process_time() - began) * 1_000)
    sample.postgresql.append((cpu_of(backend) - database) / 1e6)


def cpu_of(pid: int) -> int:
    """Nanoseconds of CPU that a process used, by its tasks. 0 where it is not on this machine.

    The kernel's Documentation/scheduler/sched-stats: the first number is time on a CPU.
    """
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)
