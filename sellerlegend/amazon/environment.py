"""Environment variables that python-amazon-sp-api, its Ads sibling and boto3 read by themselves."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = ("LWA_", "SP_API_", "AD_API_")
# boto3 would read another queue than Amazon's; what it needs to sign in stays allowed.
_NAMES = frozenset({"AWS_ENV", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"})


def conflicting_environment(environ: Mapping[str, str]) -> list[str]:
    """Names, sorted, that the libraries would prefer to what we pass: refuse to start with any.

    They replace credentials (another seller's token would be sent), the marketplace and the base
    address; AWS_ENV is read while importing. Even an empty value counts: some are parsed.
    """
    return sorted(name for name in environ if name in _NAMES or name.startswith(_PREFIXES))
