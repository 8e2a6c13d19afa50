"""The keys of the ring for the staff page: ids, ages and what they wrap, never a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sellerlegend import crypto
from sellerlegend.organizations import custody
from sellerlegend.organizations.models import VaultKey

OLDEST = timedelta(days=365)


@dataclass(frozen=True)
class KeyState:
    """`wraps` counts the data keys under it, of organizations and of our client secrets."""

    kid: str
    first_seen_at: datetime
    retired_at: datetime | None
    wraps: int
    is_loaded: bool
    is_first: bool

    @property
    def age_days(self) -> int:
        return (timezone.now() - self.first_seen_at).days

    @property
    def is_in_use_again(self) -> bool:
        return self.retired_at is not None and (self.wraps > 0 or self.is_first)

    @property
    def tone(self) -> str:
        """As the components name it."""
        if (self.wraps and not self.is_loaded) or self.is_in_use_again:
            return "danger"
        if self.is_first and timezone.now() - self.first_seen_at > OLDEST:
            return "warning"
        return "success" if self.is_first else "neutral"

    @property
    def label(self) -> str:
        if self.kid == crypto.UNKNOWN_KID:
            return _("Damaged")
        if self.is_in_use_again:
            return _("Retired, in use again")
        if not self.is_loaded:
            return _("Not loaded: locked") if self.wraps else _("Retired")
        if self.is_first:
            return _("Encrypts")
        return _("Still needed") if self.wraps else _("May be retired")

    @property
    def note(self) -> str:
        words = ngettext("%(count)d data key", "%(count)d data keys", self.wraps)
        return words % {"count": self.wraps}


def key_states() -> list[KeyState]:
    """Those of the ring in its order, then those that only rows or the record know."""
    counts = custody.rows_by_key()
    known = {key.kid: key for key in VaultKey.objects.all()}
    loaded = list(settings.TOKEN_ENCRYPTION_KEYS)
    gone = sorted((known.keys() | counts.keys()) - set(loaded))
    return [
        KeyState(
            kid=kid,
            first_seen_at=known[kid].first_seen_at if kid in known else timezone.now(),
            retired_at=known[kid].retired_at if kid in known else None,
            wraps=counts[kid],
            is_loaded=kid in loaded,
            is_first=kid == loaded[0],
        )
        for kid in [*loaded, *gone]
    ]
