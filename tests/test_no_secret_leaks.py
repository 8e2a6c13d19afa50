"""Every token, code and secret of a full run, searched in every output of that run: zero.

The fake Amazon remembers in memory what it issued. The run goes through the front door: connect,
onboard, link, reconnect, failures and refusals, every page of the URL table, every page of the
staff site, every command, an exception with a traceback. Then everything a person, an operator or a
thief could read is searched for each secret as it is, encoded, and reversed; for the addresses that
are secrets everywhere but where their holder reads them.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote

import pytest
import redis
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import caches
from django.core.mail import EmailMessage
from django.core.management import get_commands
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
from sellerlegend.organizations.models import Allowance, Organization, Role
from tests import bells, client_trips, factories, staff, trips
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import (
    ORGANIZATION_ROUTES,
    PERSONAL_ROUTES,
    PUBLIC_ROUTES,
    Route,
)
from tests.architecture.test_route_matrix import PEOPLE, Ids
from tests.operators import run_command
from tests.signing_in import signed_in_freshly
from tests.trees import Tree, ids_of, make_tree

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("plain_rendering"),
]

SELLER = "A1NORTHSTAR001"
OTHER_SELLER = "A2BLUEHARBOR02"
ADS_LOGIN = "ads@northstar.example"
TABLE = ("name", "marketplace", "seller id", "refresh token")
ANSWERED = (200, 302, 303)
HTMX = {"HX-Request": "true"}
# How the tokens of `tests/factories.py` begin, which nobody issued.
MADE_UP = frozenset({"Atzr|made-up-", "Atzr|brought-"})


class Collected:
    """Named outputs of the run."""

    def __init__(self) -> None:
        self.outputs: dict[str, str] = {}
        # A page that is not there, or a command that breaks, tells nothing.
        self.surprises: list[str] = []

    def add(self, name: str, content: Any) -> None:
        self.outputs[name] = self.outputs.get(name, "") + force_str(content, errors="replace")

    def answer(self, name: str, response: Any) -> None:
        body = b"".join(response) if response.streaming else response.content
        self.add(name, opened(body))
        self.add(f"headers of {name}", [dict(response.headers), response.cookies.output()])

    def page(
        self,
        client: Client,
        path: str,
        statuses: tuple[int, ...] = ANSWERED,
        headers: dict[str, str] | None = None,
    ) -> Any:
        Allowance.objects.all().delete()  # how often one may is told elsewhere
        response = client.get(path, headers=headers or {})
        if response.status_code not in statuses:
            self.surprises.append(f"{path}: {response.status_code}")
        self.answer(f"GET {path}", response)
        return response


def opened(body: bytes) -> bytes:
    """A workbook is a zip of XML; a calendar folds its long lines."""
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as box:
            return b"\n".join(box.read(name) for name in box.namelist())
    return body.replace(b"\r\n ", b"") if body.startswith(b"BEGIN:VCALENDAR") else body


def as_read(message: EmailMessage) -> str:
    """Headers and parts without the encodings of mail."""
    parts = [(part, part.get_payload(decode=True)) for part in message.message().walk()]
    return "\n".join(f"{part.items()} {force_str(content or b'')}" for part, content in parts)


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
    seen.answer("a client's end", client_trips.whole_trip(Client(), client_trips.ask(row), SELLER))
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
    seen.page(client, back.headers["Location"], (400,))
    amazon.world.sellers[SELLER].revoke_grant()
    marketplace_services.begin_reading(connection=row)
    ledger.drain("interactive")


def import_tokens(amazon: RunningEmulator, tree: Tree, seen: Collected) -> None:
    """A file with a token that Amazon accepts, one that it refuses, one that is twice there, one
    whose row is spoiled; another file that nobody confirms; and one that ends in our own error."""
    slug = tree.organization.slug
    client = PEOPLE["owner"](tree).client
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
    seen.page(client, page, headers=HTMX)
    seen.page(client, bring(("Later", "US", "A9LATER", unconfirmed)))
    seen.page(client, bring(("Not whole", "US", "A9", f'"{unconfirmed}')))
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(token_imports, "keep", lambda **_rows: 1 / 0)
        bring(("Lost", "US", "A9LOST", lost))
    kinds = (("csv", "export"), ("xlsx", "workbook"))
    for kind, name in kinds:
        answer = client.post(reverse("connections_export", args=[slug]), {"kind": kind})
        seen.answer(name, answer)
        assert "Brought" in seen.outputs[name]


# Every page --------------------------------------------------------------------------------

# Seen by staff, and by a browser that came from Amazon.
SEEN_BY_OTHERS = frozenset({"staff_setup", "staff_reference", "staff_test_mail", "appstore_start"})
READ_A_PASSKEY = frozenset({"mfa_add_webauthn", "mfa_reauthenticate_webauthn"})
# The owner alone made a trip to Amazon and has a second step.
OF_THE_OWNER = frozenset(
    {
        "authorization_outcome",
        "mfa_deactivate_totp",
        "mfa_view_recovery_codes",
        "mfa_download_recovery_codes",
    }
)
# The trip is another browser's; nobody sweeps here, which a look of a moment ago may not know.
REFUSED = {"client_link_ended": (400,), "readyz": (200, 503)}


def look_at_every_page(tree: Tree, row: Connection, seen: Collected) -> None:
    """As whoever sees least and as whoever may do most."""
    own = {"connection_id": row.pk, "batch": factories.make_check(row)}
    ids = Ids("own", ids_of(tree) | own)
    viewer, owner = PEOPLE["viewer"](tree), PEOPLE["owner"](tree)
    for route in pages_of(Role.VIEWER):
        seen.page(viewer.client, ids.path(route))
    for route in pages_of(Role.OWNER):
        seen.page(owner.client, ids.path(route), headers=HTMX)
        # What is done with ticked rows names them.
        seen.page(owner.client, f"{ids.path(route)}?row={row.pk}")


def pages_of(role: Role) -> list[Route]:
    """Of the whole URL table, but for what others see. The passkey is the owner's, and one by name
    alone: of pages that read it the viewer's are seen."""
    others = SEEN_BY_OTHERS | (READ_A_PASSKEY if role == Role.OWNER else OF_THE_OWNER)
    return [
        route
        for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES)
        if "GET" in route.methods
        and route.name not in others
        and (route.role is None or role.covers(route.role))
        and (role == Role.OWNER or "pk" not in route.takes)
    ]


def test_every_page_is_seen_by_somebody() -> None:
    seen = {route.name for role in (Role.VIEWER, Role.OWNER) for route in pages_of(role)}
    every = (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES)

    assert seen | SEEN_BY_OTHERS == {route.name for route in every if "GET" in route.methods}


def arrive_from_the_appstore(amazon: RunningEmulator, tree: Tree, seen: Collected) -> str:
    """Returns Amazon's state, which the session keeps until the person confirms."""
    browser = PEOPLE["owner"](tree).client
    link = trips.authorize_now(amazon, "sellercentral.amazon.com", OTHER_SELLER)
    page = seen.page(browser, str(link)).content.decode()
    seen.page(browser, found_in(page, r"/amazon/spapi/start/[\w-]+"))
    return link.params["amazon_state"]


def look_at_every_public_page(tree: Tree, seen: Collected) -> dict[str, str]:
    """As nobody in particular. Returns the addresses that are secrets, by their routes."""
    stranger = Client()
    links = links_that_are_secrets(tree)
    for path in links.values():
        answer = seen.page(stranger, path)
        if answer.status_code in (302, 303):
            seen.page(stranger, answer.headers["Location"])
    others = {"client_link_ended": [tree.reference]}
    proof = {"Authorization": f"Bearer {django_settings.METRICS_TOKEN}"}
    for name in sorted(PUBLIC_ROUTES - links.keys()):
        path = reverse(name, args=others.get(name, []))
        seen.page(stranger, path, REFUSED.get(name, ANSWERED), proof)
    return links


def links_that_are_secrets(tree: Tree) -> dict[str, str]:
    """Each as its holder has it, in a mail or on the page that made it."""
    organization, owner = tree.organization, PEOPLE["owner"](tree).client
    made = owner.post(reverse("calendar_feed_make", args=[organization.slug])).content.decode()
    invited = {"email": "invited@example.com", "role": "member"}
    owner.post(reverse("member_invite", args=[organization.slug]), invited)
    address = {"email": factories.owner_of(organization).email}
    Client().post(reverse("account_reset_password"), address)
    mails = "\n".join(str(message.body) for message in mail.outbox)
    return {
        "calendar_feed": found_in(made, r"/calendar/[\w-]{43}\.ics"),
        "client_link": tree.link.path,
        "invitation_link": found_in(mails, r"/invitation/[\w-]{43}"),
        "account_reset_password_from_key": found_in(mails, r"/accounts/password/reset/key/[\w-]+/"),
    }


def found_in(text: str, shape: str) -> str:
    match = re.search(shape, text)
    assert match, shape
    return match[0]


def told_elsewhere(outputs: dict[str, str], links: dict[str, str]) -> list[str]:
    """Outputs that hold the secret of a link, but for its own page and the mails."""
    found = []
    for route, path in links.items():
        others = {
            name: text for name, text in outputs.items() if path not in name and name != "mails"
        }
        secret = found_in(path, r"[\w-]{40,}")
        found += [f"{route}: {name}" for name in leaks(others, frozenset({secret}))]
    return found


def look_at_the_admin(seen: Collected) -> set[str]:
    """Every list and the pages of some rows, as support, who may not see all, and as superuser.
    Returns the tables that are empty."""
    superuser = factories.make_user(is_staff=True, is_superuser=True)
    for person, statuses, most in (
        (staff.make_support(), (*ANSWERED, 403), 1),
        (superuser, ANSWERED, 3),
    ):
        client = signed_in_freshly(person)
        for name in sorted(SEEN_BY_OTHERS - {"appstore_start"}):
            seen.page(client, reverse(name), statuses)
        for model in admin.site._registry:
            seen.page(client, staff.list_of(model), statuses)
            rows = list(model._base_manager.order_by("pk")[:most])
            for row in rows:
                seen.page(client, staff.page_of(row), statuses)
            for row in rows[:1]:
                seen.page(client, staff.page_of(row, "history"), statuses)
    return {model.__name__ for model in admin.site._registry if not model._base_manager.exists()}


# Every command -----------------------------------------------------------------------------

OURS = ("sellerlegend", "connections", "marketplaces", "ppc")
# With how each ends. Nothing follows a quarantine but its release.
COMMANDS = {
    "resync_tokens --dry-run": 0,
    "resync_tokens --json": 3,
    "resync_tokens --tokens-only --json": 3,
    "finalize_onboarding --json": 0,
    "link_ppc --json": 0,
    "report_data_set --organization={slug} --seller-id={seller} --region=NA --data-set=orders"
    " --percent=50 --json": 0,
    "rotate_encryption_keys --json": 0,
    "rotate_encryption_keys --new-data-keys": 0,
    "rotate_encryption_keys --retire=tests": 1,
    "send_test_mail someone@example.com": 0,
    "error_catalogue": 0,
    "prune --yes --json": 0,
    "migrate --plan": 0,
    # With the managers that have not to be told whose rows.
    "dumpdata --all": 0,
    # The keys of tests are no random ones.
    "check": 1,
    "quarantine --reason=drill": 0,
    "release_quarantine --no-deletions-known --yes --json": 0,
}
# With a message of Amazon's (`rotate_the_client_secret`).
RUN_BEFORE = frozenset({"rotate_client_secret"})
DJANGOS = frozenset({"dumpdata", "check"})


def test_every_command_of_the_project_is_run() -> None:
    ours = {name for name, app in get_commands().items() if str(app).startswith(OURS)}

    assert {line.split()[0] for line in COMMANDS} - DJANGOS | RUN_BEFORE == ours


def run_every_command(organization: Organization, seen: Collected) -> None:
    for line, code in COMMANDS.items():
        words = line.format(slug=organization.slug, seller=SELLER).split()
        run = run_command(*words)
        if run.code != code:
            seen.surprises.append(f"{line}: {run.code}, {run.err}")
        seen.add(line, run.out + run.err)


def rotate_the_client_secret(amazon: RunningEmulator, seen: Collected, path: Path) -> None:
    """Amazon's message in a file: a secret that the product stores, seals and uses."""
    amazon.world.rotate_secret()
    path.write_text(json.dumps(amazon.world.queue[-1]))
    run = run_command("rotate_client_secret", "--no-rotate", "--message-file", path)
    assert run.code == 0, run.err
    seen.add("rotate_client_secret", run.out + run.err)


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
    settings.VAR_DIR = tmp_path
    settings.METRICS_TOKEN = token_urlsafe(32)
    settings.EMAIL_HOST_PASSWORD = token_urlsafe(32)
    tree = make_tree("Northstar Trading")
    organization, owner = tree.organization, factories.owner_of(tree.organization)
    second_step = generate_totp_secret()
    TOTP.activate(owner, second_step)
    RecoveryCodes.activate(owner)
    seen = Collected()

    row = walk_through(amazon, organization, seen)
    rotate_the_client_secret(amazon, seen, tmp_path / "message.json")
    import_tokens(amazon, tree, seen)
    staff.make_facts_of_health(row)
    staff.make_things_of_people(row)
    look_at_every_page(tree, row, seen)
    amazon_state = arrive_from_the_appstore(amazon, tree, seen)
    links = look_at_every_public_page(tree, seen)
    assert look_at_the_admin(seen) == {"ApplicationRole", "Incident", "NoticeMail"}
    sessions = str([session.get_decoded() for session in Session.objects.all()])
    run_every_command(organization, seen)
    dump_the_database(seen)
    dump_redis(seen)
    seen.add("mails", "\n".join(map(as_read, mail.outbox)))
    seen.add("logs", "\n".join(log_lines.lines))

    assert seen.surprises == []
    secrets = amazon.issued_secrets() | own_secrets() | MADE_UP | {second_step}
    assert len(secrets) > 10
    assert len(seen.outputs) > 500
    assert "grant_refreshed" in seen.outputs["logs"]
    assert (
        row.name in seen.outputs[f"GET {reverse('account_connections', args=[organization.slug])}"]
    )
    assert leaks(seen.outputs, secrets) == []
    assert told_elsewhere(seen.outputs, links) == []
    assert "_auth_user_id" in sessions
    assert leaks({"sessions": sessions}, secrets - {amazon_state}) == []


def own_secrets() -> frozenset[str]:
    """The application's own: client secrets, the key ring, passwords, and what it signs with."""
    ring = django_settings.TOKEN_ENCRYPTION_KEYS.values()
    found = {
        *(secret.reveal() for secret in django_settings.SPAPI_CLIENT.secrets),
        *(secret.reveal() for secret in django_settings.ADS_CLIENT.secrets),
        *(base64.b64encode(key).decode() for key in ring),
        django_settings.SECRET_KEY,
        django_settings.METRICS_TOKEN,
        django_settings.EMAIL_HOST_PASSWORD,
    }
    return frozenset(found - {""})


def test_the_search_finds_what_is_there() -> None:
    secret = "Atzr|IwEBIExampleExampleExample"

    for form in disguises(secret):
        assert leaks({"page": f"before {form} after"}, frozenset({secret})) == ["page"]
    assert leaks({"page": "nothing here"}, frozenset({secret})) == []


def test_the_search_looks_into_what_is_packed() -> None:
    secret = "Atzr|IwEBIExampleExampleExample"
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("sheet.xml", f"<c>{secret}</c>" * 50)
    mailed = EmailMessage("Subject", f"Grüße {secret}", "a@example.com", ["b@example.com"])
    packed = {
        "workbook": force_str(opened(workbook.getvalue())),
        "calendar": force_str(
            opened(f"BEGIN:VCALENDAR\r\nX:{secret[:9]}\r\n {secret[9:]}".encode())
        ),
        "mail": as_read(mailed),
    }

    assert leaks(packed, frozenset({secret})) == ["calendar", "mail", "workbook"]
