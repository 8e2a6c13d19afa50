"""The system check on the age of our client secrets."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import DatabaseError

from sellerlegend.applications.ages import WARN_BELOW_DAYS, SecretAge, secret_ages


@register(Tags.database)
def warn_of_ageing_secrets(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Asked with `check --database default`, and before `migrate`, when there may be no table."""
    if not databases:
        return []
    try:
        ages = secret_ages()
    except DatabaseError:
        return []
    return [_warning(age) for age in ages if age.is_newest and age.days_left < WARN_BELOW_DAYS]


def _warning(age: SecretAge) -> CheckMessage:
    left = f"ends in {age.days_left} days" if age.days_left > 0 else "is past its last day"
    return checks.Warning(
        f"The client secret {age.fingerprint} of {age.application} {left}.",
        hint="Run manage.py rotate_client_secret; docs/rotation.md says how.",
        id="SL.W031",
    )
