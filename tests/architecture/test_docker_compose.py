"""docker-compose.yml is a valid compose file and starts what the Procfile starts."""

from __future__ import annotations

import re
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


def services(name: str = "docker-compose.yml") -> dict[str, Any]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((CHECKOUT / name).read_text())
    return loaded["services"]


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.tls.yml"])
def test_the_file_follows_the_compose_schema(name: str) -> None:
    """The schema of https://github.com/compose-spec/compose-spec, as check-jsonschema ships it."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run([*check, name], cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_the_services_of_production_and_no_other() -> None:
    without_profile = {name for name, service in services().items() if "profiles" not in service}

    assert without_profile == {
        "release",
        "web",
        "proxy",
        "worker",
        "beat",
        "postgres",
        "redis",
    }


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


def test_the_image_can_be_built_with_what_reads_the_rotation_queue() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    manual = (CHECKOUT / "docs" / "rotation.md").read_text()

    assert "\nARG WITH_SQS=\n" in dockerfile.split("\nFROM ", 2)[1]
    assert "pip freeze > pins.txt && pip install --constraint pins.txt boto3" in dockerfile
    assert "--build-arg WITH_SQS=1" in manual


def test_the_web_process_is_asked_by_its_own_probes() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()

    assert "/healthz'" in dockerfile.split("HEALTHCHECK", 1)[1].splitlines()[1]
    assert "/readyz'" in services()["web"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["release", "worker", "beat"])
def test_what_serves_no_pages_does_not_inherit_the_images_probe(name: str) -> None:
    assert services()[name]["healthcheck"] == {"disable": True}


def published(name: str) -> dict[str, list[str]]:
    return {key: service["ports"] for key, service in services(name).items() if "ports" in service}


def test_only_the_proxy_can_be_reached() -> None:
    """The emulator, of its profile alone, plays Amazon on the same machine."""
    assert published("docker-compose.yml") == {
        "proxy": ["127.0.0.1:${PORT:-8000}:8080"],
        "emulator": ["127.0.0.1:${AMAZON_PORT:-9001}:${AMAZON_PORT:-9001}"],
    }
    assert published("docker-compose.tls.yml") == {"proxy": ["443:8443"]}


def test_the_proxy_and_the_product_agree() -> None:
    """On ports and names, on the hops to believe, and on how long an answer may take."""
    proxy = services()["proxy"]
    conf = (CHECKOUT / "proxy" / "nginx.conf").read_text()
    gunicorn = procfile()["web"].split()

    assert "listen 8080;" in conf
    assert "listen 8443 ssl;" in (CHECKOUT / "proxy" / "tls.conf").read_text()
    assert "set $web web:8000;" in conf
    assert "http://127.0.0.1:8080/healthz" in proxy["healthcheck"]["test"]
    [seconds] = re.findall(r"proxy_read_timeout (\d+)s;", conf)
    assert seconds == gunicorn[gunicorn.index("--timeout") + 1]


@pytest.mark.parametrize("name", ["release", "web", "worker", "beat"])
def test_the_product_believes_the_one_proxy(name: str) -> None:
    assert services()[name]["environment"]["TRUSTED_PROXY_COUNT"] == "${TRUSTED_PROXY_COUNT:-1}"


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.tls.yml"])
def test_what_the_proxy_is_given_is_in_the_repository(name: str) -> None:
    ours = [v for v in services(name)["proxy"]["volumes"] if v.startswith("./")]

    assert ours
    for volume in ours:
        source, target, mode = volume.split(":")
        assert (CHECKOUT / source).exists()
        assert target.startswith("/etc/nginx/")
        assert mode == "ro"
