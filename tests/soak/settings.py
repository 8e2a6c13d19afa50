"""The product as in production, but for the fake Amazon and plain http on this machine: what a
fault looks like to people must not depend on DEBUG."""

from __future__ import annotations

from sellerlegend.settings import *  # noqa: F403  # all of them

DEBUG = False
