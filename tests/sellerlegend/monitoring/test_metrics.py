"""`/metrics`: who may read it, and that its numbers are those of all processes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from django.conf import settings as settings_of_the_product
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from connections import credentials
from connections.models import Grant, SpApiGrant
from connections.verdicts import GrantUnreadable
from marketplaces import services as marketplace_services
from sellerlegend import crypto, tallies
from sellerlegend.amazon import sellers
from sellerlegend.amazon.errors import AmazonError, ClientMisconfigured
from sellerlegend.amazon.regions import Region
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.celery import RUN_JOB
from sellerlegend.jobs import ledger, sweeping
from sellerlegend.jobs.models import Breaker, Job
from sellerlegend.monitoring import flush, readiness, views
from sellerlegend.monitoring.exposition import PREFIX, exposition, metric_names
from sellerlegend.monitoring.models import Tally
from sellerlegend.organizations import limits
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import across_organizations
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_runbook import conditions, expression_of
from tests.factories import grant_of, make_ads_grant, make_connection, make_organization, owner_of
from tests.signing_in import signed_in_freshly
from tests.web import web
from tests.workers import database_url, open_office, wait_until

TOKEN = "metrics-token-of-the-tests-0123456789"
SELLER = "A1NORTHSTAR001"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def nothing_counted_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tallies.take()
    monkeypatch.setattr(
        views, "SCRAPE", readiness.Look(views.look_at_everything, (views.TEXT,), 30.0)
    )
    yield
    tallies.take()


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((PREFIX + name, tuple(sorted(labels.items()))))


# Who may read -------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "sent"),
    [
        ("", {}),
        ("", {"Authorization": "Bearer "}),
        (TOKEN, {}),
        (TOKEN, {"Authorization": TOKEN}),
        (TOKEN, {"Authorization": f"Bearer {TOKEN[:-1]}"}),
        (TOKEN, {"Authorization": f"Bearer {TOKEN}x"}),
        (TOKEN, {"Authorization": f"Basic {TOKEN}"}),
        (TOKEN, {"Authorization": "Bearer \N{SNOWMAN}"}),
    ],
)
def test_without_the_token_there_is_no_such_page(
    token: str, sent: dict[str, str], client: Client, settings: Settings
) -> None:
    settings.METRICS_TOKEN = token

    response = client.get("/metrics", headers=sent)
    unknown = client.get("/no-such-page", headers=sent)

    assert response.status_code == unknown.status_code == 404
    assert PREFIX not in response.content.decode()
    assert set(response.headers) == set(unknown.headers)


@pytest.mark.django_db
def test_no_session_opens_it(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    staff = owner_of(make_organization())
    staff.is_staff = staff.is_superuser = True
    staff.save()
    signed_in_freshly(staff, client)

    assert client.get("/metrics").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_token_opens_it(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN

    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.headers["Cache-Control"] == "no-store"
    assert not response.cookies
    assert sample(parsed(response.content.decode()), "undecryptable_organizations") == 0


# What the rows say --------------------------------------------------------------------------


@pytest.mark.django_db
def test_gauges_are_counted_from_the_rows() -> None:
    organization = make_organization()
    for days in (360, 300, 10):
        grant = grant_of(make_connection(organization))
        type(grant)._base_manager.filter(pk=grant.pk).update(
            authorized_at=timezone.now() - timedelta(days=days)
        )
    revoked = grant_of(make_connection(organization))
    type(revoked)._base_manager.filter(pk=revoked.pk).update(
        status=Grant.Status.INVALID, authorized_at=timezone.now() - timedelta(days=364)
    )
    make_ads_grant(organization, refresh_token="Atzr|made-up")
    job = Job.objects.for_organization(organization).create(kind="anything", subject_id=uuid4())
    Job._base_manager.filter(pk=job.pk).update(next_attempt_at=timezone.now() - timedelta(hours=1))
    sweeping.sweep_in_turn()

    for name, until in (
        ("eu", timezone.now() + timedelta(minutes=1)),
        ("na", None),
        ("client.abc.1", timezone.now() + timedelta(minutes=1)),
        ("client.abc.2", None),
    ):
        Breaker.objects.create(name=name, window_started_at=timezone.now(), open_until=until)

    found = parsed(exposition())

    assert sample(found, "breaker_open", part="eu") == 1
    assert sample(found, "breaker_open", part="na") == 0
    assert sample(found, "breaker_open", part="client") == 1
    assert sample(found, "grants", kind="spapi", state="active") == 3
    assert sample(found, "grants", kind="spapi", state="invalid") == 1
    assert sample(found, "grants", kind="spapi", state="doubted") == 0
    assert sample(found, "grants", kind="ads", state="active") == 1
    assert sample(found, "grants_ending", kind="spapi", within_days="1") == 0
    assert sample(found, "grants_ending", kind="spapi", within_days="7") == 1
    assert sample(found, "grants_ending", kind="spapi", within_days="90") == 2
    assert sample(found, "grants_ending", kind="spapi", within_days="365") == 3
    assert sample(found, "grant_days_left", kind="spapi") == pytest.approx(5, abs=0.01)
    assert sample(found, "jobs", kind="anything", status="queued") == 1
    assert 3600 <= (sample(found, "queue_age_seconds", queue="interactive") or 0) < 3700
    assert sample(found, "queue_age_seconds", queue="background") == 0
    assert 0 <= (sample(found, "sweep_age_seconds") or 0) < 60
    assert sample(found, "data_keys", kid="tests") == 1


@pytest.mark.django_db
def test_the_days_of_our_own_secrets_are_counted_down() -> None:
    client = settings_of_the_product.SPAPI_CLIENT
    issued_at = timezone.now() - timedelta(days=30)
    ClientSecret.objects.create(
        application=LwaApplication.SPAPI,
        client_id=client.client_id,
        fingerprint=crypto.fingerprint(client.secrets[0]),
        issued_at=issued_at,
        first_seen_at=issued_at,
        fallback_uses=4,
    )

    found = parsed(exposition())

    assert sample(found, "client_secret_days_left", application="spapi") == 150
    assert sample(found, "client_secret_fallback_uses", application="spapi") == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scenario", "refreshes"),
    [
        ("wrong_secret", {"ClientSecretRefused": 1}),
        # Login with Amazon still gives tokens out, and the Selling Partner API refuses them.
        ("expired_secret", {}),
    ],
)
def test_one_refusal_of_our_own_secret_is_told_as_its_alert_asks(
    amazon: RunningEmulator, scenario: str, refreshes: dict[str, float]
) -> None:
    token = amazon.world.authorize(SELLER, "NA")
    row = make_connection(make_organization(), seller=SELLER, refresh_token=token)
    look_after_secrets()
    assert sample(parsed(exposition()), "client_secret_refused", application="spapi") == 0
    amazon.scenario(scenario)

    with pytest.raises(ClientMisconfigured):
        credentials.spapi_call(
            row,
            lambda access_token: sellers.get_marketplace_participations(
                endpoints=settings_of_the_product.AMAZON_ENDPOINTS,
                region=Region.NA,
                access_token=access_token,
            ),
        )
    flush.flush()

    found, rule = parsed(exposition()), expression_of("OurClientRefused")
    told = {
        result: sample(found, metric, kind="spapi", **{label: result})
        for metric, label, result in conditions(rule)
    }
    assert {result: number for result, number in told.items() if number} == refreshes
    assert f"{PREFIX}client_secret_refused" in rule
    assert sample(found, "client_secret_refused", application="spapi") == 1
    assert sample(found, "client_secret_refused", application="ads") == 0


@pytest.mark.django_db
def test_work_that_was_given_up_within_the_hour_is_told_and_no_other() -> None:
    organization = make_organization()
    jobs = Job.objects.for_organization(organization)
    lost, cancelled = (jobs.create(kind="anything", subject_id=uuid4()) for _ in range(2))
    jobs.filter(pk=lost.pk).update(
        status=Job.Status.RUNNING,
        attempts=ledger.MAX_ATTEMPTS,
        lease_expires_at=timezone.now() - timedelta(seconds=1),
    )
    jobs.create(
        kind="marketplaces.verify",
        subject_id=uuid4(),
        status=Job.Status.DEAD,
        finished_at=timezone.now() - timedelta(minutes=61),
    )

    ledger.recover_lost()
    ledger.cancel_live(organization_id=organization.pk, subject_ids=[cancelled.subject_id])

    assert list(jobs.values_list("status", flat=True)) == [Job.Status.DEAD] * 3
    found = parsed(exposition())
    assert sample(found, "jobs_given_up_last_hour", kind="anything") == 1
    assert sample(found, "jobs_given_up_last_hour", kind="marketplaces.verify") == 0
    assert f"{PREFIX}jobs_given_up_last_hour > 0" in expression_of("JobsDead")


@pytest.mark.django_db
def test_a_refusal_of_too_many_requests_is_counted_by_its_limit() -> None:
    for _ in range(limits.PASSWORD_RESET.burst + 3):
        limits.take((limits.PASSWORD_RESET, "somebody"))
    flush.flush()

    assert sample(parsed(exposition()), "rate_refusals_total", limit="password_reset") == 3


@pytest.mark.django_db
def test_a_lost_key_shows() -> None:
    organization = make_organization()
    Organization.objects.filter(pk=organization.pk).update(data_key="v1.lost.nonce.sealed")

    assert sample(parsed(exposition()), "undecryptable_organizations") == 1


@pytest.mark.django_db
def test_more_rows_cost_no_more_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    organization = make_organization()
    make_connection(organization)
    with django_assert_num_queries(41):
        exposition()
    for _ in range(5):
        make_connection(make_organization())

    with django_assert_num_queries(41):
        exposition()


@pytest.mark.django_db
def test_nobody_is_named() -> None:
    organization = make_organization("Northstar Trading")
    row = make_connection(organization, seller=SELLER)
    tallies.count("requests", route="account_connections", status="2xx")
    flush.flush()

    text = exposition()

    named = (organization.slug, organization.name, row.name, SELLER, str(organization.pk))
    assert [name for name in (*named, str(row.pk), "@") if name in text] == []


# What processes counted ---------------------------------------------------------------------


@pytest.mark.django_db
def test_counts_are_added_and_survive_the_process() -> None:
    for _ in range(2):
        tallies.count("refreshes", kind="spapi", result="ok")
        tallies.count("refreshes", kind="ads", result="GrantInvalid")
        tallies.remember("amazon_clock_skew_seconds", 1.5)
        flush.flush()
    tallies.remember("amazon_clock_skew_seconds", -2.0)
    flush.flush()

    found = parsed(exposition())

    assert sample(found, "refreshes_total", kind="spapi", result="ok") == 2
    assert sample(found, "refreshes_total", kind="ads", result="GrantInvalid") == 2
    assert sample(found, "amazon_clock_skew_seconds") == -2.0


@pytest.mark.django_db
def test_a_histogram_is_cumulative() -> None:
    bounds = (0.1, 1.0, 5.0)
    for seconds in (0.05, 0.1, 0.7, 4.0, 60.0):
        tallies.observe("amazon_call_seconds", seconds, bounds, operation="lwa.refresh")
    flush.flush()

    found = parsed(exposition())

    buckets = [
        sample(found, "amazon_call_seconds_bucket", operation="lwa.refresh", le=bound)
        for bound in ("0.1", "1", "5", "+Inf")
    ]
    assert buckets == [2, 3, 4, 5]
    assert sample(found, "amazon_call_seconds_count", operation="lwa.refresh") == 5
    total = sample(found, "amazon_call_seconds_sum", operation="lwa.refresh")
    assert total == pytest.approx(64.85)


@pytest.mark.django_db
def test_a_label_nobody_bounded_cannot_fill_the_table() -> None:
    tallies._known.pop("rate_refusals", None)
    for number in range(tallies.MOST_SERIES + 50):
        tallies.count("rate_refusals", limit=f"made-up-{number}")
    flush.flush()

    assert Tally.objects.filter(name="rate_refusals").count() == tallies.MOST_SERIES + 1
    tallies._known.pop("rate_refusals")


@pytest.mark.django_db
def test_what_the_database_did_not_hear_is_told_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tallies.count("refreshes", kind="spapi", result="ok")
    with monkeypatch.context() as broken:
        broken.setattr(flush, "ADD", "INSERT INTO no_such_table VALUES (%s, %s, %s, %s)")
        flush.flush()
    assert Tally.objects.count() == 0

    flush.flush()

    assert Tally.objects.get(name="refreshes").value == 1


@pytest.mark.django_db
def test_openings_that_failed_are_counted_and_the_words_say_so(amazon: RunningEmulator) -> None:
    row = make_connection(make_organization())
    SpApiGrant._base_manager.update(refresh_token="v1.damaged.AAAA.BBBB")
    with pytest.raises(GrantUnreadable):
        credentials.access_token(grant_of(row))

    text = exposition()

    # Looked at once more: a rotation may have been between.
    assert sample(parsed(text), "vault_openings_today", purpose="refresh") == 2
    assert "opened today, or tried to be, UTC" in text


@pytest.mark.django_db
def test_a_refresh_is_counted_by_what_came_of_it(amazon: RunningEmulator) -> None:
    token = amazon.world.authorize(SELLER, "NA")
    good = make_connection(make_organization(), seller=SELLER, refresh_token=token)
    credentials.access_token(grant_of(good))
    revoked = make_connection(make_organization(), refresh_token="Atzr|nobody-knows-it")
    with pytest.raises(AmazonError):
        credentials.access_token(grant_of(revoked))
    flush.flush()

    found = parsed(exposition())

    assert sample(found, "refreshes_total", kind="spapi", result="ok") == 1
    assert sample(found, "refreshes_total", kind="spapi", result="GrantInvalid") == 1
    assert sample(found, "vault_openings_today", purpose="refresh") == 2
    assert sample(found, "amazon_answers_total", operation="lwa.refresh", status="2xx") == 1
    assert sample(found, "amazon_answers_total", operation="lwa.refresh", status="4xx") == 1
    assert sample(found, "amazon_call_seconds_count", operation="lwa.refresh") == 2
    assert abs(sample(found, "amazon_clock_skew_seconds") or 99) < 5


def test_every_name_follows_prometheus_rules() -> None:
    assert all(name.startswith(PREFIX) and name.islower() for name in metric_names())


@pytest.mark.django_db(transaction=True)
def test_every_named_metric_is_told() -> None:
    """The names that alerts may use are those of the page."""
    tallies.count("x")
    tallies.take()

    told = {family.name for family in text_string_to_metric_families(exposition())}

    bases = {name.removesuffix("_total") for name in metric_names()}
    bases = {name.removesuffix("_bucket").removesuffix("_sum") for name in bases}
    assert {name for name in bases if not name.endswith("_count")} == told


@pytest.mark.needs_postgresql
@pytest.mark.needs_redis
@pytest.mark.django_db(transaction=True)
def test_a_web_process_tells_what_a_worker_counted(amazon: RunningEmulator, tmp_path: Path) -> None:
    """Two processes that share nothing but the database."""
    row = make_connection(
        make_organization(), seller=SELLER, refresh_token=amazon.world.authorize(SELLER, "NA")
    )
    marketplace_services.begin_reading(connection=row)
    with across_organizations("the test's job"):
        job = Job.objects.get()
    for name in ("worker", "web"):
        (tmp_path / name).mkdir()
    with (
        open_office("redis", amazon.url, tmp_path / "worker") as office,
        web(tmp_path / "web", DATABASE_URL=database_url(), METRICS_TOKEN=TOKEN) as url,
    ):
        office.hire()
        office.tell(RUN_JOB, str(job.pk))
        for _ in range(3):
            requests.get(f"{url}/accounts/login/", timeout=20).raise_for_status()

        def told() -> Samples:
            sent = {"Authorization": f"Bearer {TOKEN}"}
            return parsed(requests.get(f"{url}/metrics", headers=sent, timeout=20).text)

        def is_told() -> bool:
            found = told()
            calls = sample(found, "refreshes_total", kind="spapi", result="ok")
            pages = sample(found, "requests_total", route="account_login", status="2xx")
            return (calls, pages) == (1, 3)

        wait_until(is_told, f"one refresh and three pages: {told()}")
        assert sample(told(), "jobs", kind=job.kind, status="done") == 1
    connection.close()
