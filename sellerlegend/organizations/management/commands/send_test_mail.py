"""Send one mail and say what the mail server answered."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.core.validators import validate_email

from sellerlegend.commands import WRONG_USAGE, Ending, OpsCommand, Outcome, Scope, Target
from sellerlegend.organizations import mail_trial
from sellerlegend.organizations.audit import COMMAND


class Command(OpsCommand):
    help = "Send a test mail to one address and say in words what the mail server answered."
    verb = "send"
    scope_options = ()
    # It asks nothing of Amazon, and a restored installation may want to know.
    works_in_quarantine = True

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("address", help="whom to send it to")

    def targets(self, scope: Scope) -> list[Target]:
        address = scope.options["address"]
        try:
            validate_email(address)
        except ValidationError:
            raise CommandError("This is no mail address.", returncode=WRONG_USAGE) from None
        return [Target(address, {})]

    def perform(self, target: Target) -> Outcome:
        answer = mail_trial.send(str(target.key), actor=COMMAND)
        self.say(answer.words)
        return Outcome(Ending.DONE if answer.is_accepted else Ending.FAILED, answer.code)
