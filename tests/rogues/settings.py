"""The product with the rogues' kinds of work."""

from __future__ import annotations

from sellerlegend.settings import *  # noqa: F403  # all of them

INSTALLED_APPS = [*INSTALLED_APPS, "tests.rogues.apps.Rogues"]  # noqa: F405  # from the product
