"""Every catalogue is whole: no text of the product is missing from it, none lost a placeholder."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import allauth
import pytest
from babel.messages.catalog import Catalog, Message
from django.conf import settings
from django.utils import translation

from connections.countries import NAMES
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.organizations.borrowed_words import BORROWED
from tests.demo.environment import CHECKOUT
from tests.demo.messages import (
    LOCALES,
    messages_of_the_source,
    read_catalogue,
    source_files,
    update_catalogues,
    whole_catalogues,
)

CATALOGUES = whole_catalogues()
# %(name)s, %d, {name}, and the tags of the few texts that hold any.
PLACES = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|</?\w+[^>]*>")
# Django's functions of translation, by their own names.
CALL = re.compile(r"(n?p?gettext)(_lazy|_noop)?$")


def texts_of_allauth() -> set[str]:
    path = Path(allauth.__file__).parent / "locale" / "de" / "LC_MESSAGES" / "django.po"
    return {texts(message)[0] for message in read_catalogue(path) if message.id}


@pytest.fixture(scope="module")
def source() -> Catalog:
    return messages_of_the_source()


def texts(message: Message) -> list[str]:
    """As written: one, or the singular and the plural."""
    return [message.id] if isinstance(message.id, str) else list(message.id)


def translations(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def test_each_language_is_offered_once() -> None:
    assert settings.LANGUAGES == [("en", "English"), ("de", "Deutsch")]


def test_the_source_holds_texts_of_python_and_templates(source: Catalog) -> None:
    found = {place for message in source for place, _line in message.locations}

    assert "connections/health_words.py" in found
    assert "templates/connections/account_connections.html" in found


def translated_calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls of a function of translation, whatever it is called there: the name of Django's own."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            names |= {alias.asname or alias.name: alias.name for alias in node.names}

    def called(node: ast.expr | None) -> str:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        name = names.get(name, name if isinstance(node, ast.Attribute) else "")
        return name if CALL.match(name) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and called(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {t.id: called(node.value) for t in targets if isinstance(t, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node.func):
            yield called(node.func), node


def literal_text(name: str, call: ast.Call) -> str:
    """The text, or its singular; empty where only the running program knows it."""
    arguments = call.args[1:] if "pgettext" in name else call.args
    first = arguments[0] if arguments else None
    is_text = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return str(first.value) if isinstance(first, ast.Constant) and is_text else ""


def unknown_texts(code: str, known: set[str]) -> list[str]:
    calls = (literal_text(*found) for found in translated_calls(ast.parse(code)))
    return sorted(text for text in set(calls) - known if text)


def test_a_text_under_any_local_name_of_gettext_is_seen() -> None:
    code = """
from django.utils import translation
from django.utils.translation import gettext_lazy, ngettext as many
later = gettext_lazy
later("By assignment"); many("One", "More", 2); translation.pgettext("where", "By module")
later(name); print("No text"); later("Known")
"""

    assert unknown_texts(code, {"Known"}) == ["By assignment", "By module", "One"]


def test_the_source_holds_each_text_under_whatever_name_it_is_translated(source: Catalog) -> None:
    known = {texts(message)[0] for message in source if message.id}

    missing = {
        path.relative_to(CHECKOUT).as_posix(): unknown_texts(path.read_text("utf-8"), known)
        for path in source_files(CHECKOUT)
        if path.suffix == ".py"
    }

    assert {place: found for place, found in missing.items() if found} == {}


def test_every_marketplace_has_a_name_to_translate() -> None:
    assert {known.name for known in MARKETPLACES.values()} == NAMES


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_a_catalogue_translates_every_text_and_no_other(path: Path, source: Catalog) -> None:
    catalog = read_catalogue(path)
    wanted = {(message.context, *texts(message)) for message in source if message.id}
    held = {(m.context, *texts(m)) for m in catalog if m.id and all(translations(m))}

    assert sorted(map(str, wanted - held)) == []
    assert sorted(map(str, held - wanted)) == []
    assert [message.id for message in catalog if message.id and message.fuzzy] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_a_translation_keeps_the_places_of_its_text(path: Path) -> None:
    """A singular may say "one" instead of the number; nothing may ask for a place that is not."""
    broken = []
    for message in read_catalogue(path):
        if not message.id:
            continue
        most = Counter(PLACES.findall(texts(message)[-1])) | Counter(
            PLACES.findall(texts(message)[0])
        )
        for text in translations(message):
            found = Counter(PLACES.findall(text))
            exact = len(texts(message)) == 1
            if found != most if exact else found - most:
                broken.append((message.id, text))

    assert broken == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_a_translation_has_each_form_of_the_plural(path: Path) -> None:
    catalog = read_catalogue(path)

    plurals = [message for message in catalog if message.id and not isinstance(message.id, str)]

    assert {len(translations(message)) for message in plurals} <= {catalog.num_plurals}


def test_an_update_adds_what_is_new_and_drops_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "de" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    path.write_text('msgid "Gone for good"\nmsgstr "Weg"\n\nmsgid "Pending"\nmsgstr "Offen"\n')

    update_catalogues(tmp_path)

    catalog = read_catalogue(path)
    assert "Gone for good" not in catalog
    assert catalog["Pending"].string == "Offen"
    assert catalog["Add New Connection"].string == ""


def test_english_has_only_our_words_for_those_of_others() -> None:
    """The source itself is English. Each of these is a text that allauth has."""
    catalog = read_catalogue(LOCALES / "en" / "LC_MESSAGES" / "django.po")
    held = {str(message.id): str(message.string) for message in catalog if message.id}

    assert held.keys() <= set(BORROWED)
    assert sorted(set(BORROWED) - texts_of_allauth()) == []
    for theirs, ours in held.items():
        assert Counter(PLACES.findall(theirs)) == Counter(PLACES.findall(ours))


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "Two-step sign-in"), ("de", "Anmeldung in zwei Schritten")],
)
def test_the_words_of_the_sign_in_are_the_products(language: str, expected: str) -> None:
    with translation.override(language):
        assert translation.gettext("Two-Factor Authentication") == expected


def test_nobody_is_addressed_as_du() -> None:
    familiar = re.compile(r"\b(du|dich|dir|dein\w*|bist|möchtest|lass)\b", re.IGNORECASE)
    with translation.override("de"):
        found = {text for text in BORROWED if familiar.search(translation.gettext(text))}

    assert found == set()
