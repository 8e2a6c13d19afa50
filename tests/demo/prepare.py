"""Before the processes start: migrations, the cache's table, translations."""

from __future__ import annotations

import django
from django.core.management import call_command

from tests.demo.messages import compile_messages


def prepare() -> None:
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    compile_messages()


if __name__ == "__main__":
    prepare()
