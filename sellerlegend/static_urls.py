"""Addresses of static files: looked up once for each process, not forty times for each page."""

from __future__ import annotations

from functools import cache

from whitenoise.storage import CompressedManifestStaticFilesStorage


class RememberingStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """The manifest is read at the start and never changes while a process lives."""

    def url(self, name: str | None, force: bool = False) -> str:  # Django's
        return _address(self, name, force=force)

    def look_up(self, name: str | None, *, force: bool) -> str:
        found: str = super().url(name, force)
        return found


@cache
def _address(storage: RememberingStorage, name: str | None, *, force: bool) -> str:
    return storage.look_up(name, force=force)
