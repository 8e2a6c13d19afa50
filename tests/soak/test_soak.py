"""The soak's short form: a minute of the nemesis over real processes, and what it left behind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from sellerlegend.env import PROJECT_DIR
from tests.soak.servers import require_programs

# Minutes of the nemesis, of convergence and of starting processes, on a busy machine.
LONGEST_SECONDS = 400
SECONDS = 60


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `make soak` found, in processes, servers and an environment of its own."""
    require_programs()
    folder, seed = tmp_path_factory.mktemp("soak"), random.randrange(1_000_000)
    command = [sys.executable, "-m", "tests.soak", "--seconds", str(SECONDS)]
    command += ["--seed", str(seed), "--folder", str(folder), "--plain-seconds", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PGAPPNAME"}
    told = subprocess.run(
        command,
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    print(told.stdout)  # noqa: T201  # the figures, shown when a test fails and with -s
    summary = folder / "summary.json"
    assert summary.exists(), f"seed {seed}: {told.stderr[-3000:]}"
    [found] = json.loads(summary.read_text())
    return found


pytestmark = [
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
    pytest.mark.timeout(LONGEST_SECONDS + 60),
]


def test_under_the_nemesis_nothing_is_lost_done_twice_late_or_for_somebody_else(
    outcome: Any,
) -> None:
    verdict = outcome["verdict"]
    assert verdict["acknowledged"] >= 150
    assert verdict["kills"] >= 5
    assert verdict["lost"] == []
    assert verdict["twice"] == []
    assert verdict["stale"] == []
    assert verdict["foreign"] == []
    # How fast it recovers is for `make soak` to judge: here other tests take the processors, and a
    # minute has a dozen of kills. That everything comes to its end is not a matter of speed.
    assert verdict["convergence"] <= 120
