"""`resync_tokens`: consents refreshed, participations and profiles read again."""

from __future__ import annotations

import pytest

from connections import superseding
from connections.models import Connection, Grant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR, NORTHSTAR_LOGIN, SAKURA
from tests.operators import run_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


def connected(
    amazon: RunningEmulator, organization: Organization, seller: str, marketplace: str, region: str
) -> Connection:
    return factories.make_connection(
        organization,
        seller=seller,
        marketplace_id=marketplace,
        refresh_token=amazon.world.authorize(seller, region),  # type: ignore[arg-type]  # NA, EU or FE
    )


@pytest.fixture
def rows(amazon: RunningEmulator, organization: Organization) -> list[Connection]:
    """Northstar in two regions, Blue Harbor, and Sakura in another organization; by id."""
    other = factories.make_organization("Other")
    made = [
        connected(amazon, organization, NORTHSTAR, factories.US, "NA"),
        connected(amazon, organization, NORTHSTAR, factories.UK, "EU"),
        connected(amazon, organization, BLUE_HARBOR, factories.US, "NA"),
        connected(amazon, other, SAKURA, factories.JAPAN, "FE"),
    ]
    return sorted(made, key=lambda row: row.pk)


def calls(amazon: RunningEmulator, surface: str) -> int:
    return sum(call.surface == surface for call in amazon.ledger.calls())


def ids(rows: list[Connection]) -> list[str]:
    return [str(row.pk) for row in rows]


def test_every_consent_is_refreshed_and_read_again(
    amazon: RunningEmulator, organization: Organization, rows: list[Connection]
) -> None:
    login = amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    consent = factories.make_ads_grant(organization, refresh_token=login)
    amazon.ledger.clear()

    run = run_command("resync_tokens", "--json")

    assert run.code == 0
    assert [line["id"] for line in run.objects] == ids(rows)
    assert {line["outcome"] for line in run.objects} == {"done"}
    assert calls(amazon, "lwa") == 5
    assert calls(amazon, "sellers") == 4
    assert calls(amazon, "ads") == 6
    assert consent.profiles.count() == 6
    assert MarketplaceAccount._base_manager.filter(connection__in=rows).count() == 5 + 6 + 2 + 3
    assert set(Job._base_manager.values_list("status", flat=True)) == {"done"}
    events = AuditEvent._base_manager.filter(code="resync_requested")
    assert {(event.actor_kind, event.details["reason"]) for event in events} == {
        ("command", "resync_tokens")
    }


def test_no_token_is_printed_in_any_form(
    amazon: RunningEmulator, organization: Organization, rows: list[Connection]
) -> None:
    factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )
    stored = list(SpApiGrant._base_manager.values_list("refresh_token", flat=True))

    printed = ""
    for option in ("--dry-run", "--json", "--verbosity=3"):
        run = run_command("resync_tokens", option, is_terminal=True)
        printed += run.out + run.err

    assert "resync" in printed
    assert [secret for secret in [*amazon.issued_secrets(), *stored] if secret in printed] == []


def test_a_dry_run_asks_amazon_nothing(amazon: RunningEmulator, rows: list[Connection]) -> None:
    amazon.ledger.clear()

    run = run_command("resync_tokens", "--dry-run")

    assert run.code == 0
    assert [line.split()[:3] for line in run.lines] == [["would", "resync", i] for i in ids(rows)]
    assert amazon.ledger.calls() == []
    assert not Job._base_manager.exists()


@pytest.mark.parametrize(
    ("options", "sellers"),
    [
        (["--organization", "other"], {SAKURA}),
        (["--seller-id", NORTHSTAR], {NORTHSTAR}),
        (["--seller-id", NORTHSTAR, "--region", "FE"], set()),
        (["--region", "NA"], {NORTHSTAR, BLUE_HARBOR}),
        (["--status", "invalid"], {BLUE_HARBOR}),
        (["--status", "active"], {NORTHSTAR, SAKURA}),
    ],
)
def test_the_scope_narrows(rows: list[Connection], options: list[str], sellers: set[str]) -> None:
    harbor = SpApiGrant._base_manager.filter(connection__selling_partner_id=BLUE_HARBOR)
    harbor.update(status=Grant.Status.INVALID)

    run = run_command("resync_tokens", "--dry-run", "--json", *options)

    assert {line["seller_id"] for line in run.objects} == sellers
    assert "No scope" not in run.err


def test_a_run_is_resumed_behind_its_last_row(rows: list[Connection]) -> None:
    first = run_command("resync_tokens", "--dry-run", "--json", "--limit", 3)
    rest = run_command("resync_tokens", "--dry-run", "--json", "--after", first.objects[-1]["id"])

    assert [line["id"] for line in first.objects + rest.objects] == ids(rows)


def test_a_row_without_consent_or_token_is_left_out(
    amazon: RunningEmulator, organization: Organization
) -> None:
    factories.make_waiting_connection(organization)
    gone = factories.make_connection(organization)
    SpApiGrant._base_manager.filter(connection=gone).update(
        status=Grant.Status.DISCONNECTED, refresh_token=""
    )

    run = run_command("resync_tokens")

    assert (run.code, run.lines) == (0, [])


def test_a_refused_consent_fails_its_row_alone(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    amazon.world.revoke(BLUE_HARBOR)
    SpApiGrant._base_manager.filter(connection__selling_partner_id=BLUE_HARBOR).update(
        status=Grant.Status.INVALID, last_error_code="invalid_grant"
    )

    run = run_command("resync_tokens", "--json")

    assert run.code == 3
    ended = {line["seller_id"]: (line["outcome"], line["reason"]) for line in run.objects}
    assert ended == {
        NORTHSTAR: ("done", ""),
        SAKURA: ("done", ""),
        BLUE_HARBOR: ("attention", "marketplaces.resync: grant_invalid"),
    }
    stuck = Connection._base_manager.get(selling_partner_id=BLUE_HARBOR)
    assert stuck.reading_error == "grant_invalid"


@pytest.mark.parametrize("options", [[], ["--tokens-only"]])
def test_a_consent_that_staff_stopped_is_left_out_and_said(
    amazon: RunningEmulator, rows: list[Connection], options: list[str]
) -> None:
    harbor = SpApiGrant._base_manager.get(connection__selling_partner_id=BLUE_HARBOR)
    superseding.require_reconnect(harbor, actor=COMMAND, reason="staff")
    events = AuditEvent._base_manager.count()
    amazon.ledger.clear()

    run = run_command("resync_tokens", "--json", "--seller-id", BLUE_HARBOR, *options)

    assert run.code == 3
    reason = "grant_invalid" if options else "marketplaces.resync: reconnect_required"
    assert [(line["outcome"], line["reason"]) for line in run.objects] == [("attention", reason)]
    assert amazon.ledger.calls() == []
    assert AuditEvent._base_manager.count() == events
    assert Connection._base_manager.get(pk=harbor.connection_id).reading_error == ""


def test_beside_a_stopped_consent_the_ads_consents_of_the_row_are_refreshed(
    amazon: RunningEmulator, organization: Organization, rows: list[Connection]
) -> None:
    row = next(row for row in rows if row.selling_partner_id == BLUE_HARBOR)
    login = amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    grant = factories.make_ads_grant(organization, refresh_token=login)
    factories.put_to_use(grant, row)
    superseding.require_reconnect(factories.grant_of(row), actor=COMMAND, reason="staff")

    run = run_command("resync_tokens", "--json", "--seller-id", BLUE_HARBOR)

    assert run.objects[0]["reason"] == "marketplaces.resync: reconnect_required"
    grant.refresh_from_db()
    assert grant.last_refreshed_at is not None


def test_what_amazon_postpones_goes_on_by_itself(
    amazon: RunningEmulator, rows: list[Connection]
) -> None:
    amazon.scenario("throttled")

    run = run_command("resync_tokens", "--json", "--seller-id", SAKURA)

    assert run.code == 3
    assert run.objects[0]["outcome"] == "waiting"
    assert run.objects[0]["reason"] == "marketplaces.resync: amazon_throttled"
    assert Job._base_manager.get().status == "waiting"


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_rows_at_once_refresh_a_shared_ads_consent_once(
    amazon: RunningEmulator, organization: Organization, rows: list[Connection]
) -> None:
    factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )
    amazon.ledger.clear()

    run = run_command("resync_tokens", "--json", "--concurrency", 4)

    assert run.code == 0
    assert [line["id"] for line in run.objects] == ids(rows)
    assert calls(amazon, "lwa") == 5
    assert calls(amazon, "ads") == 6
