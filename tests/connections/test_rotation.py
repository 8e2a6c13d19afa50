"""Changing keys while the product runs (G6, G7, T16): nothing unreadable, nothing reverted."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.core.checks import run_checks
from django.utils import timezone
from pytest_django import Settings

from connections import rotation, storing
from connections.credentials import access_token
from connections.models import Connection, SpApiGrant
from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.crypto import Purpose
from sellerlegend.jobs import locks
from sellerlegend.jobs.models import NamedLock
from sellerlegend.monitoring import readiness
from sellerlegend.organizations import custody, second_secrets
from sellerlegend.organizations.key_states import key_states
from sellerlegend.organizations.models import AuditEvent, Organization, VaultKey, VaultUse
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.organizations.services import create_organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.operators import run_command
from tests.threads import run_together
from tests.workers import Office, open_office

OLD, NEW = b"\0" * 32, bytes(range(32))
NORTHSTAR = "A1NORTHSTAR001"
NEW_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KILLS = 10
SEED = 20_260_101

pytestmark = pytest.mark.django_db


@pytest.fixture
def both_keys(settings: Settings) -> None:
    """The operator put a new key before the one that everything is sealed under."""
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}


def sealed_texts() -> Iterator[tuple[rotation.Sealed, Any, str]]:
    with across_organizations("the test looks at everything"):
        for sealed in rotation.SEALED:
            for row in sealed.model.objects.exclude(**{sealed.column: ""}):
                yield sealed, row, getattr(row, sealed.column)


def opened() -> dict[tuple[str, Any], str]:
    """Every stored secret, through the keys that are loaded now."""
    keys = dict(Organization.objects.values_list("pk", "data_key"))
    return {
        (f"{sealed.model.__name__}.{sealed.column}", row.pk): crypto.unseal(
            text,
            sealed.place(row),
            data_key=keys[sealed.place(row).organization_id],
            purpose=Purpose.REENCRYPT,
        ).reveal()
        for sealed, row, text in sealed_texts()
    }


def furnished() -> Organization:
    """An organization with a secret of every kind."""
    organization = factories.make_organization()
    row = factories.make_connection(organization)
    storing.store_mws_auth_token(connection=row, token=Secret("amzn.mws.made-up-1234567890"))
    factories.make_ads_grant(organization)
    account = factories.make_account(row)
    trips.leave_for_ads(
        trips.sign_in(factories.owner_of(organization)), row, [account.pk], consent="new"
    )
    return organization


# Ciphertext that is of no organization, or no secret of a seller's: what seals it anew instead.
SEALED_ELSEWHERE = {
    (Organization, "data_key"): "wrapped by the ring: `rotation._replace`",
    (VaultKey, "canary"): "of one key of the ring, and retires with it",
    (ClientSecret, "data_key"): "wrapped by the ring: `upkeep.rewrap`",
    (ClientSecret, "sealed_secret"): "under a data key of its own row: `upkeep.rewrap`",
    (Authenticator, "data"): "under a data key of its own: `second_secrets.seal_anew`",
}
CIPHERTEXT = re.compile(r"\bv1\.[\w-]+\.[\w-]+")


def test_every_sealed_column_is_known_to_the_rotation(amazon: RunningEmulator) -> None:
    """A new column with ciphertext must be sealed anew too: whatever looks like it, in any table,
    is listed."""
    organization = furnished()
    factories.make_files(organization)
    clients.store(LwaApplication.SPAPI, Secret("of-our-own"), issued_at=None, expires_at=None)
    Authenticator.objects.create(
        user=factories.owner_of(organization),
        type=Authenticator.Type.TOTP,
        data={"secret": second_secrets.seal("JBSWY3DPEHPK3PXP")},
    )
    custody.remember_keys()

    found = {
        (model, field.attname)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        for value in model._base_manager.values_list(field.attname, flat=True)
        if CIPHERTEXT.search(str(value))
    }

    listed = {(sealed.model, sealed.column) for sealed in rotation.SEALED}
    assert found == listed | set(SEALED_ELSEWHERE)


def test_rewrapping_moves_data_keys_and_no_token(both_keys: None, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"tests": OLD}
    organizations = [furnished() for _ in range(3)]
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    texts, secrets = [text for *_, text in sealed_texts()], opened()

    run = run_command("rotate_encryption_keys")

    assert run.code == 0
    assert [text for *_, text in sealed_texts()] == texts
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}
    assert opened() == secrets
    assert custody.rows_by_key() == {"new": 3}
    assert f"organization={organizations[0].slug} key=tests done (rewrapped)" in run.out
    assert "key=tests rows=0 is_loaded=True is_first=False" in run.out
    assert AuditEvent._base_manager.filter(code="data_key_rewrapped").count() == 3


def test_new_data_keys_seal_everything_anew(both_keys: None, settings: Settings) -> None:
    organization = furnished()
    backup, secrets = Organization.objects.get(pk=organization.pk).data_key, opened()
    assert len(secrets) == 4

    run = run_command("rotate_encryption_keys", "--new-data-keys", "--json")

    assert run.code == 0
    assert opened() == secrets
    fresh = Organization.objects.get(pk=organization.pk).data_key
    old_kid = crypto.newest_kid(backup, organization.pk)
    assert crypto.newest_kid(fresh, organization.pk) != old_kid
    assert " " not in fresh
    assert not [text for *_, text in sealed_texts() if crypto.is_sealed_under(text, old_kid)]
    uses = VaultUse.objects.for_organization(organization).filter(purpose="reencrypt")
    assert uses.get().count == 4


def test_a_dry_run_changes_nothing_and_a_second_run_finds_nothing(both_keys: None) -> None:
    organization = furnished()
    before = Organization.objects.get(pk=organization.pk).data_key

    run = run_command("rotate_encryption_keys", "--dry-run", "--new-data-keys")

    assert run.code == 0
    assert "key=new rows=1 is_loaded=True is_first=True" in run.out
    assert Organization.objects.get(pk=organization.pk).data_key == before
    assert not VaultKey.objects.exists()  # one that was mistyped takes no id

    run_command("rotate_encryption_keys")
    after = Organization.objects.get(pk=organization.pk).data_key
    assert "done (current)" in run_command("rotate_encryption_keys").out
    assert Organization.objects.get(pk=organization.pk).data_key == after


def test_what_does_not_open_keeps_the_old_data_key(both_keys: None) -> None:
    organization = furnished()
    with across_organizations("the test damages a text"):
        SpApiGrant.objects.update(refresh_token="v1.damaged.AAAA.BBBB")

    run = run_command("rotate_encryption_keys", "--new-data-keys")

    assert run.code == 3
    assert "attention (1 secrets do not open)" in run.out
    assert " " in Organization.objects.get(pk=organization.pk).data_key


def test_a_key_retires_only_when_no_row_uses_it(both_keys: None, settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"tests": OLD}
    for _ in range(2):
        factories.make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    factories.make_organization()

    refused = run_command("rotate_encryption_keys", "--retire", "tests")
    assert (refused.code, "2 organizations still use tests" in refused.err) == (1, True)
    assert VaultKey.objects.get(pk="tests").retired_at is None
    assert run_command("rotate_encryption_keys", "--retire", "new").code == 1
    assert run_command("rotate_encryption_keys", "--retire", "typo").code == 1

    run_command("rotate_encryption_keys")
    allowed = run_command("rotate_encryption_keys", "--retire", "tests")

    assert (allowed.code, "may be removed from TOKEN_ENCRYPTION_KEYS" in allowed.out) == (0, True)
    assert VaultKey.objects.get(pk="tests").retired_at is not None
    assert AuditEvent._base_manager.get(code="encryption_key_retired").details == {"kid": "tests"}


def test_a_second_run_at_once_is_refused(both_keys: None) -> None:
    with locks.hold("rotate_encryption_keys"):
        assert run_command("rotate_encryption_keys").code == 4


def test_who_finds_the_lock_held_is_told_when_it_ends_by_itself(both_keys: None) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False), locks.hold("rotate_encryption_keys"):
        run = run_command("rotate_encryption_keys")

    ends = (now + locks.LEASE).astimezone(UTC)
    assert f"its lock ends by itself at {ends:%H:%M:%S} UTC, in 300 seconds" in run.err


# A renewal that was killed ------------------------------------------------------------------


def data_keys() -> dict[Any, str]:
    return dict(Organization.objects.values_list("pk", "data_key"))


def kids() -> dict[Any, str]:
    """Of the data key that seals, for each organization."""
    return {pk: crypto.newest_kid(text, pk) for pk, text in data_keys().items()}


def renewal_warnings() -> list[str]:
    ids = [str(found.id) for found in run_checks(databases=["default"])]
    return [name for name in ids if name == "SL.W055"]


class Killed(BaseException):
    """Nothing of the program may tidy up after it."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> dict[Any, str]:
    """Of five organizations two were done when the run was killed: the ids of their data keys
    before it."""
    for _ in range(5):
        factories.make_connection(factories.make_organization())
    before, rotate = kids(), rotation.rotate
    done: list[Any] = []

    def until_the_third(organization_id: Any, **options: Any) -> Any:
        if len(done) == 2:
            raise Killed
        done.append(organization_id)
        return rotate(organization_id, **options)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "rotate", until_the_third)
        patch.setattr(rotation, "end_renewal", lambda *_: 0)
        with pytest.raises(Killed):
            run_command("rotate_encryption_keys", "--new-data-keys")
    assert {pk for pk, kid in kids().items() if kid != before[pk]} == set(done)
    assert renewal_warnings() == ["SL.W055"]
    return before


@pytest.mark.parametrize("options", [[], ["--new-data-keys"]])
def test_the_next_run_goes_on_and_counts_what_is_left(
    options: list[str], killed: dict[Any, str]
) -> None:
    half = kids()
    younger = factories.make_organization()
    younger_kid = kids()[younger.pk]

    run = run_command("rotate_encryption_keys", *options)

    assert run.code == 0
    assert "Going on with the renewal of " in run.err
    assert "UTC: 3 left." in run.err
    assert "from before the renewal: 0 left." in run.err
    assert (run.out.count("done (renewed)"), run.out.count("done (current)")) == (3, 3)
    after = kids()
    assert all(after[pk] != kid for pk, kid in killed.items())
    assert [pk for pk, kid in half.items() if after[pk] == kid] == [
        pk for pk, kid in half.items() if kid != killed[pk]
    ]
    assert after[younger.pk] == younger_kid
    assert len(opened()) == 5
    assert renewal_warnings() == []
    codes = AuditEvent._base_manager.filter(code__startswith="data_keys_renewal_")
    assert sorted(codes.values_list("code", flat=True)) == [
        "data_keys_renewal_began",
        "data_keys_renewal_ended",
    ]


def test_a_part_of_it_does_not_say_that_it_is_over(killed: dict[Any, str]) -> None:
    run = run_command("rotate_encryption_keys", "--limit", "3")

    assert run.code == 3
    assert "2 left." in run.err
    assert "The renewal is not over: run again." in run.err
    assert renewal_warnings() == ["SL.W055"]
    assert run_command("rotate_encryption_keys").code == 0
    assert renewal_warnings() == []


def test_a_renewal_that_is_over_may_be_asked_for_again(both_keys: None) -> None:
    factories.make_organization()
    first = kids()
    assert run_command("rotate_encryption_keys", "--new-data-keys").code == 0
    second = kids()
    assert run_command("rotate_encryption_keys").code == 0
    assert kids() == second

    assert run_command("rotate_encryption_keys", "--new-data-keys").code == 0

    assert len({*first.values(), *second.values(), *kids().values()}) == 3


def test_one_organization_alone_begins_no_renewal_of_all(both_keys: None) -> None:
    one, other = factories.make_organization(), factories.make_organization()
    before = kids()

    run = run_command("rotate_encryption_keys", "--new-data-keys", "--organization", one.slug)

    assert run.code == 0
    assert (kids()[one.pk] != before[one.pk], kids()[other.pk]) == (True, before[other.pk])
    assert renewal_warnings() == []


def test_data_keys_of_unknown_age_count_as_old(both_keys: None) -> None:
    factories.make_organization()
    Organization.objects.update(data_key_born_at=None)
    before = kids()

    assert run_command("rotate_encryption_keys", "--new-data-keys").code == 0

    assert kids().keys() == before.keys()
    assert not set(kids().values()) & set(before.values())
    assert not Organization.objects.filter(data_key_born_at=None).exists()


# A key that was retired ---------------------------------------------------------------------


@pytest.fixture
def retired(both_keys: None, settings: Settings) -> None:
    """The key `tests` was retired; the operator goes back to it."""
    factories.make_organization()
    assert run_command("rotate_encryption_keys").code == 0
    assert run_command("rotate_encryption_keys", "--retire", "tests").code == 0
    assert (readiness.keys(), e054()) == ("ok", [])
    settings.TOKEN_ENCRYPTION_KEYS = {"tests": OLD, "new": NEW}


def e054() -> list[str]:
    return [str(found.msg) for found in run_checks(databases=["default"]) if found.id == "SL.E054"]


def test_a_retired_key_wraps_nothing_any_more(retired: None) -> None:
    before = data_keys()

    run = run_command("rotate_encryption_keys")

    assert (run.code, "The key tests was retired and stands first again" in run.err) == (1, True)
    with pytest.raises(custody.KeyRefused, match="tests was retired"):
        create_organization(name="Under a key that is known", owner=factories.make_user())
    assert data_keys() == before


def test_a_retired_key_in_front_is_told(retired: None) -> None:
    assert e054() == ["The retired key tests is in use again: 0 data keys are under it."]
    assert readiness.keys() == "retired"
    assert [key.label for key in key_states()] == ["Retired, in use again", "Still needed"]


def test_rows_under_a_retired_key_are_told_and_can_be_moved(
    retired: None, settings: Settings
) -> None:
    """A restored backup brings them."""
    row = Organization.objects.get()
    text = crypto.rewrap_data_key(row.data_key, row.pk)
    Organization.objects.update(data_key=text)
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    assert e054() == ["The retired key tests is in use again: 1 data keys are under it."]

    assert run_command("rotate_encryption_keys").code == 0

    assert (e054(), custody.rows_by_key()) == ([], {"new": 1})


def test_checks_tell_key_ids_and_ages_and_never_keys(settings: Settings) -> None:
    factories.make_organization()
    custody.remember_keys()
    VaultKey.objects.update(first_seen_at=timezone.now() - timedelta(days=366))

    old = [found for found in run_checks(databases=["default"]) if "SL.W051" in str(found.id)]
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}
    gone = [found for found in run_checks(databases=["default"]) if "SL.E050" in str(found.id)]

    assert "The key tests" in old[0].msg
    assert "1 organizations are locked: the key tests is not loaded" in gone[0].msg
    assert NEW_TEXT not in f"{old}{gone}"


# While tokens change -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_rotation_during_a_refresh_loses_neither(amazon: RunningEmulator) -> None:
    """G7: Amazon's newer token arrives after the older one was sealed anew."""
    organization = factories.make_organization()
    row = factories.make_connection(
        organization, seller=NORTHSTAR, refresh_token=amazon.world.authorize(NORTHSTAR, "NA")
    )
    body = json.dumps(
        {
            "access_token": "Atza|a",
            "refresh_token": "Atzr|newer",
            "expires_in": 3600,
            "token_type": "bearer",
        }
    ).encode()
    amazon.faults.add(surface="lwa", status=200, body=body, delay=1.5)
    known = amazon.ledger.last_number

    def rotate() -> object:
        deadline = time.monotonic() + 10
        while not SpApiGrant._base_manager.filter(refresh_lease_until__isnull=False):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return rotation.rotate(organization.pk, renew_since=timezone.now())

    results = run_together(lambda: access_token(factories.grant_of(row)), rotate)

    assert [result for result in results if isinstance(result, Exception)] == []
    assert len(amazon.ledger.calls(since=known)) == 1
    assert opened()["SpApiGrant.refresh_token", factories.grant_of(row).pk] == "Atzr|newer"
    assert " " not in Organization.objects.get(pk=organization.pk).data_key


def test_a_token_stored_after_the_rotation_read_is_not_reverted(both_keys: None) -> None:
    """G7: what the rotation holds in its hands is older than the row by now."""
    row = factories.make_connection(factories.make_organization())
    read_before = factories.grant_of(row)
    factories.consent(row, refresh_token="Atzr|newer")
    data_key = crypto.add_data_key(row.organization.data_key, row.organization_id)
    Organization.objects.filter(pk=row.organization_id).update(data_key=data_key)

    assert rotation._reseal(rotation.SEALED[0], read_before, data_key)

    assert opened()["SpApiGrant.refresh_token", read_before.pk] == "Atzr|newer"
    assert rotation.rotate(row.organization_id) == (rotation.Step.RENEWED, 0)
    assert opened()["SpApiGrant.refresh_token", read_before.pk] == "Atzr|newer"


WRITER = """
import sys, django
django.setup()
from django.db import transaction
from connections import storing
from connections.models import Connection
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoping import across_organizations
from tests.factories import owner_of
with across_organizations("the test's writer"):
    rows = list(Connection.objects.select_related("organization").filter(pk__in=sys.argv[1:]))
people = {row.pk: owner_of(row.organization) for row in rows}
number = 0
while True:
    number += 1
    for row in rows:
        with transaction.atomic():
            storing.store_spapi_grant(
                connection=row, seller=row.selling_partner_id,
                token=Secret(f"Atzr|{row.pk}|{number}"), actor=Actor.person(people[row.pk]),
                is_proved=True,
            )
        print(row.pk, number, flush=True)
"""
REFRESHER = """
import sys, django
django.setup()
from connections.credentials import access_token
from connections.models import SpApiGrant
while True:
    for key in sys.argv[1:]:
        access_token(SpApiGrant._base_manager.get(connection_id=key), force=True)
        print(key, "refreshed", flush=True)
"""


@pytest.fixture
def office(transactional_db: None, amazon: RunningEmulator, tmp_path: Path) -> Iterator[Office]:
    with open_office("redis", amazon.url, tmp_path) as opened_office:
        old = opened_office.environment["TOKEN_ENCRYPTION_KEYS"]
        opened_office.environment["TOKEN_ENCRYPTION_KEYS"] = f"new:{NEW_TEXT},{old}"
        yield opened_office


@contextlib.contextmanager
def busy(office: Office, program: str, rows: list[Connection], log: Path) -> Iterator[None]:
    """Another process keeps storing or refreshing tokens, until it is killed."""
    command = [sys.executable, "-c", program, *(str(row.pk) for row in rows)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=office.environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def rotate_until_killed(office: Office, chance: random.Random) -> None:
    """SIGKILL after some lines of its output, and a moment."""
    process = subprocess.Popen(
        [sys.executable, "-u", "manage.py", "rotate_encryption_keys", "--new-data-keys"],
        env=office.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(chance.randrange(10)):
        process.stdout.readline()
    time.sleep(chance.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    # What five minutes would do: the killed run's lock is free again.
    NamedLock.objects.update(holder=None, lease_expires_at=None)


@pytest.mark.needs_postgresql
@pytest.mark.needs_redis
@pytest.mark.timeout(300)
def test_a_rotation_killed_ten_times_while_tokens_change(
    office: Office, amazon: RunningEmulator, tmp_path: Path, settings: Settings
) -> None:
    """T16: all rows on the new key, none unreadable, none reverted; the old key may go."""
    rows = [
        factories.make_connection(factories.make_organization(), refresh_token=f"Atzr|{number}")
        for number in range(8)
    ]
    proven = [
        factories.make_connection(
            factories.make_organization(),
            seller=NORTHSTAR,
            refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
        )
        for _ in range(2)
    ]
    issued = opened()
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    chance = random.Random(SEED)
    writing, refreshing = tmp_path / "writer.log", tmp_path / "refresher.log"

    with busy(office, WRITER, rows, writing), busy(office, REFRESHER, proven, refreshing):
        for _ in range(KILLS):
            rotate_until_killed(office, chance)
        assert run_command("rotate_encryption_keys", "--new-data-keys").code == 0
    assert run_command("rotate_encryption_keys").code == 0

    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}
    stored = opened()
    assert custody.rows_by_key() == {"new": 10}
    assert not Organization.objects.filter(data_key__contains=" ").exists()
    acknowledged = dict(line.split() for line in writing.read_text().splitlines())
    assert len(acknowledged) == len(rows)
    for row in rows:
        token = stored["SpApiGrant.refresh_token", factories.grant_of(row).pk]
        last = int(acknowledged[str(row.pk)])
        # The writer may have been killed between a commit and its line.
        assert token in {f"Atzr|{row.pk}|{last}", f"Atzr|{row.pk}|{last + 1}"}
    for row in proven:
        name = "SpApiGrant.refresh_token", factories.grant_of(row).pk
        assert stored[name] == issued[name]
    assert len(refreshing.read_text().splitlines()) > 5
    assert not AuditEvent._base_manager.filter(code="vault_locked").exists()
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    assert run_command("rotate_encryption_keys", "--retire", "tests").code == 0
