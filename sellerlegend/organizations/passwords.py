"""Amazon's password rule for people who can reach its data (Data Protection Policy §1.4)."""

from __future__ import annotations

import re

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from sellerlegend.organizations import people_log
from sellerlegend.organizations.models import PastPassword, User

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


class NotUsedBeforeValidator:
    """None of the person's last PASSWORDS_REMEMBERED ones. Each costs a hash, so the newest, which
    people try first, are compared first."""

    def validate(self, password: str, user: User | None = None) -> None:
        if user is None or user._state.adding:
            return
        known = [user.password, *last_passwords(user)]
        if any(check_password(password, encoded) for encoded in dict.fromkeys(known)):
            raise ValidationError(self.get_help_text(), code="password_used_before")

    def password_changed(self, _password: str, user: User) -> None:
        """Django's hook after a person was saved with a new password, wherever that happened."""
        remember_password(user)

    def get_help_text(self) -> str:
        return _("Use none of your last %(count)d passwords.") % {
            "count": settings.PASSWORDS_REMEMBERED
        }


def last_passwords(user: User) -> list[str]:
    newest_first = user.past_passwords.order_by("-id").values_list("password", flat=True)
    return list(newest_first[: settings.PASSWORDS_REMEMBERED])


@transaction.atomic
def remember_password(user: User) -> None:
    """From now on it is the present one; the one too many is forgotten."""
    now = timezone.now()
    if user.past_passwords.exists():
        people_log.note_password(user)
    PastPassword.objects.create(user=user, password=user.password, set_at=now)
    newest_first = user.past_passwords.order_by("-id").values_list("pk", flat=True)
    kept = list(newest_first[: settings.PASSWORDS_REMEMBERED])
    user.past_passwords.exclude(pk__in=kept).delete()
    User.objects.filter(pk=user.pk).update(password_set_at=now)
    user.password_set_at = now
