"""What a row's words and buttons depend on besides the row: nothing personal."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone, translation

from connections.reach import may_add_rows
from sellerlegend.organizations.access import OrganizationRequest
from sellerlegend.organizations.models import Membership, Role


@dataclass(frozen=True)
class Reader:
    """All readers who are alike share the stored HTML of a row."""

    slug: str
    language: str
    time_zone: str
    rights: str
    hour: str

    @classmethod
    def of(cls, request: OrganizationRequest) -> Reader:
        return cls(
            slug=request.organization.slug,
            language=translation.get_language() or "en",
            time_zone=timezone.get_current_timezone_name(),
            rights=rights_of(request.membership),
            hour=present_hour(),
        )

    @property
    def may_act(self) -> bool:
        return self.rights != "read"

    @property
    def may_add(self) -> bool:
        return self.may_act and self.rights != "act in reach"

    @property
    def may_administer(self) -> bool:
        return self.rights == "administer"


def rights_of(membership: Membership) -> str:
    if membership.may(Role.ADMIN):
        return "administer"
    if not membership.may(Role.MEMBER):
        return "read"
    return "act" if may_add_rows(membership) else "act in reach"


def present_hour() -> str:
    """What time alone changes on a row (days left, a consent's last day) is an hour old at most."""
    return timezone.localtime().strftime("%Y%m%d%H")
