"""The product as in production, but for the fake Amazon and plain http on this machine: what a
fault looks like to people must not depend on DEBUG."""

from __future__ import annotations

from sellerlegend.settings import *  # noqa: F403  # all of them

DEBUG = False
# The fake Amazon, and http: with these a real installation would not start.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "SL.E010", "SL.E014"]  # noqa: F405  # as above
