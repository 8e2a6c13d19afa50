"""Addresses of static files: looked up once for each process, not forty times for each page."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.contrib.staticfiles.storage import StaticFilesStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class RememberingStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """The manifest is read at the start and never changes while a process lives."""

    def url(self, name: str | None, force: bool = False) -> str:  # Django's
        return _remembered(super().url, name, force)


class PlainRememberingStorage(StaticFilesStorage):
    """In development, where names stay as they are."""

    def url(self, name: str | None) -> str:
        return _remembered(super().url, name)


@cache
def _remembered(look_up: Callable[..., str], *asked: Any) -> str:
    """Of a method of one storage, which is its own key."""
    return look_up(*asked)
