"""Tenancy that cannot be forgotten: a scoped model compiles no SQL until a scope was given.

Guarantees: every query that starts from a `ScopedModel` manager raises `UnscopedQuery` before
SQL exists, unless it went through `for_organization()`, comes from a related manager of a row
in hand, or runs inside `across_organizations("reason")`. Within a scope no row of another
organization is created, and none is moved there. Known holes, left to review: joins that start
from an unscoped model, `_base_manager`, raw cursors, `save()` of a row made by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import sql

if TYPE_CHECKING:
    from sellerlegend.organizations.models import Organization

M = TypeVar("M", bound="ScopedModel")

_across: ContextVar[str] = ContextVar("across_organizations", default="")


class UnscopedQuery(RuntimeError):
    """A query on a tenant's model was about to run without an organization."""


class ForeignOrganization(RuntimeError):
    """A row of one organization was about to be written in the scope of another."""


@contextmanager
def across_organizations(reason: str) -> Iterator[None]:
    """Let queries see every organization. For sweeps, staff pages and the callback's look-up."""
    if not reason:
        raise ValueError("say why this must look across organizations")
    token = _across.set(reason)
    try:
        yield
    finally:
        _across.reset(token)


class ScopedQuery(sql.Query):
    """`sql.Query` is semi-private: `tests/.../test_scoping.py` holds the table of query forms."""

    scope: UUID | None = None
    is_scoped = False

    def require_scope(self) -> None:
        if not (self.is_scoped or _across.get()):
            name = self.model.__name__ if self.model else "?"
            raise UnscopedQuery(f"{name} needs .for_organization() or across_organizations()")

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_empty():  # `none()` sends no SQL; forms start from it
            self.require_scope()
        return super().get_compiler(*args, **kwargs)

    def chain(self, klass: Any = None) -> Any:
        # .update(), aggregates and inserts swap the class and would lose this guard.
        if klass is not None:
            self.require_scope()
        return super().chain(klass)

    def require_same_scope(self, other: Any) -> None:
        if not isinstance(other, ScopedQuery):
            raise UnscopedQuery("cannot combine with a query that has no scope")
        self.require_scope()
        other.require_scope()
        if self.scope != other.scope and not _across.get():
            raise ForeignOrganization("cannot combine the queries of two organizations")


class ScopedQuerySet(models.QuerySet[M]):
    query: ScopedQuery

    def __init__(
        self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None
    ) -> None:
        super().__init__(model, query or ScopedQuery(model), using, hints)

    def for_organization(self, organization: Organization | UUID) -> Self:
        """Rows of one organization; rows created through it belong to it."""
        organization_id = organization if isinstance(organization, UUID) else organization.pk
        scoped = self.filter(**{f"{self.model.organization_path}_id": organization_id})
        scoped.query.is_scoped = True
        scoped.query.scope = organization_id
        return scoped

    # The operators are guarded, not `Query.combine`: for a slice Django builds a plain query first.
    def __and__(self, other: Any) -> Any:
        self._require_same_scope(other)
        return super().__and__(other)

    def __or__(self, other: Any) -> Any:
        self._require_same_scope(other)
        return super().__or__(other)

    def __xor__(self, other: Any) -> Any:
        self._require_same_scope(other)
        return super().__xor__(other)

    def _require_same_scope(self, other: Any) -> None:
        if not (self.query.is_empty() or other.query.is_empty()):
            self.query.require_same_scope(other.query)

    def require_ownership(self, rows: Iterable[M]) -> None:
        self.query.require_scope()
        for row in rows:
            if self.query.scope is not None and row.organization_key() != self.query.scope:
                raise ForeignOrganization(f"{self.model.__name__} belongs to another organization")

    def create(self, **kwargs: Any) -> M:
        self.query.require_scope()
        if self.query.scope is not None and self.model.organization_path == "organization":
            kwargs.setdefault("organization_id", self.query.scope)
            if "organization" in kwargs:
                kwargs.pop("organization_id")
        row = self.model(**kwargs)
        self.require_ownership([row])
        row.save(force_insert=True, using=self.db)
        return row

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        rows = list(objs)
        self.require_ownership(rows)
        return super().bulk_create(rows, *args, **kwargs)

    def bulk_update(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> int:
        rows = list(objs)
        self.require_ownership(rows)
        return super().bulk_update(rows, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        self.query.require_scope()
        self._refuse_move(kwargs)
        return super().update(**kwargs)

    def update_or_create(
        self, defaults: Any = None, create_defaults: Any = None, **kwargs: Any
    ) -> tuple[M, bool]:
        self.query.require_scope()
        self._refuse_move(defaults or {})
        return super().update_or_create(defaults, create_defaults, **kwargs)

    def _refuse_move(self, columns: dict[str, Any]) -> None:
        """Only for a model that carries its organization; deeper ones are left to review."""
        organization = columns.get("organization")
        target = organization.pk if organization else columns.get("organization_id")
        if target is not None and self.query.scope not in (None, target):
            raise ForeignOrganization(f"{self.model.__name__} cannot move to another organization")

    def delete(self) -> tuple[int, dict[str, int]]:
        self.query.require_scope()
        return super().delete()

    def _raw_delete(self, using: str | None) -> int:
        self.query.require_scope()
        # None where Django knows without asking that no row can match.
        return int(super()._raw_delete(using) or 0)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        if not _across.get():
            raise UnscopedQuery("raw SQL on a tenant's model")
        return super().raw(*args, **kwargs)


class ScopedManager(models.Manager[M]):
    def get_queryset(self) -> ScopedQuerySet[M]:
        queryset: ScopedQuerySet[M] = ScopedQuerySet(self.model, using=self._db)
        # A related manager starts from a row that somebody already reached legitimately.
        instance = getattr(self, "instance", None)
        if instance is not None:
            queryset.query.is_scoped = True
            queryset.query.scope = scope_of(instance)
        return queryset

    def for_organization(self, organization: Organization | UUID) -> ScopedQuerySet[M]:
        return self.get_queryset().for_organization(organization)

    def create(self, **kwargs: Any) -> M:
        return self.get_queryset().create(**kwargs)


def scope_of(instance: models.Model) -> UUID | None:
    """Whose rows a related manager may create; None where only a query could tell."""
    if isinstance(instance, ScopedModel) and instance.organization_path == "organization":
        return instance.organization_key()
    return instance.pk if instance._meta.label == "organizations.Organization" else None


class ScopedModel(models.Model):
    """A row that belongs to one organization, found by following `organization_path`."""

    organization_path: ClassVar[str] = "organization"

    objects: ClassVar[ScopedManager[Any]] = ScopedManager()

    class Meta:
        abstract = True

    def organization_key(self) -> UUID | None:
        """The owning organization's id, without a query where the row carries it."""
        row: Any = self
        *parents, last = self.organization_path.split("__")
        for name in parents:
            row = getattr(row, name)
        key: UUID | None = getattr(row, f"{last}_id")
        return key

    def owner_id(self) -> UUID:
        """The same where a row without an organization cannot exist."""
        key = self.organization_key()
        if key is None:
            raise ForeignOrganization(f"{type(self).__name__} without an organization")
        return key

    def validate_unique(self, exclude: Any = None) -> None:
        with across_organizations("constraint check"):
            super().validate_unique(exclude)

    def validate_constraints(self, exclude: Any = None) -> None:
        with across_organizations("constraint check"):
            super().validate_constraints(exclude)
