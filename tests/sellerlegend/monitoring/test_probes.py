"""`/healthz` and `/readyz`: for machines, for strangers, and when servers do not answer."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.conf import settings as product_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from sellerlegend.jobs import sweeping
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.monitoring import readiness
from sellerlegend.monitoring.models import Tally
from sellerlegend.organizations.models import Organization
from tests.factories import make_organization, owner_of
from tests.own_redis import own_redis
from tests.web import answers, free_port, web
from tests.workers import database_url

PARTS = {"database", "broker", "keys", "clock", "sweep", "queue", "quarantine"}
PROMISED_SECONDS = 2.5


@pytest.fixture(autouse=True)
def looks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one was told a second ago."""
    fresh = tuple(readiness.Look(look.look, look.names) for look in readiness.LOOKS)
    monkeypatch.setattr(readiness, "LOOKS", fresh)


@pytest.mark.django_db
def test_healthz_asks_nobody(client: Client, django_assert_num_queries: Any) -> None:
    assert_num_queries: DjangoAssertNumQueries = django_assert_num_queries
    client.force_login(owner_of(make_organization()))

    with assert_num_queries(0):
        response = client.get(reverse("healthz"))

    assert (response.status_code, response.content) == (200, b"ok\n")
    assert response.headers["Cache-Control"] == "no-store"
    assert not response.cookies


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["healthz", "readyz"])
def test_a_probe_needs_no_known_host_no_https_and_no_person(
    name: str, client: Client, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["accounts.example.com"]
    settings.SECURE_SSL_REDIRECT = True

    response = client.get(reverse(name), headers={"Host": "10.1.2.3:8000"})

    assert response.status_code in (200, 503)
    assert not response.cookies
    assert "Location" not in response.headers


@pytest.mark.parametrize("name", ["healthz", "readyz"])
def test_a_probe_only_looks(name: str, client: Client) -> None:
    assert client.post(reverse(name)).status_code == 405


@pytest.mark.django_db
def test_readyz_says_one_word_for_each_part(client: Client) -> None:
    response = client.get(reverse("readyz"))

    words = response.json()
    assert set(words) == PARTS
    assert words["database"] == words["broker"] == words["keys"] == words["clock"] == "ok"
    assert all(word.isalpha() and len(word) <= 8 for word in words.values())


@pytest.mark.django_db(transaction=True)
def test_readyz_is_ready_once_a_sweep_ran(client: Client) -> None:
    before = client.get(reverse("readyz"))
    assert (before.status_code, before.json()["sweep"]) == (503, "never")
    sweeping.sweep_in_turn()
    for look in readiness.LOOKS:
        look._begun_at = -readiness.FRESH_SECONDS

    after = client.get(reverse("readyz"))

    assert (after.status_code, set(after.json().values())) == (200, {"ok"})


@pytest.mark.django_db
def test_a_part_may_be_left_out(client: Client) -> None:
    response = client.get(reverse("readyz"), {"exclude": ["sweep", "queue"]})

    assert set(response.json()) == PARTS - {"sweep", "queue"}
    assert response.status_code == 200


@pytest.mark.django_db
def test_a_data_key_that_no_loaded_key_opens_is_missing_its_key() -> None:
    organization = make_organization()
    assert readiness.keys() == "ok"
    _, _, rest = organization.data_key.split(".", 2)
    Organization.objects.filter(pk=organization.pk).update(data_key=f"v1.lost.{rest}")

    assert readiness.keys() == "missing"
    assert readiness.locked_organizations() == 1


@pytest.mark.django_db
def test_a_sweep_grows_old() -> None:
    assert readiness.sweep() == "never"
    sweeping.sweep_in_turn()
    assert readiness.sweep() == "ok"
    Slot.objects.update(finished_at=timezone.now() - readiness.SWEEP_AGE - timedelta(seconds=1))

    assert readiness.sweep() == "old"


@pytest.mark.django_db
def test_a_queue_is_as_old_as_its_longest_due_job() -> None:
    job = Job.objects.for_organization(make_organization()).create(
        kind="anything", subject_id=uuid4()
    )
    due = Job._base_manager.filter(pk=job.pk)
    due.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    assert readiness.queue() == "ok"

    due.update(next_attempt_at=timezone.now() - timedelta(seconds=301))

    assert readiness.queue() == "old"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("skew", "hours", "word"),
    [(61, 0, "skewed"), (-61, 0, "skewed"), (59, 0, "ok"), (61, 25, "ok")],
)
def test_amazons_clock_counts_for_a_day(skew: float, hours: int, word: str) -> None:
    Tally.objects.create(
        name=readiness.AMAZON_SKEW,
        labels="{}",
        value=skew,
        updated_at=timezone.now() - timedelta(hours=hours),
    )

    assert readiness.clock() == word


@pytest.mark.django_db
def test_the_databases_clock_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(readiness.database_skew()) < readiness.DATABASE_SKEW_SECONDS
    monkeypatch.setattr(readiness, "database_skew", lambda: 6.0)

    assert readiness.clock() == "skewed"


# Servers that do not answer -----------------------------------------------------------------


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Accepts every connection and never says a word, like a frozen one."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening.getsockname()[1]


def asked(url: str) -> tuple[int, dict[str, str], float]:
    began = time.monotonic()
    response = requests.get(f"{url}/readyz", timeout=10)
    return response.status_code, response.json(), time.monotonic() - began


@pytest.mark.needs_postgresql
@pytest.mark.needs_redis
@pytest.mark.django_db(transaction=True)
def test_frozen_servers_cost_a_probe_no_more_than_promised(tmp_path: Path) -> None:
    sweeping.sweep_in_turn()
    with (
        silent_server() as postgresql,
        own_redis(tmp_path) as redis,
        web(
            tmp_path,
            DATABASE_URL=f"postgresql://me:hidden@127.0.0.1:{postgresql}/db",
            REDIS_URL=redis.url,
        ) as url,
    ):
        redis.freeze()
        for _ in range(3):
            status, words, seconds = asked(url)

            assert (status, set(words)) == (503, PARTS)
            assert set(words.values()) <= {"late", "down", "unknown"}
            assert seconds < PROMISED_SECONDS
        assert answers(url)


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_each_part_is_told_apart(tmp_path: Path) -> None:
    sweeping.sweep_in_turn()
    with web(
        tmp_path,
        DATABASE_URL=database_url(),
        REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
    ) as url:
        status, words, _ = asked(url)
    assert (status, words) == (503, dict.fromkeys(PARTS, "ok") | {"broker": "down"})

    gone = f"postgresql://me:hidden@127.0.0.1:{free_port()}/db"
    with web(tmp_path, DATABASE_URL=gone, REDIS_URL=product_settings.REDIS_URL) as url:
        status, words, _ = asked(url)
    assert status == 503
    assert words == dict.fromkeys(PARTS, "unknown") | {"database": "down", "broker": "ok"}
