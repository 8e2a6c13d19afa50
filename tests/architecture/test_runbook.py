"""What the operators' pages name is there: metrics and their labels, sections, files, commands,
tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from connections.models import Grant
from sellerlegend.amazon import errors
from sellerlegend.jobs.kinds import KINDS
from sellerlegend.jobs.models import Job
from sellerlegend.monitoring import gauges
from sellerlegend.monitoring.exposition import PREFIX, metric_names

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = (
    "alerts.yml",
    "checks.md",
    "compliance.md",
    "rotation.md",
    "runbook.md",
    "security.md",
    "threats.md",
)


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.AmazonError)


# What a label that a rule or the runbook asks for can be.
LABEL_VALUES = {
    ("grants", "state"): set(Grant.Status.values),
    ("grants_ending", "within_days"): {str(days) for days in gauges.WITHIN_DAYS},
    ("jobs", "kind"): set(KINDS),
    ("jobs", "status"): set(Job.Status.values),
    # As `tallies.outcome` names them.
    ("refreshes_total", "result"): {
        "ok",
        *(name for name, kind in vars(errors).items() if _is_error(kind)),
    },
    ("requests_total", "status"): {f"{first}xx" for first in range(1, 6)},
}


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(text_of("alerts.yml"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def conditions(text: str) -> Iterator[tuple[str, str, str]]:
    """Metric, label and value of each condition; of `a|b` both."""
    for metric, braces in re.findall(rf"\b{PREFIX}(\w+)\{{([^}}]+)\}}", text):
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', braces):
            yield from ((metric, label, value) for value in values.split("|"))


def expression_of(alert: str) -> str:
    return next(str(rule["expr"]) for rule in rules() if rule["alert"] == alert)


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


@pytest.mark.parametrize("name", ["alerts.yml", "runbook.md"])
def test_every_label_that_is_asked_for_can_have_that_value(name: str) -> None:
    asked = list(conditions(text_of(name)))

    assert asked
    unknown = [
        (metric, label, value)
        for metric, label, value in asked
        if value not in LABEL_VALUES.get((metric, label), ())
    ]
    assert unknown == []


@pytest.mark.django_db
def test_a_rule_of_an_age_knows_that_there_may_be_none() -> None:
    """What never happened has no age, and a comparison with nothing is silent."""
    without = {family.name for family in gauges.collect() if not family.samples}
    silent = {
        (rule["alert"], name)
        for rule in rules()
        for name in without
        if f"{name} >" in rule["expr"] and name.endswith("_age_seconds")
    }

    assert silent == {
        ("SweepLate", "sellerlegend_sweep_age_seconds"),
        ("PruneLate", "sellerlegend_prune_age_seconds"),
    }
    for alert, name in silent:
        assert f"absent({name})" in expression_of(alert)


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


@pytest.mark.parametrize("name", PAGES)
def test_every_check_that_is_named_exists(name: str) -> None:
    known = re.findall(r"^\| (SL\.[EW]\d{3}) \|", text_of("checks.md"), re.MULTILINE)

    assert set(re.findall(r"SL\.[EW]\d{3}", text_of(name))) <= set(known)
