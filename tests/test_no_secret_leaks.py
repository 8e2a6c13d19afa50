"""Every token, code and secret of a full run, searched in every output of that run: zero.

The fake Amazon remembers in memory what it issued. The run goes through the front door: connect,
onboard, link, reconnect, failures and refusals, staff pages, commands, an exception with a
traceback. Then everything a person, an operator or a thief could read is searched for each
secret as it is, encoded, and reversed.
"""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from django.apps import apps
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils.encoding import force_str

from connections import token_imports
from connections.models import Connection
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from sellerlegend.jobs import ledger
from sellerlegend.logs import JsonFormatter
from sellerlegend.organizations.models import Organization, Role
from tests import bells, factories, staff, trips
from tests.amazon_emulator import RunningEmulator
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db(transaction=True)

SELLER = "A1NORTHSTAR001"
OTHER_SELLER = "A2BLUEHARBOR02"
ADS_LOGIN = "ads@northstar.example"
TABLE = ("name", "marketplace", "seller id", "refresh token")


class Collected:
    """Named outputs of the run."""

    def __init__(self) -> None:
        self.outputs: dict[str, str] = {}

    def add(self, name: str, content: Any) -> None:
        self.outputs[name] = self.outputs.get(name, "") + force_str(content, errors="replace")

    def page(self, client: Client, path: str, **headers: str) -> None:
        response = client.get(path, headers=headers)
        self.add(f"GET {path}", b"".join(response) if response.streaming else response.content)
        self.add(f"headers of {path}", dict(response.headers))


class LogLines(logging.Handler):
    """What our own formatter writes, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Everything logged at DEBUG, the libraries' loggers opened up as well."""
    handler = LogLines()
    loggers = [logging.getLogger(name) for name in ("", "urllib3", "httpx", "sp_api", "django.db")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)

    yield handler

    logging.getLogger().removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def disguises(secret: str) -> set[str]:
    """The forms in which a secret could slip through."""
    raw = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        secret.replace("|", "\\u007c"),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
        secret[::-1],
    }


def leaks(outputs: dict[str, str], secrets: frozenset[str]) -> list[str]:
    forms = {form for secret in secrets for form in disguises(secret)}
    return sorted({name for name, text in outputs.items() for form in forms if form in text})


# The run -----------------------------------------------------------------------------------


def walk_through(
    amazon: RunningEmulator, organization: Organization, seen: Collected
) -> Connection:
    """Connect (a hybrid application, so that an MWS token comes along), onboard, link, fail."""
    owner = factories.owner_of(organization)
    client = trips.sign_in(owner)
    amazon.scenario("hybrid_app")
    row = factories.make_waiting_connection(organization, name="Northstar")
    callback = trips.confirm(trips.leave(client, row), SELLER)
    answer = client.get(str(callback))
    seen.add("callback", dict(answer.headers))
    seen.add("callback again", client.get(str(callback)).content)
    seen.add("callback elsewhere", Client().get(str(callback)).content)
    ledger.drain("interactive")
    started = onboarding.startable(row)
    choose = reverse("marketplaces_onboard", args=[organization.slug, row.pk])
    seen.page(client, choose)
    client.post(choose, {"account": [str(account.pk) for account in started]})
    seen.add("messages", bells.heard())
    ledger.drain("interactive")
    chosen = [
        account.pk
        for account in MarketplaceAccount.objects.for_organization(organization).filter(
            connection=row, is_participating=True
        )
    ]
    client.get(str(trips.allow(trips.leave_for_ads(client, row, chosen), ADS_LOGIN)))
    ledger.drain("interactive")
    fail(amazon, client, row, seen)
    return row


def fail(amazon: RunningEmulator, client: Client, row: Connection, seen: Collected) -> None:
    """A refused code, a wrong client secret, an HTML page instead of a token, a revoked grant."""
    for trouble in ("wrong_secret", "html_error_page"):
        amazon.scenario(trouble)
        back = client.get(str(trips.confirm(trips.leave(client, row), SELLER)))
        seen.page(client, back.headers["Location"])
    amazon.scenario("normal")
    back = client.get(str(trips.confirm(trips.leave(client, row), SELLER).with_params(state=None)))
    seen.page(client, back.headers["Location"])
    amazon.world.sellers[SELLER].revoke_grant()
    marketplace_services.begin_reading(connection=row)
    ledger.drain("interactive")


def import_tokens(amazon: RunningEmulator, organization: Organization, seen: Collected) -> None:
    """A file with a token that Amazon accepts, one that it refuses, one that is twice there, one
    whose row is spoiled; another file that nobody confirms; and one that ends in our own error."""
    slug = organization.slug
    client = signed_in_freshly(factories.owner_of(organization))
    client.raise_request_exception = False
    good, refused, twice, spoiled, unconfirmed, lost = (
        amazon.world.authorize(OTHER_SELLER, "NA") for _ in range(6)
    )
    new = reverse("token_import_new", args=[slug])

    def bring(*rows: tuple[str, ...]) -> str:
        lines = [",".join(cells) for cells in (TABLE, *rows)]
        answer = client.post(new, {"text": "\n".join(lines)})
        seen.add("import", answer.content)
        seen.add("import, headers", dict(answer.headers))
        return str(answer.headers.get("Location", new))

    page = bring(
        ("Brought", "US", OTHER_SELLER, good),
        ("Refused", "CA", "A9REFUSED", f"{refused}x"),
        ("Twice", "US", "A9TWICE", twice),
        ("Again", "US", "A9TWICE", twice),
        ("Spoiled", "nowhere", "A9SPOILED", spoiled),
    )
    seen.page(client, page)
    seen.add("confirm", client.post(page, {"action": "confirm"}).content)
    seen.add("messages", bells.heard())
    ledger.drain("interactive")
    seen.page(client, page)
    seen.page(client, page, HX_Request="true")
    seen.page(client, bring(("Later", "US", "A9LATER", unconfirmed)))
    seen.page(client, bring(("Not whole", "US", "A9", f'"{unconfirmed}')))
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(token_imports, "keep", lambda **_rows: 1 / 0)
        bring(("Lost", "US", "A9LOST", lost))
    kinds = (("csv", "export"), ("xlsx", "workbook"))
    for kind, name in kinds:
        answer = client.post(reverse("connections_export", args=[slug]), {"kind": kind})
        seen.add(name, b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    assert "Brought" in seen.outputs["export"]


def look_at_every_page(organization: Organization, row: Connection, seen: Collected) -> None:
    slug = organization.slug
    for role in (Role.VIEWER, Role.OWNER):
        client = signed_in_freshly(factories.make_member(organization, role))
        for name in ("account_connections", "connection_new", "organization_settings"):
            seen.page(client, reverse(name, args=[slug]))
        seen.page(client, reverse("connection_changes", args=[slug]) + "?since=0")
        for name in ("details", "authorize", "rename", "undo", "another_region"):
            path = reverse(f"connection_{name}", args=[slug, row.pk])
            seen.page(client, path)
            seen.page(client, path, HX_Request="true")
        seen.page(client, reverse("ppc_connect", args=[slug, row.pk]))
        for name in ("profile", "security", "home"):
            seen.page(client, reverse(name))


def look_at_the_admin(seen: Collected) -> None:
    """Every list and every row's page, as support and as superuser."""
    for person in (staff.make_support(), factories.make_user(is_staff=True, is_superuser=True)):
        client = signed_in_freshly(person)
        seen.page(client, reverse("staff_setup"))
        for model in apps.get_models():
            try:
                listing = reverse(
                    f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
                )
            except Exception:  # noqa: BLE001  # not in the admin
                continue
            seen.page(client, listing)
            for row in model._base_manager.all()[:3]:
                seen.page(client, f"{listing}{row.pk}/change/")
                seen.page(client, f"{listing}{row.pk}/history/")


def run_every_command(seen: Collected) -> None:
    for name, arguments in (
        ("resync_tokens", ["--json"]),
        ("resync_tokens", ["--dry-run"]),
        ("finalize_onboarding", ["--json"]),
        ("link_ppc", ["--json"]),
        ("prune", ["--yes", "--json"]),
        ("dumpdata", []),
        ("check", []),
    ):
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command(name, *arguments, stdout=out, stderr=err)
        except SystemExit as error:
            seen.add(f"{name} exit", error)
        except Exception as error:  # noqa: BLE001  # its text is an output too
            seen.add(f"{name} error", repr(error))
        seen.add(name, out.getvalue() + err.getvalue())


def rotate_the_client_secret(amazon: RunningEmulator, seen: Collected, path: Path) -> None:
    """Amazon's message in a file: a secret that the product stores, seals and uses."""
    amazon.world.rotate_secret()
    path.write_text(json.dumps(amazon.world.queue[-1]))
    out, err = io.StringIO(), io.StringIO()
    arguments = ["--no-rotate", "--message-file", str(path)]
    call_command("rotate_client_secret", *arguments, stdout=out, stderr=err)
    seen.add("rotate_client_secret", out.getvalue() + err.getvalue())


def dump_the_database(seen: Collected) -> None:
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            seen.add(f"table {table}", cursor.fetchall())


def dump_redis(seen: Collected) -> None:
    if not django_settings.REDIS_URL:
        return
    prefix = caches["default"].key_prefix
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    for key in client.scan_iter(f"*{prefix}*"):
        seen.add("redis", [key, client.dump(key), client.get(key)])


def test_no_secret_of_a_full_run_is_in_any_output(
    amazon: RunningEmulator, log_lines: LogLines, settings: Any, tmp_path: Path
) -> None:
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    organization = factories.make_organization("Northstar Trading")
    seen = Collected()

    row = walk_through(amazon, organization, seen)
    rotate_the_client_secret(amazon, seen, tmp_path / "message.json")
    import_tokens(amazon, organization, seen)
    look_at_every_page(organization, row, seen)
    look_at_the_admin(seen)
    run_every_command(seen)
    dump_the_database(seen)
    dump_redis(seen)
    seen.add("mails", [message.message().as_string() for message in mail.outbox])
    seen.add("logs", "\n".join(log_lines.lines))

    secrets = amazon.issued_secrets() | own_secrets()
    assert len(secrets) > 10
    assert len(seen.outputs) > 60
    assert "grant_refreshed" in seen.outputs["logs"]
    assert (
        row.name in seen.outputs[f"GET {reverse('account_connections', args=[organization.slug])}"]
    )
    assert leaks(seen.outputs, secrets) == []


def own_secrets() -> frozenset[str]:
    """The application's own: client secrets and the key ring."""
    ring = django_settings.TOKEN_ENCRYPTION_KEYS.values()
    return frozenset(
        {
            *(secret.reveal() for secret in django_settings.SPAPI_CLIENT.secrets),
            *(secret.reveal() for secret in django_settings.ADS_CLIENT.secrets),
            *(base64.b64encode(key).decode() for key in ring),
        }
    )


def test_the_search_finds_what_is_there() -> None:
    secret = "Atzr|IwEBIExampleExampleExample"

    for form in disguises(secret):
        assert leaks({"page": f"before {form} after"}, frozenset({secret})) == ["page"]
    assert leaks({"page": "nothing here"}, frozenset({secret})) == []
