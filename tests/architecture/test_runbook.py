"""What the operators' pages name is there: metrics, sections, files, commands, tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from sellerlegend.monitoring.exposition import PREFIX, metric_names

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = ("alerts.yml", "checks.md", "compliance.md", "runbook.md", "security.md", "threats.md")
ENGLISH = {"and", "or", "on", "by", "le", "for"}


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(text_of("alerts.yml"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def sections(name: str) -> list[str]:
    return re.findall(r"^#{1,3} (.+)$", text_of(name), re.MULTILINE)


def anchor(title: str) -> str:
    """GitHub's: lower case, letters, digits and hyphens."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def functions_of(path: str) -> set[str]:
    tree = ast.parse((CHECKOUT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_alert_is_a_rule() -> None:
    for rule in rules():
        assert {"alert", "expr", "labels", "annotations"} <= set(rule), rule
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    runbook = text_of("runbook.md")
    of_alerts = runbook.split("# Alerts\n", 1)[1].split("# Outages\n", 1)[0]

    told = re.findall(r"^## (.+)$", of_alerts, re.MULTILINE)

    assert told == [rule["alert"] for rule in rules()]
    for part in of_alerts.split("\n## ")[1:]:
        assert all(word in part for word in ("**Means**", "**Look**", "**Do**")), part[:40]


@pytest.mark.parametrize("name", ["alerts.yml", "runbook.md"])
def test_every_metric_that_is_named_exists(name: str) -> None:
    named = set(re.findall(rf"\b{PREFIX}\w+", text_of(name)))

    assert named
    assert named <= metric_names()


@pytest.mark.parametrize("name", PAGES)
def test_every_test_that_is_named_exists(name: str) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text_of(name))

    missing = [f"{path}::{test}" for path, test in named if test not in functions_of(path)]

    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_exists(name: str) -> None:
    rooms = "tests|docs|sellerlegend|connections|marketplaces|ppc|templates"
    named = set(re.findall(rf"\b(?:{rooms})/[\w/.-]*\w", text_of(name)))
    linked = {
        link.split("#")[0]
        for link in re.findall(r"\]\(([^)]+)\)", text_of(name))
        if not link.startswith(("http", "#", "mailto:"))
    }

    assert [path for path in sorted(named) if not (CHECKOUT / path).exists()] == []
    assert [path for path in sorted(linked) if not (DOCS / path).resolve().exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_section_leads_somewhere(name: str) -> None:
    for page, fragment in re.findall(r"\]\((\w+\.md)?#([\w-]+)\)", text_of(name)):
        assert fragment in {anchor(title) for title in sections(page or name)}


@pytest.mark.parametrize("name", PAGES)
def test_every_command_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"manage\.py (\w+)", text_of(name)))

    assert named <= set(get_commands())
