"""The product under the nemesis: onboardings begun through its own service."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection

from tests.amazon_emulator import RunningEmulator, running_emulator
from tests.environment import development_environment
from tests.soak.crew import BEAT, WORKERS, Post
from tests.soak.history import Event, Journal
from tests.soak.servers import OwnPostgres, OwnRedis
from tests.workers import OPTIONS, QUEUES

ORGANIZATIONS = 20
# Long enough that a kill meets work, short enough for hundreds of onboardings.
TOKEN_SECONDS, SELLERS_SECONDS = 0.2, 0.6
HISTORY = """
CREATE TABLE soak_history (
    number bigserial PRIMARY KEY, at double precision, what text, job text, subject text,
    organization text, worker text, backend text, fence bigint, transaction bigint
);
CREATE FUNCTION soak_note(what text, job text, subject text, organization text, fence bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO soak_history
        (at, what, job, subject, organization, worker, backend, fence, transaction)
    VALUES (extract(epoch FROM clock_timestamp()), what, job, subject, organization,
        current_setting('application_name'),
        pg_backend_pid()::text || ' of ' || pg_postmaster_start_time()::text,
        fence, txid_current())
$$;
CREATE FUNCTION soak_note_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM soak_note(
        CASE
            WHEN NEW.status = 'running' THEN 'claimed'
            WHEN NEW.status = 'done' THEN 'finished'
            WHEN NEW.status = 'dead' THEN 'dead'
            WHEN NEW.status = 'waiting' THEN 'put_down'
            ELSE 'recovered'
        END,
        NEW.id::text, NEW.subject_id::text, NEW.organization_id::text, NEW.fence);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_jobs AFTER UPDATE ON {jobs} FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.fence IS DISTINCT FROM NEW.fence)
    EXECUTE FUNCTION soak_note_job();
CREATE FUNCTION soak_note_effect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM soak_note(
        'effect', '', NEW.subject_id::text, NEW.organization_id::text, 0);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_effects AFTER INSERT ON {events} FOR EACH ROW
    WHEN (NEW.code = 'onboarding_onboarded') EXECUTE FUNCTION soak_note_effect();
"""


class Ours:
    """Submits onboardings, each of a store of its own, for twenty organizations in turn."""

    name = "this product"

    def __init__(self, journal: Journal, amazon: RunningEmulator) -> None:
        self.journal = journal
        self.amazon = amazon
        self.amazon.faults.add(surface="lwa", delay=TOKEN_SECONDS)
        self.amazon.faults.add(surface="sellers", delay=SELLERS_SECONDS)
        self._organizations: list[uuid.UUID] = []

    def prepare(self) -> None:
        """Tables, the triggers that write the history, and the organizations."""
        from sellerlegend.jobs.models import Job
        from sellerlegend.organizations.models import AuditEvent
        from tests import factories

        call_command("migrate", verbosity=0)
        tables = {"jobs": Job._meta.db_table, "events": AuditEvent._meta.db_table}
        with connection.cursor() as cursor:
            cursor.execute(HISTORY.format(**tables))
        self._organizations = [factories.make_organization().pk for _ in range(ORGANIZATIONS)]

    @property
    def lease_seconds(self) -> float:
        from marketplaces.onboarding import ONBOARD
        from sellerlegend.jobs import ledger

        return float(ledger.KINDS[ONBOARD].lease_seconds)

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def posts(self, folder: Path) -> list[Post]:
        beat = ["--app", "sellerlegend", "beat", "--schedule", str(folder / "schedule")]
        return [*[Post(name, worker(name)) for name in WORKERS], Post(BEAT, beat)]

    def submit(self, number: int) -> bool:
        """Connect one more store and start its onboarding. False: nothing was acknowledged."""
        try:
            self._submit(number)
        except (DatabaseError, InterfaceError):
            connection.close()
            return False
        return True

    def _submit(self, number: int) -> None:
        from marketplaces import onboarding
        from sellerlegend.organizations.audit import Actor
        from sellerlegend.organizations.models import Organization
        from tests import factories

        key = self._organizations[number % ORGANIZATIONS]
        organization = Organization.objects.get(pk=key)
        seller, store = f"A{uuid.uuid4().hex[:13].upper()}", f"Store {number} of {key}"
        self.amazon.world.add_seller(seller, store, marketplaces=["US"])
        row = factories.make_connection(
            organization, seller=seller, refresh_token=self.amazon.world.authorize(seller, "NA")
        )
        account = factories.make_account(row)
        actor = Actor.person(factories.owner_of(organization))
        [started] = onboarding.begin_onboarding(
            connection=row, account_ids=[account.pk], actor=actor
        )
        subject = str(started.pk)
        self.journal.record("acknowledged", subject=subject, organization=str(key), detail=store)

    def leave(self) -> None:
        """The submitting thread ends; so does its connection."""
        connection.close()

    def unfinished(self) -> int:
        """How many jobs are live, acknowledged or not."""
        from sellerlegend.jobs.models import Job

        try:
            return int(Job._base_manager.filter(status__in=Job.LIVE).count())
        except (DatabaseError, InterfaceError):
            connection.close()
            return 1

    def collect(self) -> list[Event]:
        """What the triggers saw, and whose data the rows carry now."""
        from marketplaces.models import MarketplaceAccount

        names = [column.name for column in fields(Event) if column.name != "detail"]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(names)} FROM soak_history ORDER BY number")
            seen = [Event(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
        accounts = MarketplaceAccount._base_manager.filter(onboarding="onboarded")
        rows = accounts.values_list("pk", "organization_id", "store_name")
        last = seen[-1].at if seen else 0.0
        return seen + [
            Event(last, "found", subject=str(pk), organization=str(owner), detail=store)
            for pk, owner, store in rows
        ]


def worker(name: str) -> list[str]:
    """As the Procfile hires one: for both queues, since the sweep plans work for the second."""
    command = ["--app", "sellerlegend", "worker", *OPTIONS, "--queues", QUEUES]
    return [*command, "--concurrency", "2", "--loglevel", "INFO", "--hostname", f"{name}@%h"]


@contextlib.contextmanager
def running_product(
    folder: Path, journal: Journal, redis: OwnRedis, postgres: OwnPostgres
) -> Iterator[Ours]:
    """Becomes the product: this process' environment and Django belong to it from here on."""
    with running_emulator() as amazon:
        os.environ.update(
            development_environment(
                DJANGO_SETTINGS_MODULE="sellerlegend.settings",
                DJANGO_SECRET_KEY="soak-only-" + "x" * 50,
                TOKEN_ENCRYPTION_KEYS="soak:" + "A" * 43 + "=",
                DATABASE_URL=postgres.url(),
                REDIS_URL=redis.url(),
                VAR_DIR=str(folder),
                AMAZON_EMULATOR_URL=amazon.url,
            )
        )
        os.environ["PGAPPNAME"] = "runner"
        django.setup()
        logging.getLogger().setLevel(logging.ERROR)
        # Twenty owners whose passwords nobody types.
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        ours = Ours(journal, amazon)
        ours.prepare()
        yield ours
        connection.close()
