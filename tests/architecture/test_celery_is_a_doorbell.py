"""When something is due is a column, never a message that waits (E8): over Redis a message with a
countdown longer than the visibility timeout is delivered again and again (lab L4)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from sellerlegend.env import PROJECT_DIR

ROOMS = ("sellerlegend", "connections", "marketplaces", "ppc")
DELAYS = {"countdown", "eta"}
# Ways of sending that go around `sellerlegend.celery.ring`, and repetition by Celery itself.
SENDERS = {"apply_async", "delay", "delay_on_commit", "retry", "send_task", "signature", "subtask"}
BELL = "sellerlegend/celery.py"


def names_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(what it is, name) of keywords, keys of dictionaries, and methods that are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield "keyword", node.arg
        elif isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield "keyword", key.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            yield "call", f"{owner.id if isinstance(owner, ast.Name) else ''}.{node.func.attr}"


def files() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(path for room in ROOMS for path in (PROJECT_DIR / room).rglob("*.py")):
        yield path.relative_to(PROJECT_DIR).as_posix(), ast.parse(path.read_text())


def delays_in(tree: ast.AST) -> set[str]:
    return {name for kind, name in names_in(tree) if kind == "keyword" and name in DELAYS}


def sends_in(tree: ast.AST) -> set[str]:
    """Calls by which Celery sends; `ledger.retry` and its like are no tasks."""
    calls = {name for kind, name in names_in(tree) if kind == "call"}
    return {
        name
        for name in calls
        if name.partition(".")[2] in SENDERS
        and name.partition(".")[0] not in {"ledger", "marketplace_services", "services"}
    }


def test_no_message_waits() -> None:
    assert {name: found for name, tree in files() if (found := delays_in(tree))} == {}


def test_only_the_bell_sends() -> None:
    assert {name: found for name, tree in files() if (found := sends_in(tree))} == {
        BELL: {"app.send_task"}
    }


def test_the_search_finds_each_form(tmp_path: Path) -> None:
    for text in ("t.apply_async(countdown=5)", "t.apply_async((), eta=x)", "o = {'eta': 1}"):
        assert delays_in(ast.parse(text)), text
    for text in ("run_job.delay('x')", "self.retry()", "tasks.sweep.apply_async()"):
        assert sends_in(ast.parse(text)), text
