"""docker-compose.yml is a valid compose file and starts what the Procfile starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


def procfile() -> dict[str, str]:
    lines = (CHECKOUT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def services() -> dict[str, Any]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(
        (CHECKOUT / "docker-compose.yml").read_text()
    )
    return loaded["services"]


def test_the_file_follows_the_compose_schema() -> None:
    """The schema of https://github.com/compose-spec/compose-spec, as check-jsonschema ships it."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run(
        [*check, "docker-compose.yml"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_the_services_of_production_and_no_other() -> None:
    without_profile = {name for name, service in services().items() if "profiles" not in service}

    assert without_profile == {"release", "web", "worker", "beat", "postgres", "redis"}


def test_only_the_emulator_needs_a_profile() -> None:
    profiles = {name: s["profiles"] for name, s in services().items() if "profiles" in s}

    assert profiles == {"emulator": ["emulator"]}


@pytest.mark.parametrize("name", ["release", "web", "worker", "beat"])
def test_a_command_is_that_of_the_procfile(name: str) -> None:
    assert services()[name]["command"] == procfile()[name]


def test_the_emulator_listens_for_other_containers_and_is_else_that_of_the_procfile() -> None:
    beside = " --host 0.0.0.0 --public-url http://amazon.localhost:${AMAZON_PORT:-9001}"

    assert services()["emulator"]["command"] == procfile()["emulator"] + beside


def test_the_image_starts_the_web_process_by_default() -> None:
    text = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", "")
    (command,) = (line for line in text.splitlines() if line.startswith("CMD "))

    assert yaml.safe_load(command.removeprefix("CMD ")) == procfile()["web"].split()


def test_nothing_of_the_tests_is_copied_into_the_image() -> None:
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    copied = {
        line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line
    }

    assert copied == {
        "requirements.txt",
        "manage.py",
        "sellerlegend",
        "connections",
        "marketplaces",
        "ppc",
        "templates",
        "static",
    }


def test_the_web_process_is_asked_by_its_own_probes() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()

    assert "/healthz'" in dockerfile.split("HEALTHCHECK", 1)[1].splitlines()[1]
    assert "/readyz'" in services()["web"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["release", "worker", "beat"])
def test_what_serves_no_pages_does_not_inherit_the_images_probe(name: str) -> None:
    assert services()[name]["healthcheck"] == {"disable": True}
