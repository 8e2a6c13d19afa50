""".env.example names every variable, and only those that something reads."""

from __future__ import annotations

import re
from pathlib import Path

from sellerlegend.env import Env

CHECKOUT = Path(__file__).resolve().parents[2]
# Read by docker compose and gunicorn, not by the product.
BESIDE_THE_PRODUCT = {"POSTGRES_PASSWORD", "PORT", "TLS_CERTIFICATES", "WEB_CONCURRENCY"}


def lines() -> list[str]:
    return (CHECKOUT / ".env.example").read_text().splitlines()


def test_every_setting_is_in_the_example() -> None:
    named = {m[1] for line in lines() if (m := re.match(r"(?:# )?([A-Z_]+)=", line))}

    assert named == {name.upper() for name in Env.model_fields} | BESIDE_THE_PRODUCT


def test_every_setting_has_a_comment_above_its_group() -> None:
    uncommented = []
    for above, line in zip(["", *lines()], lines(), strict=False):
        if re.match(r"[A-Z_]+=", line) and not above:
            uncommented.append(line)

    assert uncommented == []


def test_the_example_holds_no_secret() -> None:
    values = dict(line.split("=", 1) for line in lines() if re.match(r"[A-Z_]+=", line))
    secret = {name for name in values if name.endswith(("_SECRET", "_KEY", "_KEYS", "_PASSWORD"))}

    assert {name: values[name] for name in secret if values[name]} == {}
