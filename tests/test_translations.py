"""Every catalogue is whole: no text of the product is missing from it, none lost a placeholder."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message

from connections.countries import NAMES
from sellerlegend.amazon.regions import MARKETPLACES
from tests.demo.messages import LOCALES, messages_of_the_source, read_catalogue, update_catalogues

CATALOGUES = sorted(LOCALES.glob("*/LC_MESSAGES/django.po"))
# %(name)s, %d, {name}, and the tags of the few texts that hold any.
PLACES = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|</?\w+[^>]*>")


@pytest.fixture(scope="module")
def source() -> Catalog:
    return messages_of_the_source()


def texts(message: Message) -> list[str]:
    """As written: one, or the singular and the plural."""
    return [message.id] if isinstance(message.id, str) else list(message.id)


def translations(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def test_the_source_holds_texts_of_python_and_templates(source: Catalog) -> None:
    found = {place for message in source for place, _line in message.locations}

    assert "connections/health_words.py" in found
    assert "templates/connections/account_connections.html" in found


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
