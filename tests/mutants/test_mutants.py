"""The mutants still fit the product. That each is killed is `make mutants`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import CHECKOUT, copy_checkout, mutated
from tests.mutants.guards import MUTANTS, Mutant

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)


@each_mutant
def test_a_mutant_applies_once_and_is_python(mutant: Mutant) -> None:
    source = (CHECKOUT / mutant.file).read_text()

    changed = mutated(mutant, source)

    assert changed != source
    ast.parse(changed)


@each_mutant
def test_the_tests_that_must_notice_exist(mutant: Mutant) -> None:
    for test in mutant.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((CHECKOUT / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not name or name.partition("[")[0] in found


def test_every_guard_has_a_name_of_its_own() -> None:
    assert len({mutant.guard for mutant in MUTANTS}) == len(MUTANTS) >= 12


def test_a_mutant_that_does_not_fit_any_more_is_an_error() -> None:
    gone = Mutant(guard="gone", file="", old="no such text", new="", tests=())

    with pytest.raises(ValueError, match="found 0 times"):
        mutated(gone, "something else")


def test_the_copy_is_whole_and_is_a_copy(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path)

    for mutant in MUTANTS:
        assert (copy / mutant.file).read_text() == (CHECKOUT / mutant.file).read_text()
    (copy / MUTANTS[0].file).write_text("")
    assert (CHECKOUT / MUTANTS[0].file).read_text()
