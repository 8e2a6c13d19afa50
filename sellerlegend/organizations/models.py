"""People, organizations, who may do what, and the record of what happened."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.scoping import ScopedManager, ScopedModel, ScopedQuerySet


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(_("Choose a time zone from the list."))


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Signs in by email; belongs to organizations through memberships."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("email address"), unique=True)
    name = models.CharField(_("name"), max_length=150, blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    # The database's own default is for rows that know nothing of it yet.
    password_set_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    last_organization = models.ForeignKey(
        "Organization", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_ignoring_case")]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def has_outdated_password(self) -> bool:
        """Whoever has none, and signs in with a passkey, has none that is too old."""
        oldest = timezone.now() - timedelta(days=settings.PASSWORD_LASTS_DAYS)
        return self.has_usable_password() and self.password_set_at < oldest


class PastPassword(models.Model):
    """The hash of a password that a person set, the present one's among them: none comes back
    soon. Goes with the person; `passwords.py` keeps the last ones only."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="past_passwords")
    password = models.CharField(max_length=128)
    set_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.set_at:%Y-%m-%d}"


def user_display(user: User) -> str:
    return str(user)


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer")
    MEMBER = "member", _("Member")
    ADMIN = "admin", _("Admin")
    OWNER = "owner", _("Owner")

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def covers(self, other: Role) -> bool:
        """Whether this role may do everything `other` may."""
        return self.rank >= other.rank


class Organization(models.Model):
    """A tenant. `data_key` is its own vault key, wrapped by the key ring; destroying it
    makes every token of the organization unreadable, in backups too."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(max_length=80, unique=True)
    data_key = models.TextField(editable=False)
    # Of the newest of its data keys; null: not known, so older than any renewal.
    data_key_born_at = models.DateTimeField(null=True, default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # A tombstone: deleted with its data key and all access, later erased.
    deleted_at = models.DateTimeField(null=True, editable=False)
    data_key_destroyed_at = models.DateTimeField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)
    # Grows with every change of a connection row; `listed_at_revision` is its value when the
    # set or the order of rows last changed. The page polls against these two numbers.
    revision = models.BigIntegerField(default=1, editable=False)
    listed_at_revision = models.BigIntegerField(default=1, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(data_key="", data_key_destroyed_at__isnull=False),
                name="organization_deleted_has_no_key",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.slug


class VaultKey(models.Model):
    """A key of the ring by its id: since when it is known, and since when no row uses it.
    `canary` is sealed with it: another key under the same id does not open that."""

    kid = models.CharField(_("key id"), max_length=64, primary_key=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    retired_at = models.DateTimeField(_("retired"), null=True)
    canary = models.TextField(blank=True, default="", db_default="", editable=False)

    def __str__(self) -> str:
        return self.kid


class InstallationState(models.Model):
    """One row: which installation this is, where its data lives, and whether it may call."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    installation = models.UUIDField(default=uuid.uuid4, editable=False)
    database = models.CharField(max_length=60, blank=True)
    beats = models.BigIntegerField(default=0)
    quarantined_at = models.DateTimeField(null=True)
    # Since when every older data key is to be replaced; null when none is left.
    renewal_began_at = models.DateTimeField(null=True)
    quarantine_cause = models.CharField(max_length=30, blank=True, default="", db_default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_installation_state")]

    def __str__(self) -> str:
        return str(self.installation)


class MembershipQuerySet(ScopedQuerySet["Membership"]):
    def for_user(self, user: User) -> MembershipQuerySet:
        """The person's own memberships: the one door from a login to its organizations."""
        own = self.filter(user_id=user.pk)
        own.query.is_scoped = True
        return own


class MembershipManager(ScopedManager["Membership"]):
    def get_queryset(self) -> MembershipQuerySet:
        queryset = MembershipQuerySet(self.model, using=self._db)
        if getattr(self, "instance", None) is not None:
            queryset.query.is_scoped = True
        return queryset

    def for_user(self, user: User) -> MembershipQuerySet:
        return self.get_queryset().for_user(user)


class Membership(ScopedModel):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    # Sees only what `connections.Reach` names; nothing, when that is gone.
    is_limited = models.BooleanField(default=False, db_default=False)
    # While the role is one that sees everything: the limit that comes back with a lower one.
    has_sleeping_limit = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[MembershipManager] = MembershipManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_each"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
            models.CheckConstraint(
                condition=Q(is_limited=False) | Q(role__in=["viewer", "member"]),
                name="membership_limited_is_no_admin",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"

    def may(self, role: Role) -> bool:
        return Role(self.role).covers(role)


class Invitation(ScopedModel):
    """Somebody may become a member: who reads the mail of `email` and signs in with that address.
    Only a digest of the link is stored. Past `expires_at` an open one opens nothing."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        ACCEPTED = "accepted", _("Accepted")
        REVOKED = "revoked", _("Revoked")

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "invitation"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {Status.OPEN: {Status.ACCEPTED, Status.REVOKED}}
    LIFETIME: ClassVar[timedelta] = timedelta(days=7)
    # Nobody makes an owner by mail.
    ROLES: ClassVar[tuple[Role, ...]] = (Role.VIEWER, Role.MEMBER, Role.ADMIN)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField(_("email address"))
    role = models.CharField(max_length=10, choices=Role.choices)
    # Who comes by it sees nothing until an administrator chose what.
    is_limited = models.BooleanField(default=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    # When a mail server last took its mail; null: none did yet.
    sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=Q(status="open"),
                name="one_open_invitation_each",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["open", "accepted", "revoked"]),
                name="invitation_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status="open", ended_at=None)
                | (~Q(status="open") & Q(ended_at__isnull=False)),
                name="invitation_ended_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["viewer", "member"]) | Q(role="admin", is_limited=False),
                name="invitation_role_by_mail",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.status}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class AuditEventImmutable(RuntimeError):
    """Audit events are written once; only `prune` removes them, by age."""


class AuditEvent(ScopedModel):
    """What happened, to what, by whom. Append-only. `details` never holds a secret."""

    class ActorKind(models.TextChoices):
        PERSON = "person", _("Person")
        STAFF = "staff", _("Staff")
        WORKER = "worker", _("Worker")
        COMMAND = "command", _("Command")
        CLIENT = "client", _("Client by link")

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.SET_NULL, related_name="audit_events"
    )
    at = models.DateTimeField(default=timezone.now, db_index=True)
    code = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10, choices=ActorKind.choices)
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    subject_type = models.CharField(max_length=40, blank=True)
    subject_id = models.UUIDField(null=True)
    connection_id = models.UUIDField(null=True)
    reference = models.CharField(max_length=12, blank=True, db_index=True)
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "-at"], name="audit_by_organization"),
            models.Index(fields=["connection_id", "-at"], name="audit_by_connection"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.code}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditEventImmutable(self.code)
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AuditEventImmutable(self.code)


class VaultUse(ScopedModel):
    """How often long-lived secrets of an organization were opened, by purpose and day (UTC)."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=12)
    day = models.DateField()
    count = models.BigIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "purpose", "day"], name="vault_use_once_a_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.purpose} {self.count}"


class StaffNotice(models.Model):
    """A fault of ours on one day, and whether staff have a mail about it (`staff_notices.py`)."""

    cause = models.CharField(max_length=40)
    day = models.DateField()
    claimed_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cause", "day"], name="one_staff_notice_a_day")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.cause}"


class Allowance(models.Model):
    """How much of a rate limit somebody has used up (`limits.py`). `key` is a keyed digest."""

    key = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=40)
    # Seconds since 1970, by the web process's clock: when every token is back.
    spent_until = models.FloatField(db_index=True)
    # Refusals since the last time that somebody was let through.
    refused = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.kind} {self.key[:12]}"
