"""Before a process serves people or takes work: the system checks that `manage.py` would run.

gunicorn and Celery start without it, and would serve with what every command refuses.
"""

from __future__ import annotations

import sys

import django
from django.core.checks import CheckMessage, run_checks


def require_sound_configuration() -> None:
    """Ends the process, naming every error by id. Asks no server."""
    django.setup()  # has been, unless a worker begins to listen earlier than it used to
    wrong = [found for found in run_checks() if found.is_serious() and not found.is_silenced()]
    if wrong:
        text = "\n".join(["The configuration is not usable:", *map(described, wrong)])
        # Celery's beat has put a logger in the place of sys.stderr by now.
        print(text, file=sys.__stderr__)  # the last words of a process
        sys.exit(1)


def described(found: CheckMessage) -> str:
    hint = f" ({found.hint})" if found.hint else ""
    return f"  {found.id}: {found.msg}{hint}"
