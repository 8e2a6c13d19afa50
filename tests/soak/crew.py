"""The staff under the nemesis: processes with names, and a supervisor that replaces the dead."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sellerlegend.env import PROJECT_DIR
from tests.workers import CELERY, READY, pool_of

LOOK_SECONDS = 0.2
WORKERS = ("worker1", "worker2", "worker3", "worker4")
BEAT = "beat"
# Nobody may start ten processes a second that end at once.
PAUSE_SECONDS = 1.0


@dataclass
class Post:
    """A place that is always filled. Each holder is a new generation with a name of its own."""

    name: str
    arguments: Sequence[str]
    generation: int = 0
    process: subprocess.Popen[bytes] | None = None
    is_frozen: bool = False
    started_at: float = 0.0

    @property
    def holder(self) -> str:
        """As the database knows it, by `application_name`."""
        return f"{self.name}.{self.generation}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def signal(self, number: int) -> None:
        """To the process and its pool."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Crew:
    """Celery processes of one app, held at full strength until `close`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], posts: Sequence[Post]) -> None:
        self.folder = folder
        self.environment = environment
        self.posts = {post.name: post for post in posts}
        self.replaced = 0
        self._closing = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def open(self) -> None:
        """Returns when every worker says that it is ready."""
        self._supervisor.start()
        deadline = time.monotonic() + 60
        while not all(READY in self.log_of(post) for post in self.workers()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"workers did not start; see {self.folder}")
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        self._closing.set()
        self._supervisor.join()
        for post in self.posts.values():
            if post.process is not None:
                post.signal(signal.SIGCONT)
                post.signal(signal.SIGKILL)
                post.process.wait()

    def workers(self) -> list[Post]:
        return [post for post in self.posts.values() if post.name in WORKERS]

    def log_of(self, post: Post) -> str:
        log = self.folder / f"{post.name}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def pick(self, rng: random.Random) -> Post:
        """A worker that runs and is not frozen. Waits for one."""
        while True:
            able = [post for post in self.workers() if not post.is_frozen and not post.has_ended()]
            if able:
                return rng.choice(able)
            time.sleep(LOOK_SECONDS)

    def _supervise(self) -> None:
        """Also the parent of all: they die with this thread (see CELERY), so it lives long."""
        while not self._closing.wait(LOOK_SECONDS):
            for post in self.posts.values():
                rested = time.monotonic() - post.started_at > PAUSE_SECONDS
                if post.has_ended() and rested:
                    self._start(post)

    def _start(self, post: Post) -> None:
        if post.process is not None:
            # Its pool may have outlived it, as when the main process alone was killed.
            post.signal(signal.SIGKILL)
            self.replaced += 1
        post.generation += 1
        post.started_at = time.monotonic()
        with (self.folder / f"{post.name}.log").open("ab") as output:
            post.process = subprocess.Popen(
                [sys.executable, "-c", CELERY, *post.arguments],
                cwd=PROJECT_DIR,
                env={**self.environment, "PGAPPNAME": post.holder},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def child_of(post: Post, rng: random.Random) -> int | None:
    """One process of the worker's pool; None while it has none."""
    try:
        children = pool_of(post.pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return rng.choice(children) if children else None
