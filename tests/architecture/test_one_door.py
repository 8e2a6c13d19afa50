"""Secrets have one door: whatever opens a stored one goes through the counted way."""

from __future__ import annotations

from sellerlegend.env import PROJECT_DIR

# The record itself, access tokens of an hour, our own client secrets and people's second steps,
# which belong to no organization, and a text of the probe's own making.
OPENERS = {
    "sellerlegend/applications/clients.py",
    "sellerlegend/organizations/custody.py",
    "sellerlegend/organizations/second_secrets.py",
    "connections/token_cache.py",
    "sellerlegend/monitoring/readiness.py",
}
PRODUCT = ("sellerlegend", "connections", "marketplaces", "ppc")


def test_only_the_record_opens_what_is_stored() -> None:
    sources = [path for folder in PRODUCT for path in (PROJECT_DIR / folder).rglob("*.py")]
    found = {
        str(path.relative_to(PROJECT_DIR)) for path in sources if "unseal(" in path.read_text()
    }

    assert found == OPENERS | {"sellerlegend/crypto.py"}
