"""Who can sign in to the demo."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "Demo-only-2026"
SUPPORT_GROUP = "Support"
# What the demo's staff may do beyond the group: show how a new role asks for renewal.
STAFF_MAY = ("add_applicationrole", "view_applicationrole")
# For an authenticator app. Published: it opens the demo only.
STAFF_SECRET = "SELLERLEGENDDEMOSELLERLEGENDDEMO"


@dataclass(frozen=True)
class Person:
    """`role` and `organization` are empty for staff, who belong to no organization."""

    email: str
    name: str
    role: str = ""
    organization: str = ""

    @property
    def is_staff(self) -> bool:
        return not self.organization

    def __str__(self) -> str:
        if self.is_staff:
            return f"staff, group {SUPPORT_GROUP}, at /admin/; second step: `make code`"
        return f"{self.role} of {self.organization}"


NORTHSTAR = "Northstar Trading"
OTHER = "Other Company"

PEOPLE = (
    Person("owner@example.com", "Olivia Owner", "owner", NORTHSTAR),
    Person("admin@example.com", "Adam Admin", "admin", NORTHSTAR),
    Person("member@example.com", "Mia Member", "member", NORTHSTAR),
    Person("viewer@example.com", "Victor Viewer", "viewer", NORTHSTAR),
    Person("outsider@example.com", "Otto Outsider", "owner", OTHER),
    Person("staff@example.com", "Stella Staff"),
)
