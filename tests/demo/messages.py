"""Compile the translations with Babel: a fresh machine has no msgfmt."""

from __future__ import annotations

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tests.demo.environment import CHECKOUT

LOCALES = CHECKOUT / "sellerlegend" / "locale"


def compile_messages(locales: Path = LOCALES) -> list[Path]:
    """Write each catalogue that is missing or older than its source; returns those written."""
    written = []
    for source in sorted(locales.glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        with source.open("rb") as text:
            catalog = read_po(text)
        with target.open("wb") as binary:
            write_mo(binary, catalog)
        written.append(target)
    return written


if __name__ == "__main__":
    for path in compile_messages():
        print(f"compiled {path.relative_to(CHECKOUT)}")
