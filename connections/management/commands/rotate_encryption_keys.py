"""Bring every organization's data key under the first key of the ring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from connections import rotation
from sellerlegend import crypto
from sellerlegend.applications import upkeep
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, refuse_wrong_keys
from sellerlegend.organizations import custody, second_secrets
from sellerlegend.organizations.audit import COMMAND, record_event
from sellerlegend.organizations.models import Organization, VaultKey
from sellerlegend.organizations.scoping import across_organizations


def refuse_a_bad_first_key() -> None:
    try:
        custody.require_good_first_key()
    except custody.KeyRefused as refused:
        raise CommandError(f"{refused} Nothing was done.") from None


class Command(OpsCommand):
    help = (
        "Wrap every organization's data key, and those of client secrets, with the first key of "
        "TOKEN_ENCRYPTION_KEYS. Runs while the product works, may be killed and repeated."
    )
    works_in_quarantine = True
    verb = "rotate"
    scope_options = ("organization", "limit", "after")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new_data_key = False
        self.renew_since: datetime | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--new-data-keys",
            action="store_true",
            help="a data key may be known to somebody: replace it and seal every token anew",
        )
        parser.add_argument(
            "--retire", metavar="KID", help="say whether this key may leave the ring (exit 1: no)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            custody.remember_keys()
        if options["retire"]:
            self.retire(options["retire"])
            return
        refuse_wrong_keys()
        refuse_a_bad_first_key()
        self.renew_since = self.renewal(options)
        self.is_new_data_key = self.renew_since is not None
        is_whole = not (options["dry_run"] or options["organization"])
        unreadable = self.rotate_client_secrets() if is_whole else 0
        if is_whole:
            self.seal_second_steps_anew()
        try:
            super().handle(*args, **options)
        finally:
            left = self.left_of_renewal() if is_whole else 0
            self.print_keys(as_json=options["json"], is_dry=options["dry_run"])
        if left:
            raise CommandError("The renewal is not over: run again.", returncode=3)
        if unreadable:
            raise CommandError(
                f"{unreadable} client secrets do not open. Put back the key they are under, or "
                "give each secret again: rotate_client_secret --no-rotate.",
                returncode=3,
            )

    def renewal(self, options: Mapping[str, Any]) -> datetime | None:
        """From when on a data key counts as new. What an earlier run began goes on, whether or
        not this one asks for it; one organization alone is nothing to go on with."""
        if options["organization"] or options["dry_run"]:
            return timezone.now() if options["new_data_keys"] else None
        under_way = rotation.renewal_began_at()
        if under_way is not None:
            left = rotation.left_of_renewal(under_way).count()
            self.say(f"Going on with the renewal of {under_way:%Y-%m-%d %H:%M} UTC: {left} left.")
            return under_way
        return rotation.begin_renewal(COMMAND) if options["new_data_keys"] else None

    def left_of_renewal(self) -> int:
        if self.renew_since is None:
            return 0
        left = rotation.end_renewal(self.renew_since, COMMAND)
        self.say(f"Data keys of organizations from before the renewal: {left} left.")
        return left

    def rotate_client_secrets(self) -> int:
        """Before the organizations: these rows are few. Returns how many do not open."""
        written = upkeep.rewrap(is_new_data_key=self.is_new_data_key)
        if written:
            record_event("client_secrets_rewrapped", actor=COMMAND, count=written)
            self.say(f"{written} client secrets: wrapped by {crypto.first_kid()}.")
        return upkeep.unreadable_secrets()

    def targets(self, scope: Scope) -> list[Target]:
        rows = Organization.objects.exclude(data_key="").order_by("pk")
        if scope.organization:
            rows = rows.filter(pk=scope.organization.pk)
        if scope.after:
            rows = rows.filter(pk__gt=scope.after)
        facts = rows.values_list("pk", "slug", "data_key")[: scope.limit]
        return [
            Target(pk, {"organization": slug, "key": "+".join(sorted(kids))})
            for pk, slug, kids in ((pk, slug, crypto.wrapping_kids(key)) for pk, slug, key in facts)
        ]

    def perform(self, target: Target) -> Outcome:
        with across_organizations("rotate_encryption_keys"):
            step, unreadable = rotation.rotate(UUID(str(target.key)), renew_since=self.renew_since)
        if unreadable:
            return Outcome(Ending.ATTENTION, f"{unreadable} secrets do not open")
        if step != rotation.Step.CURRENT:
            organization = Organization.objects.get(pk=target.key)
            record_event(f"data_key_{step}", actor=COMMAND, organization=organization)
        return Outcome(Ending.DONE, step)

    def seal_second_steps_anew(self) -> None:
        """They belong to people, and to no organization."""
        written, unreadable = second_secrets.seal_anew(is_new_data_key=self.is_new_data_key)
        self.say(f"Second steps of people: {written} sealed anew, {unreadable} do not open.")

    def print_keys(self, *, as_json: bool, is_dry: bool) -> None:
        """Each key by id, never by value: how many rows use it, and since when it is known. A dry
        run remembers none: it may be the one that shows that a key was mistyped."""
        counts = custody.rows_by_key()
        with transaction.atomic():
            custody.remember_keys(counts)
            keys = list(VaultKey.objects.order_by("first_seen_at", "pk"))
            transaction.set_rollback(is_dry)
        for key in keys:
            facts = {
                "key": key.pk,
                "rows": counts[key.pk],
                "is_loaded": key.pk in settings.TOKEN_ENCRYPTION_KEYS,
                "is_first": key.pk == crypto.first_kid(),
                "first_seen": key.first_seen_at.isoformat(timespec="seconds"),
                "retired": key.retired_at.isoformat(timespec="seconds") if key.retired_at else "",
            }
            if as_json:
                self.stdout.write(json.dumps(facts))
            else:
                self.stdout.write(" ".join(f"{name}={value}" for name, value in facts.items()))

    def retire(self, kid: str) -> None:
        """Exit code 1 while rows use it, or while it is the one that encrypts."""
        if kid == crypto.first_kid():
            raise CommandError(f"{kid} is the first key of the ring: it encrypts.")
        if not VaultKey.objects.filter(pk=kid).exists():
            raise CommandError(f"There is no key {kid}.")
        kinds = custody.rows_by_kind()
        unknown = sum(counts[crypto.UNKNOWN_KID] for counts in kinds.values())
        if unknown:
            raise CommandError(
                f"{unknown} data keys are damaged: which key wraps them cannot be told."
            )
        rows = [f"{counts[kid]} {kind}" for kind, counts in kinds.items() if counts[kid]]
        if rows:
            raise CommandError(
                f"{' and '.join(rows)} still use {kid}. Run rotate_encryption_keys first."
            )
        VaultKey.objects.filter(pk=kid, retired_at=None).update(retired_at=timezone.now())
        record_event("encryption_key_retired", actor=COMMAND, kid=kid)
        self.stdout.write(
            f"0 rows use {kid}: it may be removed from TOKEN_ENCRYPTION_KEYS. "
            "Keep it in a safe as long as a backup from before today is kept."
        )
