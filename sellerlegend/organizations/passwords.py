"""Amazon's password rule for people who can reach its data (Data Protection Policy §1.4)."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

SHORTEST_PART = 3
SPLIT = re.compile(r"[^a-z0-9]+")
# Endings of addresses, which are nobody's name.
COMMON_PARTS = frozenset({"com", "net", "org"})
KINDS = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]")


class CharacterKindsValidator:
    """Upper and lower case, a digit and a special character."""

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002  # Django's
        if not all(re.search(kind, password) for kind in KINDS):
            raise ValidationError(self.get_help_text(), code="password_kinds")

    def get_help_text(self) -> str:
        return _(
            "Use at least one upper-case letter, one lower-case letter, one digit "
            "and one other character."
        )


class NoPartOfNameValidator:
    """No part of the name or of the address, in whatever case: Django's own check lets a long
    password hold one."""

    def validate(self, password: str, user: object = None) -> None:
        known = f"{getattr(user, 'name', '')} {getattr(user, 'email', '')}".casefold()
        text = password.casefold()
        parts = (part for part in SPLIT.split(known) if len(part) >= SHORTEST_PART)
        if any(part in text for part in parts if part not in COMMON_PARTS):
            raise ValidationError(self.get_help_text(), code="password_holds_name")

    def get_help_text(self) -> str:
        return _("Use no part of your name or email address.")
