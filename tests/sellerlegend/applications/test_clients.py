"""Which secrets are in force: the environment's and those that were rotated since."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from sellerlegend import crypto
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients, upkeep
from sellerlegend.applications.ages import secret_ages
from sellerlegend.applications.models import OVERLAP, ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations import custody
from tests.staff import make_support, signed_in

SPAPI = LwaApplication.SPAPI
FIRST, SECOND, THIRD = "amzn1.oa2-cs.v1.first", "amzn1.oa2-cs.v1.second", "amzn1.oa2-cs.v1.third"

pytestmark = pytest.mark.django_db


def environment_has(settings: Settings, *secrets: str) -> None:
    settings.SPAPI_CLIENT = LwaClient(
        settings.SPAPI_CLIENT.client_id, tuple(Secret(value) for value in secrets)
    )


def in_force() -> list[str]:
    clients.forget_clients()
    return [secret.reveal().rpartition(".")[2] for secret in clients.client_of(SPAPI).secrets]


def rotated(value: str, **dates: Any) -> ClientSecret:
    with transaction.atomic():
        return clients.store(
            SPAPI, Secret(value), issued_at=dates.get("issued_at"), expires_at=None
        )


def row_of(value: str) -> ClientSecret:
    return ClientSecret.objects.get(fingerprint=crypto.fingerprint(Secret(value)))


def age(value: str, **by: float) -> None:
    row = row_of(value)
    moved = {"first_seen_at": row.first_seen_at - timedelta(**by)}
    if row.superseded_at is not None:
        moved["superseded_at"] = row.superseded_at - timedelta(**by)
    ClientSecret.objects.filter(pk=row.pk).update(**moved)


def accept(value: str) -> None:
    """As Amazon does when it is asked with this one."""
    ClientSecret.objects.filter(pk=row_of(value).pk).update(
        last_used_at=timezone.now(), refused_at=None
    )


def test_the_environment_alone(settings: Settings) -> None:
    environment_has(settings, SECOND, FIRST)

    before = in_force()
    look_after_secrets()
    untried = row_of(FIRST).superseded_at
    accept(SECOND)
    look_after_secrets()

    assert before == in_force() == ["second", "first"]
    assert untried is None
    assert row_of(SECOND).superseded_at is None
    assert row_of(FIRST).superseded_at == row_of(SECOND).first_seen_at
    assert not ClientSecret.objects.exclude(sealed_secret="").exists()


def test_a_secret_that_was_rotated_since_comes_first(settings: Settings) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()

    rotated(SECOND)

    assert in_force() == ["second", "first"]


def test_before_any_sweep_a_rotated_secret_comes_before_a_previous_one_of_the_environment(
    settings: Settings,
) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    environment_has(settings, SECOND, FIRST)

    look_after_secrets()

    assert in_force() == ["second", "first"]


def test_a_secret_that_is_new_in_the_environment_is_the_newest(settings: Settings) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)

    environment_has(settings, THIRD, SECOND)

    assert in_force() == ["third", "second"]
    look_after_secrets()
    assert in_force() == ["third", "second"]


def test_after_the_overlap_the_older_one_is_erased(settings: Settings) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    age(FIRST, days=30)
    rotated(SECOND)
    age(SECOND, days=1)
    rotated(THIRD)
    look_after_secrets()
    assert in_force() == ["third", "second"]
    age(SECOND, days=OVERLAP.days)

    look_after_secrets()

    assert row_of(SECOND).sealed_secret == row_of(SECOND).data_key == ""
    assert row_of(THIRD).sealed_secret != ""
    assert in_force() == ["third", "first"]


def test_another_client_id_has_other_secrets(settings: Settings) -> None:
    environment_has(settings, FIRST)
    rotated(SECOND)

    settings.SPAPI_CLIENT = LwaClient("another", (Secret(THIRD),))

    assert in_force() == ["third"]


def test_the_other_application_has_its_own(settings: Settings) -> None:
    rotated(SECOND)

    assert clients.client_of(LwaApplication.ADS).secrets == settings.ADS_CLIENT.secrets


@pytest.mark.parametrize("column", ["sealed_secret", "data_key"])
def test_what_cannot_be_opened_leaves_the_environment(
    settings: Settings, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Moved from another row: refused by the vault, never used as it stands."""
    environment_has(settings, FIRST)
    look_after_secrets()
    one = rotated(SECOND)
    other = rotated(THIRD)
    ClientSecret.objects.filter(pk=one.pk).update(**{column: getattr(other, column)})
    ClientSecret.objects.filter(pk=other.pk).delete()

    assert in_force() == ["first"]
    assert "client_secret_unreadable" in caplog.text


def test_one_query_serves_for_seconds(
    settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    clients.forget_clients()

    with django_assert_num_queries(1):
        for _ in range(50):
            clients.client_of(SPAPI)


def test_a_stored_secret_is_not_readable_in_the_table() -> None:
    row = rotated(SECOND)

    stored = " ".join(str(value) for value in ClientSecret.objects.values_list().get(pk=row.pk))

    assert SECOND not in stored
    assert SECOND not in repr(vars(row))


def test_the_key_ring_is_changed_and_the_secret_stays_readable(settings: Settings) -> None:
    look_after_secrets()
    rotated(SECOND)
    old = settings.TOKEN_ENCRYPTION_KEYS
    settings.TOKEN_ENCRYPTION_KEYS = {"k2": b"2" * 32} | old
    before = custody.rows_by_key()

    look_after_secrets()

    assert (before["tests"], before["k2"]) == (1, 0)
    assert custody.rows_by_key()["tests"] == 0
    settings.TOKEN_ENCRYPTION_KEYS = {"k2": b"2" * 32}
    assert in_force()[0] == "second"


# What Amazon never accepted -----------------------------------------------------------------


def rotated_and_then_mistyped(settings: Settings) -> None:
    """SECOND is sealed and serves; the environment had a typo for one sweep."""
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    look_after_secrets()
    accept(SECOND)
    environment_has(settings, "amzn1.oa2-cs.v1.typo")
    look_after_secrets()


@pytest.mark.parametrize("typo_stays", [False, True])
def test_a_typo_in_the_environment_ends_no_secret(settings: Settings, typo_stays: bool) -> None:
    rotated_and_then_mistyped(settings)
    if not typo_stays:
        environment_has(settings, FIRST)
        look_after_secrets()
    ages = [item for item in secret_ages() if item.application == "spapi" and item.is_newest]
    for value in (FIRST, SECOND, "amzn1.oa2-cs.v1.typo"):
        age(value, days=8)

    look_after_secrets()

    assert [(item.fingerprint, item.days_left) for item in ages] == [
        (crypto.fingerprint(Secret(SECOND)), 180)
    ]
    assert row_of(SECOND).superseded_at is None
    assert row_of(SECOND).sealed_secret != ""
    assert in_force() == (["typo", "second"] if typo_stays else ["second", "first"])


def test_what_was_believed_ended_is_in_force_again(settings: Settings) -> None:
    """Rows that an earlier release wrote: the typo counted as the newest then."""
    rotated_and_then_mistyped(settings)
    ClientSecret.objects.filter(pk=row_of(SECOND).pk).update(
        superseded_at=timezone.now() - timedelta(days=8)
    )
    environment_has(settings, FIRST)

    look_after_secrets()

    assert row_of(SECOND).superseded_at is None
    assert row_of(SECOND).sealed_secret != ""


def test_two_typos_do_not_push_the_good_secret_out(settings: Settings) -> None:
    rotated_and_then_mistyped(settings)

    environment_has(settings, "amzn1.oa2-cs.v1.typo", "amzn1.oa2-cs.v1.other")

    assert in_force() == ["typo", "second"]
    look_after_secrets()
    assert in_force() == ["typo", "second"]
    ages = [item for item in secret_ages() if item.application == "spapi"]
    assert [(item.is_newest, item.is_accepted) for item in ages] == [
        (False, False),
        (False, False),
        (True, True),
    ]


def test_a_secret_that_served_after_its_successor_is_not_erased(settings: Settings) -> None:
    """Whatever the dates say: Amazon accepts it and not the newer one."""
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    age(SECOND, days=20)
    rotated(THIRD)
    age(THIRD, days=10)
    look_after_secrets()
    assert row_of(SECOND).sealed_secret == ""
    ClientSecret.objects.filter(pk=row_of(SECOND).pk).delete()
    rotated(SECOND)
    age(SECOND, days=20)
    ClientSecret.objects.filter(pk=row_of(SECOND).pk).update(
        superseded_at=timezone.now() - timedelta(days=10), last_used_at=timezone.now()
    )

    look_after_secrets()

    assert row_of(SECOND).sealed_secret != ""
    assert row_of(SECOND).superseded_at is not None
    accept(THIRD)
    look_after_secrets()
    assert row_of(SECOND).sealed_secret == ""


def test_a_secret_that_comes_in_force_again_meanwhile_is_not_erased(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    rotated(THIRD)
    look_after_secrets()
    age(SECOND, days=8)

    def put_back(row: ClientSecret) -> bool:
        ClientSecret.objects.filter(pk=row.pk).update(superseded_at=None)
        return True

    monkeypatch.setattr(upkeep, "_has_heir", put_back)

    look_after_secrets()

    assert row_of(SECOND).sealed_secret != ""


def test_of_a_client_id_that_is_not_configured_the_newest_stays(settings: Settings) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    ClientSecret.objects.filter(pk=row_of(SECOND).pk).update(
        superseded_at=timezone.now() - timedelta(days=8)
    )
    settings.SPAPI_CLIENT = LwaClient("another", (Secret(THIRD),))

    look_after_secrets()

    assert row_of(SECOND).sealed_secret != ""


def test_the_newer_date_of_an_overlap_does_not_count() -> None:
    """Amazon's 180 days of a secret say nothing once a newer one has taken its place."""
    now = timezone.now()
    row = ClientSecret(first_seen_at=now, expires_at=now + timedelta(days=180), superseded_at=now)

    assert row.ends_at() == now + OVERLAP
    row.expires_at = now + timedelta(days=5)
    assert row.ends_at() == now + timedelta(days=5)


# Ages --------------------------------------------------------------------------------------


def test_ages_are_counted_from_the_first_sight_unless_somebody_knows_better(
    settings: Settings,
) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    age(FIRST, days=10, hours=1)

    [seen] = [item for item in secret_ages() if item.application == "spapi"]
    issued_at = timezone.now() - timedelta(days=100, hours=1)
    ClientSecret.objects.filter(pk=row_of(FIRST).pk).update(issued_at=issued_at)
    [known] = [item for item in secret_ages() if item.application == "spapi"]

    assert (seen.age_days, seen.days_left, seen.is_dated) == (10, 170, False)
    assert (known.age_days, known.days_left, known.is_dated) == (100, 80, True)
    assert known.fingerprint == crypto.fingerprint(Secret(FIRST))


def test_the_one_before_ends_seven_days_after_the_rotation(settings: Settings) -> None:
    environment_has(settings, FIRST)
    look_after_secrets()
    rotated(SECOND)
    look_after_secrets()

    ages = [item for item in secret_ages() if item.application == "spapi"]

    assert [(item.is_newest, item.days_left) for item in ages] == [(True, 180), (False, 7)]


def test_staff_see_in_the_admin_how_many_days_each_has_left() -> None:
    now = timezone.now()
    for fingerprint, columns in {
        "in force": {"issued_at": now - timedelta(days=30)},
        "rotated": {"superseded_at": now - timedelta(days=6, hours=1)},
        "ended": {"expires_at": now - timedelta(hours=1)},
        "refused": {"refused_at": now},
        "too old": {"called_expired_at": now},
    }.items():
        ClientSecret.objects.create(application=SPAPI, fingerprint=fingerprint, **columns)

    list_of_secrets = reverse("admin:applications_clientsecret_changelist")
    page = signed_in(make_support()).get(list_of_secrets).content.decode()

    told = zip(cells(page, "fingerprint"), cells(page, "left"), strict=True)
    assert dict(told) == {
        "in force": "in 150 days",
        "rotated": "in 1 day",
        "ended": "Past its last day",
        "refused": "Amazon refuses it",
        "too old": "Amazon refuses it",
    }


def cells(page: str, column: str) -> list[str]:
    return re.findall(rf'<td class="field-{column}[^"]*">([^<]*)</td>', page)
