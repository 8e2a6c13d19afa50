"""`make mutants`: take one guard away at a time, in a copy, and see the tests go red.

First the same tests must be green without a mutant. A mutant counts as killed when a test fails;
one that cannot even be collected counts as a mistake here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.guards import MUTANTS, Mutant

CHECKOUT = Path(__file__).resolve().parents[2]
# pytest's exit codes.
GREEN, RED = 0, 1
OPTIONS = ["--quiet", "-n", "0", "--reuse-db", "--no-header", "--tb=line", "-p", "no:cacheprovider"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="guards whose name contains this")
    chosen = [mutant for mutant in MUTANTS if parser.parse_args().only in mutant.guard]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copy_checkout(Path(folder))
        began = time.monotonic()
        if run(copy, sorted({test for mutant in chosen for test in mutant.tests})) != GREEN:
            print("The tests are red without any mutant; see above.", file=sys.stderr)
            return 2
        print(f"{'green':8} {time.monotonic() - began:5.1f} s  without a mutant", flush=True)
        survivors = [mutant for mutant in chosen if not is_killed(copy, mutant)]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants killed")
    return 1 if survivors else 0


def copy_checkout(folder: Path) -> Path:
    """Every file that git knows or would take, as it is now. The working tree stays untouched."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    return folder


def is_killed(copy: Path, mutant: Mutant) -> bool:
    path = copy / mutant.file
    original = path.read_text()
    path.write_text(mutated(mutant, original))
    began = time.monotonic()
    try:
        ended = run(copy, mutant.tests, is_quiet=True)
    finally:
        path.write_text(original)
    verdict = {RED: "killed", GREEN: "SURVIVED"}.get(ended, f"ERROR {ended}")
    print(f"{verdict:8} {time.monotonic() - began:5.1f} s  {mutant.guard}", flush=True)
    return ended == RED


def mutated(mutant: Mutant, source: str) -> str:
    """Raises ValueError unless the guard stands there exactly once."""
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.guard}: found {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def run(copy: Path, tests: Iterable[str], *, is_quiet: bool = False) -> int:
    """One database for all runs, named after this process: a later test run tidies it up."""
    environment = os.environ | {"TEST_RUN": str(os.getpid()), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *tests]
    output = subprocess.DEVNULL if is_quiet else None
    return subprocess.run(
        command, cwd=copy, env=environment, stdout=output, stderr=output, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
