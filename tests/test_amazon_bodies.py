"""T11: bodies that Amazon never promised, through client, service and database.

Whatever comes, a job ends or waits: an exception would leave it to its lease and, five crashes
later, dead. A bad item is left out and counted; its neighbours are kept.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connections import credentials
from connections.models import AdsGrant, Connection
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import upkeep
from ppc.models import AdsProfile
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import US
from tests.fuzzing import examples, seconds

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(seconds(300))]

SELLER = "A1NORTHSTAR001"
LOGIN = "ads@northstar.example"
HUGE = 5_000
HUGE_SECONDS = 30.0
HUGE_BYTES = 300 * 1024 * 1024
GOOD_PROFILE = "1152921504606846976"  # 2^60: more than a double holds

generated = settings(
    max_examples=examples(100),
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


# What may come -----------------------------------------------------------------------------

hostile_text = st.one_of(
    st.text(alphabet=st.characters(), max_size=40),  # lone surrogates among them
    st.sampled_from(
        [
            "",
            "\x00",
            "a\x00b",
            "\ud800",
            "\udfff tail",
            "\u202eevil",
            "<script>alert(1)</script>",
            '" hx-get="/admin/',
            "{{7*7}}",
            "=HYPERLINK(1)",
            "x" * 10_000,
            "e\u0301" * 500,
        ]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400)]),
    # NaN and Infinity are not JSON and spoil a body: `raw_bodies` has one.
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, hostile_text)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(hostile_text, inner, max_size=4)
    ),
    max_leaves=8,
)
# Not JSON, or JSON that no decoder likes.
raw_bodies = st.one_of(
    st.binary(max_size=200),
    values.map(json.dumps).map(str.encode),
    st.sampled_from(
        [
            b"",
            b"null",
            b"[" * 100_000,
            b'{"payload":' * 50_000,
            b"<html><body>503 Service Unavailable</body></html>",
            b'{"payload": NaN}',
            b'{"payload": [], "payload": {}}',
            b"\xff\xfe\x00",
            b'{"errors": [null]}',
            b'{"errors": [{"code": 1, "message": null, "details": []}]}',
            b'{"error": {"a": 1}, "request_id": 7}',
            b'{"error": "invalid_grant"',
            b"1" * 5_000,
        ]
    ),
)
statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 413, 429, 500, 503, 504])


def good_participation(marketplace_id: str = US) -> dict[str, Any]:
    return {
        "marketplace": {
            "id": marketplace_id,
            "name": "Amazon.com",
            "countryCode": "US",
            "defaultCurrencyCode": "USD",
            "defaultLanguageCode": "en_US",
            "domainName": "www.amazon.com",
        },
        "participation": {"isParticipating": True, "hasSuspendedListings": False},
        "storeName": "Good",
    }


def good_profile(profile_id: Any = int(GOOD_PROFILE)) -> dict[str, Any]:
    return {
        "profileId": profile_id,
        "countryCode": "US",
        "currencyCode": "USD",
        "timezone": "America/Los_Angeles",
        "accountInfo": {
            "marketplaceStringId": US,
            "id": SELLER,
            "type": "seller",
            "name": "Good",
        },
    }


def spoiled(draw: st.DrawFn, good: dict[str, Any]) -> Any:
    """The good item with one or more of its parts replaced, doubled or gone."""
    parts = [good, *(part for part in good.values() if isinstance(part, dict))]
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(parts))
        key = draw(st.sampled_from(sorted(part) or ["x"]))
        if draw(st.booleans()):
            part[key] = draw(values)
        else:
            part.pop(key, None)
    return good


@st.composite
def lists_with(draw: st.DrawFn, good: Any) -> list[Any]:
    """Bad items, and one good one somewhere among them."""
    junk = [
        spoiled(draw, good()) if draw(st.booleans()) else draw(values)
        for _ in range(draw(st.integers(0, 5)))
    ]
    place = draw(st.integers(0, len(junk)))
    return [*junk[:place], good(), *junk[place:]]


# The product -------------------------------------------------------------------------------


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    organization = factories.make_organization("Northstar Trading")
    token = amazon.world.authorize(SELLER, "NA")
    row = factories.make_connection(organization, seller=SELLER, refresh_token=token)
    credentials.access_token(factories.grant_of(row))
    return row


@pytest.fixture
def ads_grant(amazon: RunningEmulator, connection: Connection) -> AdsGrant:
    token = amazon.world.authorize_ads(LOGIN)
    return factories.make_ads_grant(connection.organization, refresh_token=token)


@contextmanager
def answering(
    amazon: RunningEmulator, surface: str, body: bytes, status: int = 200
) -> Iterator[None]:
    """Every call of one surface gets this answer; what it did to the rows is forgotten after."""
    fault = amazon.faults.add(surface=surface, status=status, body=body)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    amazon.faults.remove(fault.fault_id)


def body_of(value: Any) -> bytes:
    return json.dumps(value).encode()


def read(connection: Connection) -> Job:
    job = marketplace_services.begin_reading(connection=connection)
    assert ledger.run(job.pk)
    job.refresh_from_db()
    return job


def resync(grant: AdsGrant) -> Job:
    (job,) = upkeep.begin_grant_resync(grant=grant, actor=COMMAND)
    assert ledger.run(job.pk)
    job.refresh_from_db()
    return job


def accounts_of(connection: Connection) -> Any:
    return MarketplaceAccount.objects.for_organization(connection.organization).filter(
        connection=connection
    )


def profiles_of(grant: AdsGrant) -> Any:
    return AdsProfile.objects.for_organization(grant.organization).filter(grant=grant)


# Bodies as a whole -------------------------------------------------------------------------


def test_no_answer_of_the_sellers_api_breaks_a_worker(
    amazon: RunningEmulator, connection: Connection
) -> None:
    @generated
    @given(body=raw_bodies, status=statuses)
    def check(body: bytes, status: int) -> None:
        with answering(amazon, "sellers", body, status):
            assert read(connection).status in (Job.Status.DONE, Job.Status.WAITING)
            assert factories.grant_of(connection).status in ("active", "doubted")

    check()


def test_no_answer_of_amazon_ads_breaks_a_worker(
    amazon: RunningEmulator, ads_grant: AdsGrant
) -> None:
    @generated
    @given(body=raw_bodies, status=statuses)
    def check(body: bytes, status: int) -> None:
        with answering(amazon, "ads", body, status):
            assert resync(ads_grant).status in (Job.Status.DONE, Job.Status.WAITING)

    check()


token_fields = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.one_of(values, st.just("Atza|good")),
        "refresh_token": st.one_of(values, st.just("Atzr|good")),
        "token_type": st.one_of(values, st.just("bearer")),
        "expires_in": st.one_of(values, st.sampled_from([3600, "3600", -1, 0, 10**9, True])),
        "error": st.one_of(values, st.just("invalid_grant")),
    },
)


def test_no_answer_of_login_with_amazon_breaks_a_refresh(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """C19: a token that a header can carry, or an error with a name; and never another secret in
    place of the stored one unless it is one."""

    @generated
    @given(body=st.one_of(raw_bodies, token_fields.map(body_of)), status=statuses)
    def check(body: bytes, status: int) -> None:
        with answering(amazon, "lwa", body, status):
            try:
                token = credentials.access_token(factories.grant_of(connection), force=True)
            except AmazonError:
                pass
            else:
                assert isinstance(token, Secret)
                assert token.reveal().isascii()
                assert token.reveal().strip()
            assert factories.grant_of(connection).status in ("active", "doubted")

    check()


# Items among others ------------------------------------------------------------------------


def test_a_good_marketplace_is_kept_among_bad_ones(
    amazon: RunningEmulator, connection: Connection
) -> None:
    @generated
    @given(items=lists_with(good_participation))
    def check(items: list[Any]) -> None:
        with answering(amazon, "sellers", body_of({"payload": items})):
            job = read(connection)
            assert (job.status, job.last_error_code) == ("done", "")
            known = accounts_of(connection).get(marketplace_id=US)
            assert known.is_participating
            event = AuditEvent._base_manager.filter(
                code__in=["participations_read", "participations_partial"]
            ).latest("pk")
            listed, malformed = event.details["listed"], event.details["malformed"]
            assert listed == accounts_of(connection).count() >= 1
            assert listed + malformed <= len(items)

    check()


def test_a_good_profile_is_kept_among_bad_ones(
    amazon: RunningEmulator, ads_grant: AdsGrant
) -> None:
    """D16: its id is beyond what a double holds, and comes back digit for digit."""

    @generated
    @given(items=lists_with(good_profile))
    def check(items: list[Any]) -> None:
        with answering(amazon, "ads", body_of(items)):
            job = resync(ads_grant)
            assert (job.status, job.last_error_code) == ("done", "")
            assert profiles_of(ads_grant).filter(profile_id=GOOD_PROFILE, is_listed=True).exists()

    check()


def test_a_text_that_was_cleaned_does_not_change_at_the_next_reading(
    amazon: RunningEmulator, connection: Connection
) -> None:
    @generated
    @given(name=hostile_text)
    def check(name: str) -> None:
        item = good_participation() | {"storeName": name}
        with answering(amazon, "sellers", body_of({"payload": [item]})):
            read(connection)
            stored = accounts_of(connection).get(marketplace_id=US).store_name
            read(connection)
            assert accounts_of(connection).get(marketplace_id=US).store_name == stored
            assert "\x00" not in stored
            assert stored.encode().decode() == stored
            assert len(stored) <= 200

    check()


@pytest.mark.parametrize(
    ("sent", "stored"),
    [(2**60, str(2**60)), ("123", "123"), (2**53 + 1, str(2**53 + 1)), ("0123", "0123")],
)
def test_a_profile_id_is_kept_digit_for_digit(
    amazon: RunningEmulator, ads_grant: AdsGrant, sent: Any, stored: str
) -> None:
    with answering(amazon, "ads", body_of([good_profile(sent)])):
        resync(ads_grant)

        assert profiles_of(ads_grant).get().profile_id == stored


# Very many ---------------------------------------------------------------------------------


@contextmanager
def within_bounds() -> Iterator[None]:
    """D13: thirty seconds and 300 MB more than before, for a job on a busy machine."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert time.monotonic() - began < HUGE_SECONDS
    assert grown < HUGE_BYTES


def test_five_thousand_profiles_of_ten_megabytes_are_read(
    amazon: RunningEmulator, ads_grant: AdsGrant
) -> None:
    """The same list on all three hosts and for both levels: sixty megabytes in all."""
    listing = [good_profile(2**60 + number) for number in range(HUGE)]
    for item in listing:
        item["accountInfo"]["name"] = "x" * 1_700
    body = body_of(listing)
    assert 9_500_000 < len(body) < 10 * 1024 * 1024

    with answering(amazon, "ads", body):
        with within_bounds():
            job = resync(ads_grant)

        assert (job.status, job.last_error_code) == ("done", "")
        assert profiles_of(ads_grant).count() == HUGE


def test_five_thousand_marketplaces_are_read(
    amazon: RunningEmulator, connection: Connection
) -> None:
    body = body_of({"payload": [good_participation(f"A{number:012d}") for number in range(HUGE)]})

    with answering(amazon, "sellers", body):
        with within_bounds():
            job = read(connection)

        assert (job.status, job.last_error_code) == ("done", "")
        assert accounts_of(connection).count() == HUGE


def test_more_than_ten_megabytes_are_not_read_and_not_asked_for_again(
    amazon: RunningEmulator, connection: Connection
) -> None:
    with answering(amazon, "sellers", b'{"payload": ["' + b"x" * (11 * 1024 * 1024) + b'"]}'):
        with within_bounds():
            job = read(connection)

        assert (job.status, job.last_error_code) == ("done", "unexpected_reply")
