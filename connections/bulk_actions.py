"""What can be done with many rows at once: the bar above the list.

Every bulk action takes a selection (`selection.py`), asks first what will and will not happen, row
by row, and answers with what became of each (`bulk.py`). Another one is a line here and a view.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from connections.reader import LIMITED
from sellerlegend.organizations.models import Role

# Of one action. A form of so many fields is let in (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MOST_SELECTED = 1_000


@dataclass(frozen=True)
class Action:
    """`url_name`: a page that takes a selection (`selection.py`). `sorts`: it changes tags or
    clients, which are the reach of limited members, so these do not have it."""

    label: str | Promise
    url_name: str
    role: Role
    sorts: bool = False


ACTIONS = (
    Action(gettext_lazy("Check now"), "connections_check", Role.MEMBER),
    Action(gettext_lazy("Tag"), "connections_tag", Role.MEMBER, sorts=True),
    Action(gettext_lazy("Client"), "connections_client", Role.MEMBER, sorts=True),
    Action(gettext_lazy("Reconnect queue"), "reconnect_queue_add", Role.MEMBER),
    Action(gettext_lazy("Start onboarding"), "marketplaces_onboard_many", Role.MEMBER),
    Action(gettext_lazy("Export"), "connections_export", Role.VIEWER),
)


def actions_for(slug: str, rights: str) -> list[tuple[str, str]]:
    """Label and address of what readers with these rights (`reader.py`) may do."""
    member = {"act": Role.MEMBER, LIMITED: Role.MEMBER}
    role = {"administer": Role.ADMIN, **member}.get(rights, Role.VIEWER)
    return [
        (str(action.label), reverse(action.url_name, args=[slug]))
        for action in ACTIONS
        if role.covers(action.role) and not (action.sorts and rights == LIMITED)
    ]
