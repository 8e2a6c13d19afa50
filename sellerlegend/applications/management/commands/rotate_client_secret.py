"""Replace the client secret of one of our applications at Amazon."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sellerlegend import crypto
from sellerlegend.amazon.application import RotationNotPossible
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, ClientMisconfigured
from sellerlegend.amazon.notifications import (
    NewSecret,
    Notification,
    SecretExpiry,
    plain_secret,
    read_notifications,
)
from sellerlegend.amazon.queue import Queue, QueueUnreachable
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients, rotation
from sellerlegend.applications.messages import STANDARD_INPUT, Source, Unreadable, wait_for
from sellerlegend.applications.models import LwaApplication
from sellerlegend.command_numbers import between
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target
from sellerlegend.organizations import custody
from sellerlegend.organizations.audit import COMMAND

WAIT_SECONDS = 120
DAY_SECONDS = 86_400
# Login with Amazon is not older.
FIRST_SECRETS = date(2013, 1, 1)
WORDS = {
    "message_awaited": "A rotation was asked for and its message has not been read yet. Run again "
    "with --no-rotate and the message; --again asks Amazon for another secret.",
    "overlap_running": "The secret before this one is still accepted; rotating now would end it "
    "at once. Wait until its seven days are over, or use --again.",
    "no_secret": "The environment holds no client secret to begin with.",
    "no_message": "Amazon sends the new secret to the registered queue. Fetch that message, then "
    "run again with --no-rotate --message-file FILE (or - for standard input).",
    "no_secret_in_it": "No new secret of this client was in what was given, and nothing was "
    "changed. Fetch Amazon's message, then run again with --no-rotate --message-file FILE (or - "
    "for standard input); --wait SECONDS looks again until it comes.",
    "message_unreadable": "Nothing was changed, and Amazon was not asked for a new secret. Give "
    "--message-file the file with Amazon's message, or - for standard input, and run again.",
    "message_later": "Amazon was asked for a new secret already. Fetch its message, then run again "
    "with --no-rotate --message-file FILE (or - for standard input).",
    "not_enrolled": "Amazon has no queue for this application: register one in the Developer "
    "Console, Notification Preferences.",
    "refused": "Amazon refuses the new secret. The present one stays in force.",
    "unavailable": "Amazon did not answer. If it was asked for a new secret already, its message "
    "may come all the same: run again with --no-rotate.",
    "dated_by_amazon": "Amazon's own message says when the present secret ends, and that counts; "
    "nothing was changed.",
    "in_the_future": "A secret is not issued in the future.",
    "in_force": "That secret is stored and in force already; nothing was changed.",
    "older": "That secret is stored, but a newer one is in force and stays so. Fetch the latest "
    "message.",
    "vault_refused": "So the new secret was not stored. Put the right key into "
    "TOKEN_ENCRYPTION_KEYS, then run again with --no-rotate and the same message.",
    "not_stored": "The secret could not be stored: another run may be at it. Run again with the "
    "same message, which was kept.",
}


def issue_date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = date.min
    if found < FIRST_SECRETS:
        raise argparse.ArgumentTypeError(f"give a date such as {date.today()}")  # noqa: DTZ011
    return found


class Command(OpsCommand):
    help = (
        "Rotate the client secret of an application: ask Amazon for a new one (Selling Partner "
        "API only), read it from Amazon's message, prove it, and use it everywhere within "
        "seconds. The old one stays as the second one until Amazon ends it. For Amazon Ads, and "
        "after a rotation in the console, give the new secret itself with --no-rotate. A secret "
        "is read from a file, standard input or the queue, never from an argument."
    )
    verb = "rotate"
    scope_options = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.source = Source()
        self.wanted: Mapping[str, Any] = {}
        self.warned: set[SecretExpiry] = set()
        self.has_asked = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--client", choices=LwaApplication.values, default="spapi")
        parser.add_argument(
            "--no-rotate", action="store_true", help="only take the new secret, ask for none"
        )
        parser.add_argument(
            "--again", action="store_true", help="ask although an earlier rotation is not over"
        )
        parser.add_argument(
            "--message-file", metavar="FILE", help="Amazon's message; - is standard input"
        )
        parser.add_argument("--queue-url", metavar="URL", help="read the queue itself (boto3)")
        parser.add_argument(
            "--wait",
            type=between(0, DAY_SECONDS),
            metavar="SECONDS",
            help=f"for the message ({WAIT_SECONDS}; 0 for a file with --no-rotate)",
        )
        parser.add_argument(
            "--region", choices=[region.value for region in Region], default=Region.NA.value
        )
        parser.add_argument(
            "--issued-on",
            type=issue_date,
            metavar="DATE",
            help="only write down when the present secret was issued",
        )

    def scope_from(self, options: Mapping[str, Any]) -> Scope:
        self.wanted = options
        if options["message_file"] and options["queue_url"]:
            raise CommandError("Give --message-file or --queue-url, not both.", returncode=2)
        try:
            queue = Queue(options["queue_url"]) if options["queue_url"] else None
        except QueueUnreachable as error:
            raise CommandError(str(error)) from None
        path = options["message_file"] or ("" if sys.stdin.isatty() else STANDARD_INPUT)
        self.source = Source(path=path, queue=queue)
        return super().scope_from(options)

    def targets(self, scope: Scope) -> list[Target]:
        application = LwaApplication(scope.options["client"])
        present = clients.in_force(clients.held_rows(application))
        facts = {
            "client_id": clients.configured_client(application).client_id,
            "present": present.fingerprint if present else "",
        }
        return [Target(application.value, facts)]

    def perform(self, target: Target) -> Outcome:
        application = LwaApplication(str(target.key))
        try:
            return self.rotate(application)
        except rotation.RotationRefused as error:
            return self.told(Ending.ATTENTION, error.reason)
        except RotationNotPossible:
            return self.told(Ending.ATTENTION, "not_enrolled")
        except ClientMisconfigured:
            return self.told(Ending.FAILED, "refused")
        except AmazonUnavailable:
            return self.told(Ending.WAITING, "unavailable")
        except AmazonError as error:
            self.say(str(error))
            return Outcome(Ending.FAILED, type(error).__name__)
        except custody.KeyRefused as error:
            self.say(str(error))
            return self.told(Ending.ATTENTION, "vault_refused")
        except (Unreadable, QueueUnreachable) as error:
            self.say(str(error))
            step = "message_later" if self.has_asked else "message_unreadable"
            return self.told(Ending.FAILED, step)

    def rotate(self, application: LwaApplication) -> Outcome:
        if self.wanted["issued_on"]:
            return self.set_date(application)
        asks = application == LwaApplication.SPAPI and not self.wanted["no_rotate"]
        known = self.known_before() if asks else frozenset()
        if asks:
            rotation.request_rotation(
                region=Region(self.wanted["region"]),
                actor=COMMAND,
                is_again=self.wanted["again"],
            )
            self.has_asked = True
            self.say("Amazon was asked for a new secret.")
        new = self.find_secret(application, known)
        if new is None:
            return self.told(Ending.WAITING, "no_message" if self.may_come() else "no_secret_in_it")
        is_new = rotation.adopt(application, new, actor=COMMAND)
        if not rotation.is_stored(application, new.secret):
            return self.told(Ending.WAITING, "not_stored")
        self.tidy(new.secret)
        row = rotation.newest_row(application)
        if row.fingerprint != crypto.fingerprint(new.secret):
            return self.told(Ending.ATTENTION, "older")
        if not is_new:
            return self.told(Ending.DONE, "in_force")
        return Outcome(Ending.DONE, f"in force: {row.fingerprint}")

    def tidy(self, secret: Secret) -> None:
        """The secret is safe: a message that stays does no harm."""
        try:
            self.source.done(secret)
        except QueueUnreachable as error:
            self.say(f"{error} The message stays in the queue, and may be deleted there.")

    def set_date(self, application: LwaApplication) -> Outcome:
        issued_on: date = self.wanted["issued_on"]
        issued_at = datetime(issued_on.year, issued_on.month, issued_on.day, tzinfo=UTC)
        if issued_at > datetime.now(UTC):
            raise rotation.RotationRefused("in_the_future")
        rotation.set_issue_date(application, issued_at, actor=COMMAND)
        return Outcome(Ending.DONE, f"issued on {issued_on}")

    # The message -----------------------------------------------------------------------

    def known_before(self) -> frozenset[NewSecret]:
        """What stands in a file before Amazon is asked is not the answer."""
        is_file = self.source.may_grow and self.source.queue is None
        found = read_notifications(self.source.read()) if is_file else []
        return frozenset(item for item in found if isinstance(item, NewSecret))

    def find_secret(
        self, application: LwaApplication, known: frozenset[NewSecret]
    ) -> NewSecret | None:
        if not self.source.path and self.source.queue is None:
            return self.typed(application)
        found: list[NewSecret] = []

        def look() -> bool:
            new = self.read_once(application, known)
            found.extend([new] if new else [])
            return bool(found)

        wait_for(look, self.patience())
        return found[-1] if found else None

    def may_come(self) -> bool:
        """What was saved before this run holds the message, or does not."""
        return self.has_asked or self.source.queue is not None

    def patience(self) -> float:
        if not self.source.may_grow:
            return 0
        if self.wanted["wait"] is None:
            return WAIT_SECONDS if self.may_come() else 0
        return float(self.wanted["wait"])

    def read_once(
        self, application: LwaApplication, known: frozenset[NewSecret]
    ) -> NewSecret | None:
        text = self.source.read()
        notifications = read_notifications(text)
        self.warn({item for item in notifications if isinstance(item, SecretExpiry)})
        alone = plain_secret(text) if self.takes_plain_secrets(application) else None
        if alone is not None:
            return NewSecret(clients.configured_client(application).client_id, alone)
        fresh = [
            item
            for item in notifications
            if item not in known and not self.is_of_before(application, item)
        ]
        return rotation.newest_of(application, fresh)

    def is_of_before(self, application: LwaApplication, item: Notification) -> bool:
        """A message left in the queue, whose secret is stored, answers no question of now."""
        return (
            self.has_asked
            and isinstance(item, NewSecret)
            and rotation.is_stored(application, item.secret)
        )

    def warn(self, notices: set[SecretExpiry]) -> None:
        for item in sorted(notices - self.warned, key=str):
            self.say(f"Amazon ends the secret of {item.client_id} at {item.expires_at}.")
        self.warned |= notices

    def takes_plain_secrets(self, application: LwaApplication) -> bool:
        return application == LwaApplication.ADS or bool(self.wanted["no_rotate"])

    def typed(self, application: LwaApplication) -> NewSecret | None:
        """On a terminal, without an echo."""
        if not self.takes_plain_secrets(application):
            return None
        secret = plain_secret(getpass.getpass("New client secret: "))
        client_id = clients.configured_client(application).client_id
        return NewSecret(client_id, secret) if secret else None

    def told(self, ending: Ending, reason: str) -> Outcome:
        if reason in WORDS:
            self.say(WORDS[reason])
        return Outcome(ending, reason)
