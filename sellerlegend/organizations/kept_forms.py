"""What a person typed, while they prove that it is they: it is in the form again afterwards.

It waits in the session, which ends with the sign-in, for the form of the same address, once. Only
for forms that never carry a secret.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, QueryDict

SESSION_KEY = "kept_form"
# A list of a hundred clients with a message; what is longer has to be typed again.
MOST_CHARACTERS = 50_000


def keep_form(request: HttpRequest) -> bool:
    """Whether it is kept."""
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    typed = fields.urlencode()
    if len(typed) > MOST_CHARACTERS:
        return False
    request.session[SESSION_KEY] = {"address": request.get_full_path(), "typed": typed}
    return True


def take_kept_form(request: HttpRequest) -> QueryDict | None:
    """For the page of a form: what was sent to this address and not heeded."""
    kept: dict[str, Any] = request.session.get(SESSION_KEY, {})
    if kept.get("address") != request.get_full_path():
        return None
    del request.session[SESSION_KEY]
    return QueryDict(kept["typed"])
