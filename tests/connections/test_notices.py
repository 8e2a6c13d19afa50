"""Notices come from facts: the ladder, revocations, recoveries and permissions, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from connections import attention, notices, superseding, timeline
from connections.application_roles import add_role
from connections.incident_summaries import summaries_of
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.notice_models import Notice
from connections.notice_words import words_of
from ppc import disconnecting
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.posting import steps
from tests.threads import run_many

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 12, 1, 9, tzinfo=UTC)
REFUSED = "amazon_refused"


def given_days_ago(grant: Any, days: float) -> None:
    at = timezone.now() - timedelta(days=days)
    type(grant)._base_manager.filter(pk=grant.pk).update(authorized_at=at)


def set_facts(grant: Any, **facts: Any) -> None:
    type(grant)._base_manager.filter(pk=grant.pk).update(**facts)


def revoke(grant: Any, **facts: Any) -> None:
    """Amazon's third refusal."""
    columns = {"status": Grant.Status.INVALID, "status_changed_at": timezone.now()}
    set_facts(grant, **(columns | facts))


def derive() -> int:
    return notices.derive(timezone.now())


def open_kinds() -> list[str]:
    rows = Notice._base_manager.filter(resolved_at=None).order_by("created_at", "pk")
    return [str(kind) for kind in rows.values_list("kind", flat=True)]


@pytest.fixture
def connection(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Northstar US")


@pytest.fixture
def grant(connection: Connection) -> SpApiGrant:
    return factories.grant_of(connection)


# The ladder ---------------------------------------------------------------------------------


def test_a_year_of_a_consent_climbs_down_the_ladder(organization: Organization) -> None:
    with time_machine.travel(BEGAN, tick=False):
        factories.make_connection(organization)
    told = []

    for day in (*range(0, 300, 30), *range(300, 400)):
        with time_machine.travel(BEGAN + timedelta(days=day, hours=1), tick=False):
            known = len(steps())
            derive()
            told += [(day, step) for step in steps()[known:]]

    assert told == [
        (305, "60 days"),
        (335, "30 days"),
        (351, "14 days"),
        (358, "7 days"),
        (364, "1 days"),
        (365, "expired"),
    ]


def test_only_the_nearest_step_is_told_after_a_long_sleep(grant: SpApiGrant) -> None:
    given_days_ago(grant, 360)

    derive()

    assert steps() == ["7 days"]


def test_looking_again_makes_nothing(grant: SpApiGrant) -> None:
    given_days_ago(grant, 310)
    derive()
    before = list(Notice._base_manager.values())

    assert derive() == 0

    assert list(Notice._base_manager.values()) == before


def test_the_next_step_ends_the_one_before(grant: SpApiGrant) -> None:
    given_days_ago(grant, 310)
    derive()
    # The consent is the same one: only the clock moves.
    with time_machine.travel(timezone.now() + timedelta(days=30), tick=False):
        derive()

    rows = Notice._base_manager.order_by("created_at").values_list("days", "resolved_at")
    assert [(days, bool(at)) for days, at in rows] == [(60, True), (30, False)]


def test_a_new_consent_ends_the_notices_of_the_old_one(
    connection: Connection, grant: SpApiGrant
) -> None:
    given_days_ago(grant, 310)
    derive()

    factories.consent(connection, refresh_token="Atzr|newer")
    derive()

    assert steps() == ["60 days"]
    assert open_kinds() == []


def test_what_a_person_disconnected_is_not_told(connection: Connection, grant: SpApiGrant) -> None:
    given_days_ago(grant, 310)
    derive()

    sides = frozenset({Side.SPAPI})
    disconnecting.disconnect(connection=connection, sides=sides, actor=COMMAND)
    with time_machine.travel(timezone.now() + timedelta(days=60), tick=False):
        derive()

    assert steps() == ["60 days"]
    assert open_kinds() == []


@pytest.mark.parametrize(
    ("now", "given", "expected"),
    [
        pytest.param("2026-11-27", "2026-01-15", [], id="before the rule: no end"),
        pytest.param("2027-07-15", "2026-08-01", ["30 days"], id="after the rule"),
    ],
)
def test_an_ads_consent_by_the_rule_of_2026(
    organization: Organization, now: str, given: str, expected: list[str]
) -> None:
    with time_machine.travel(datetime.fromisoformat(f"{now}T12:00:00+00:00"), tick=False):
        grant = factories.make_ads_grant(organization)
        factories.put_to_use(grant)
        set_facts(grant, authorized_at=datetime.fromisoformat(f"{given}T12:00:00+00:00"))

        derive()

        assert steps() == expected
        assert set(Notice._base_manager.values_list("ads_grant", flat=True)) <= {grant.pk}


def test_an_ads_consent_that_no_link_uses_is_no_news_and_no_count(
    organization: Organization,
) -> None:
    grant = factories.make_ads_grant(organization)
    link = factories.put_to_use(grant)
    PpcLink._base_manager.update(status="unlinked")
    revoke(grant)

    derive()
    assert (steps(), attention.counted(organization.pk)) == ([], 0)

    PpcLink._base_manager.filter(pk=link.pk).update(status="linked")
    derive()
    assert (steps(), attention.counted(organization.pk)) == (["revoked"], 1)
    assert notices.open_notices(organization).count() == 1

    PpcLink._base_manager.filter(pk=link.pk).update(status="unlinked")
    derive()
    assert notices.open_notices(organization).count() == 0
    assert attention.counted(organization.pk) == 0

    set_facts(grant, status=Grant.Status.ACTIVE, status_changed_at=timezone.now())
    derive()
    assert steps() == ["revoked"]


def test_nothing_is_made_in_quarantine(grant: SpApiGrant) -> None:
    given_days_ago(grant, 310)
    quarantine.begin(actor=COMMAND, reason="a restored backup")

    assert derive() == 0

    assert steps() == []


# Revoked, expired, back again ----------------------------------------------------------------


def test_a_revocation_is_told_and_so_is_the_new_consent(
    connection: Connection, grant: SpApiGrant
) -> None:
    revoke(grant)
    derive()
    assert open_kinds() == ["revoked"]

    factories.consent(connection, refresh_token="Atzr|newer")
    derive()
    derive()

    assert sorted(steps()) == ["recovered", "revoked"]
    assert open_kinds() == ["recovered"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"last_success_at": "today"}, "renewed"),
        ({"last_success_at": None}, ""),
        ({"last_success_at": "today", "status": "invalid"}, ""),
        (
            {"last_success_at": "today", "gap_started_at": "then", "gap_ended_at": "then"},
            "renewed",
        ),
    ],
    ids=["never stopped", "silent since its end", "refused", "a gap of long ago"],
)
def test_what_was_overdue_works_again_only_if_it_had_stopped(
    connection: Connection, grant: SpApiGrant, facts: dict[str, Any], reason: str
) -> None:
    given_days_ago(grant, 370)
    now = timezone.now()
    known = {"today": now - timedelta(hours=2), "then": now - timedelta(days=400)}
    changed = {name: known.get(str(value), value) for name, value in facts.items()}
    set_facts(grant, status_changed_at=now - timedelta(hours=1), **changed)
    derive()
    factories.consent(connection, refresh_token="Atzr|newer")

    derive()

    (news,) = Notice._base_manager.filter(resolved_at=None)
    assert (news.kind, news.reason) == ("recovered", reason)


def test_a_renewal_of_unknown_day_names_no_end(
    organization: Organization, connection: Connection, grant: SpApiGrant
) -> None:
    news = factories.make_notice(
        connection, kind="recovered", days=None, step="recovered", reason="renewed"
    )
    set_facts(grant, imported_at=timezone.now(), is_consent_dated=False)

    (words,) = words_of(organization, [news])

    assert words.sign.word == "Renewed"
    assert words.impact == (
        "Amazon accepted the one before until then, so nothing was interrupted."
    )


def test_amazon_takes_it_back_and_revokes_it_again(grant: SpApiGrant) -> None:
    for minutes in (0, 60):
        with time_machine.travel(timezone.now() + timedelta(minutes=minutes), tick=False):
            revoke(grant)
            derive()
            derive()
        with time_machine.travel(timezone.now() + timedelta(minutes=minutes + 20), tick=False):
            set_facts(grant, status=Grant.Status.ACTIVE, status_changed_at=timezone.now())
            derive()
            derive()

    assert sorted(steps()) == ["recovered", "recovered", "revoked", "revoked"]
    assert open_kinds() == ["recovered"]


def test_a_doubt_is_told_to_nobody(grant: SpApiGrant) -> None:
    set_facts(grant, status=Grant.Status.DOUBTED, status_changed_at=timezone.now())

    derive()

    assert steps() == []


def test_a_refusal_after_the_year_is_the_same_end(grant: SpApiGrant) -> None:
    given_days_ago(grant, 365.5)
    derive()
    revoke(grant)
    derive()

    assert steps() == ["expired"]


def test_the_year_of_a_revoked_consent_ends_without_another_word(grant: SpApiGrant) -> None:
    given_days_ago(grant, 350)
    revoke(grant)
    derive()
    with time_machine.travel(timezone.now() + timedelta(days=20), tick=False):
        derive()

    assert steps() == ["revoked"]


def test_what_ended_long_ago_is_no_news(connection: Connection, grant: SpApiGrant) -> None:
    other = factories.grant_of(factories.make_connection(connection.organization))
    revoke(grant, status_changed_at=timezone.now() - timedelta(days=31))
    given_days_ago(other, 400)

    derive()

    assert steps() == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (REFUSED, "grant_invalid"),
        ("reconnect_required", "reconnect_required"),
        ("vault_locked", "vault_locked"),
    ],
)
def test_whose_doing_it_was_is_told(grant: SpApiGrant, code: str, reason: str) -> None:
    revoke(grant, last_error_code=code)

    derive()

    assert Notice._base_manager.get().reason == reason


@pytest.mark.parametrize(
    ("code", "title"),
    [
        (REFUSED, "Amazon no longer accepts the Amazon Ads consent"),
        ("reconnect_required", "Our support asks for a new Amazon Ads consent"),
        ("vault_locked", "The stored Amazon Ads consent cannot be read"),
    ],
)
def test_a_lost_ads_consent_is_told_in_words_of_ads(
    organization: Organization, code: str, title: str
) -> None:
    grant = factories.make_ads_grant(organization)
    factories.put_to_use(grant)
    revoke(grant, last_error_code=code)

    derive()

    [words] = words_of(organization, notices.open_notices(organization))
    assert words.title == title
    assert words.next_step.startswith("Connect Amazon Ads again")
    assert "Seller Central" not in words.impact
    assert "primary user" not in words.next_step


def test_staff_who_require_a_reconnect_are_told_as_such(grant: SpApiGrant) -> None:
    superseding.require_reconnect(grant, actor=COMMAND, reason="asked")

    derive()

    assert Notice._base_manager.get().reason == "reconnect_required"


# Permissions and incidents -------------------------------------------------------------------


def missing(grant: SpApiGrant) -> None:
    now = timezone.now()
    set_facts(
        grant,
        permission_missing_since=now,
        last_failure_at=now,
        last_failure_code="amazon_unavailable",
    )


def test_a_permission_that_comes_and_goes_is_told_once_a_week(grant: SpApiGrant) -> None:
    for day in range(6):
        with time_machine.travel(BEGAN + timedelta(days=day), tick=False):
            missing(grant)
            derive()
            assert open_kinds() == ["permission_missing"]
        with time_machine.travel(BEGAN + timedelta(days=day, hours=2), tick=False):
            set_facts(grant, permission_missing_since=None, last_success_at=timezone.now())
            derive()
            assert open_kinds() == []

    assert steps() == ["permission_missing"]


def test_a_role_that_we_got_later_asks_older_consents(grant: SpApiGrant) -> None:
    given_days_ago(grant, 10)
    ApplicationRole.objects.create(application="spapi", name="Brand Analytics")

    derive()

    assert steps() == ["permission_missing"]


@pytest.mark.parametrize("days_ago", [3, 40, 300])
def test_a_role_is_news_from_the_day_on_which_staff_write_it_down(
    grant: SpApiGrant, days_ago: int
) -> None:
    given_days_ago(grant, 301)
    newer = factories.grant_of(factories.make_connection(grant.connection.organization))
    given_days_ago(newer, 2)
    added_at = timezone.now() - timedelta(days=days_ago)
    role = ApplicationRole(application="spapi", name="Brand Analytics", added_at=added_at)

    add_role(role, actor=COMMAND)
    derive()
    derive()

    told = Notice._base_manager.filter(kind="permission_missing")
    assert [(notice.subject_id, notice.occurred_at) for notice in told] == [
        (grant.pk, role.entered_at)
    ]


def test_a_new_role_is_named_and_nothing_is_called_refused(grant: SpApiGrant) -> None:
    given_days_ago(grant, 30)
    for name in ("Finance and Accounting", "Tax"):
        add_role(ApplicationRole(application="spapi", name=name), actor=COMMAND)
    add_role(ApplicationRole(application="ads", name="Other"), actor=COMMAND)
    derive()
    told = Notice._base_manager.filter(kind="permission_missing", resolved_at=None)

    [words] = words_of(grant.connection.organization, told.select_related("connection"))

    assert words.title == ("The consent lacks the new permissions Finance and Accounting and Tax")
    assert "Finance and Accounting: Fees, refunds and payments." in words.impact
    assert "refuses" not in words.impact


def test_what_amazon_refused_is_told_as_refused(grant: SpApiGrant) -> None:
    missing(grant)
    derive()

    [words] = words_of(
        grant.connection.organization, Notice._base_manager.select_related("connection")
    )

    assert words.title == "A permission is missing"
    assert "refuses a part of the data" in words.impact


def test_the_event_of_a_notice_knows_that_nobody_revoked(
    organization: Organization, grant: SpApiGrant
) -> None:
    revoke(grant, last_error_code="reconnect_required")
    derive()

    event = AuditEvent._base_manager.get(code="notice_made")

    assert timeline.note_of(event) == "New consent needed"


@pytest.mark.parametrize("code", ["invalid_grant", "reconnect_required"])
def test_a_lost_ads_consent_stops_advertising_data_alone(
    organization: Organization, connection: Connection, code: str
) -> None:
    ads = factories.make_ads_grant(organization)
    factories.put_to_use(ads, connection)
    revoke(ads, last_error_code=code)
    derive()

    [words] = words_of(organization, Notice._base_manager.select_related("ads_grant"))

    assert "No new advertising data arrives." in words.impact
    assert "Selling Partner data does not need it" in words.impact
    assert "Nothing new is read" not in words.impact


def test_a_revocation_within_the_year_does_not_blame_the_year(grant: SpApiGrant) -> None:
    revoke(grant, last_error_code="invalid_grant")
    derive()

    [words] = words_of(
        grant.connection.organization, Notice._base_manager.select_related("connection")
    )

    assert "a year has passed" not in words.explanation
    assert "No new data arrives" in words.impact


def test_a_role_that_was_written_down_long_ago_is_no_news(grant: SpApiGrant) -> None:
    given_days_ago(grant, 100)
    long_ago = timezone.now() - timedelta(days=31)
    ApplicationRole.objects.create(
        application="spapi", name="Brand Analytics", added_at=long_ago, entered_at=long_ago
    )

    derive()

    assert steps() == []


def test_each_role_that_is_written_down_is_told_though_an_older_one_was(
    grant: SpApiGrant,
) -> None:
    given_days_ago(grant, 100)
    long_ago = timezone.now() - timedelta(days=29)
    ApplicationRole.objects.create(
        application="spapi", name="Brand Analytics", added_at=long_ago, entered_at=long_ago
    )
    derive()
    known = timezone.now() - timedelta(days=60)
    add_role(ApplicationRole(application="spapi", name="Pricing", added_at=known), actor=COMMAND)

    derive()

    assert steps() == ["permission_missing"] * 2
    assert open_kinds() == ["permission_missing"]


@pytest.mark.parametrize("is_mended", [True, False])
def test_a_role_is_told_within_a_week_of_another_permission(
    grant: SpApiGrant, is_mended: bool
) -> None:
    """The newer one stands for both, and looking again finds nothing."""
    given_days_ago(grant, 100)
    missing(grant)
    derive()
    if is_mended:
        set_facts(grant, permission_missing_since=None, last_success_at=timezone.now())
        derive()
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        role = ApplicationRole(application="spapi", name="Pricing")
        add_role(role, actor=COMMAND)
    counted = []

    for day in (1, 1.01, 3, 8, 20):
        with time_machine.travel(timezone.now() + timedelta(days=day), tick=False):
            derive()
            assert derive() == 0
            told = Notice._base_manager.filter(resolved_at=None)
            counted.append([(str(notice.kind), notice.occurred_at) for notice in told])

    assert counted == [[("permission_missing", role.entered_at)]] * 5
    assert steps() == ["permission_missing"] * 2
    events = AuditEvent._base_manager.filter(code="notice_made")
    assert events.count() == 2


def test_a_refusal_for_want_of_a_role_that_was_just_told_is_no_other_news(
    grant: SpApiGrant,
) -> None:
    """Also if one look finds both."""
    other = factories.grant_of(factories.make_connection(grant.connection.organization))
    for each in (grant, other):
        given_days_ago(each, 100)
    add_role(ApplicationRole(application="spapi", name="Pricing"), actor=COMMAND)
    missing(other)
    derive()
    missing(grant)

    derive()

    assert steps() == ["permission_missing"] * 2
    assert set(Notice._base_manager.values_list("subject_id", flat=True)) == {grant.pk, other.pk}
    with time_machine.travel(timezone.now() + timedelta(days=20), tick=False):
        assert derive() == 0


@pytest.mark.parametrize("end", ["revoked", "expired"])
@pytest.mark.parametrize("is_of_role", [True, False], ids=["a role", "a refusal"])
def test_a_consent_that_is_over_lacks_no_permission(
    grant: SpApiGrant, end: str, is_of_role: bool
) -> None:
    given_days_ago(grant, 364.9 if end == "expired" else 100)
    if is_of_role:
        add_role(ApplicationRole(application="spapi", name="Pricing"), actor=COMMAND)
    else:
        missing(grant)
    derive()
    assert "permission_missing" in open_kinds()

    if end == "revoked":
        revoke(grant)
    with time_machine.travel(timezone.now() + timedelta(hours=3), tick=False):
        derive()
        assert open_kinds() == [end]
        assert derive() == 0


def test_of_a_consent_that_was_over_before_no_permission_is_said_to_be_missing(
    grant: SpApiGrant,
) -> None:
    """As those stand that were made before an end ended them."""
    missing(grant)
    revoke(grant)
    derive()
    factories.make_notice(
        grant.connection,
        step="permission missing 2026-W48",
        kind="permission_missing",
        days=None,
    )

    derive()

    assert open_kinds() == ["revoked"]


@pytest.mark.parametrize("is_of_role", [True, False], ids=["a role", "a refusal"])
def test_what_works_again_and_lacks_a_permission_as_before_says_so(
    grant: SpApiGrant, is_of_role: bool
) -> None:
    given_days_ago(grant, 100)
    if is_of_role:
        add_role(ApplicationRole(application="spapi", name="Pricing"), actor=COMMAND)
    else:
        missing(grant)
    derive()
    with time_machine.travel(timezone.now() + timedelta(days=20), tick=False):
        revoke(grant)
        derive()
        assert open_kinds() == ["revoked"]
        set_facts(grant, status=Grant.Status.DOUBTED)
        derive()
        assert open_kinds() == ["revoked"]

        set_facts(grant, status=Grant.Status.ACTIVE, status_changed_at=timezone.now())
        derive()

        assert sorted(open_kinds()) == ["permission_missing", "recovered"]
        assert derive() == 0


@pytest.mark.parametrize("state", ["doubted", "invalid", "over"])
def test_a_role_is_told_of_consents_alone_that_work(grant: SpApiGrant, state: str) -> None:
    """The row of any other one says something else."""
    given_days_ago(grant, 400 if state == "over" else 100)
    if state != "over":
        long_ago = timezone.now() - timedelta(days=40)
        set_facts(grant, status=state, status_changed_at=long_ago)
    add_role(ApplicationRole(application="spapi", name="Pricing"), actor=COMMAND)

    derive()
    assert steps() == []

    given_days_ago(grant, 100)
    set_facts(grant, status=Grant.Status.ACTIVE)
    derive()
    assert steps() == ["permission_missing"]


def test_an_alarm_waits_while_an_incident_could_be_the_cause(
    connection: Connection, grant: SpApiGrant
) -> None:
    incident = Incident.objects.create(surface="sellers", region=connection.region)
    revoked = factories.grant_of(factories.make_connection(connection.organization))
    ending = factories.grant_of(factories.make_connection(connection.organization))
    missing(grant)
    revoke(revoked)
    given_days_ago(ending, 310)

    derive()
    assert sorted(steps()) == ["60 days", "revoked"]

    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    derive()
    assert sorted(steps()) == ["60 days", "permission_missing", "revoked"]


def test_what_was_told_of_an_incident_stands_until_it_cannot_begin_again(
    organization: Organization,
) -> None:
    """Nobody is told twice of one that flaps: its notice must still be there."""
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_OPENED)
    assert incidents.close(incident, actor=WORKER)
    derive()
    assert open_kinds() == ["incident_opened"]
    assert incidents.reopen(incident)
    derive()
    assert open_kinds() == ["incident_opened"]

    assert incidents.close(incident, actor=WORKER)
    notices.derive(timezone.now() + incidents.WINDOW)

    assert open_kinds() == []


@pytest.mark.parametrize("by_hand", [True, False])
def test_from_its_end_on_no_page_says_that_an_incident_happens(
    organization: Organization, by_hand: bool
) -> None:
    elsewhere = Incident.objects.create(surface="ads", region="FE")
    incident = Incident.objects.create(surface="lwa")
    for each in (incident, elsewhere):
        notices.tell_organizations(each, [organization], Notice.Kind.INCIDENT_OPENED)
    staff = Actor.staff(factories.make_user())

    incidents.close(incident, actor=staff if by_hand else WORKER)

    (left,) = notices.open_notices(organization)
    assert left.subject_id == elsewhere.pk
    notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_CLOSED)
    kinds = {(n.subject_id, str(n.kind)) for n in notices.open_notices(organization)}
    assert kinds == {(incident.pk, "incident_closed"), (elsewhere.pk, "incident_opened")}


def test_what_begins_again_is_on_the_page_again(organization: Organization) -> None:
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_OPENED)
    (first,) = notices.open_notices(organization)
    assert incidents.close(incident, actor=WORKER)
    derive()
    assert list(notices.open_notices(organization)) == []

    assert incidents.reopen(incident)

    assert list(notices.open_notices(organization)) == [first]


def test_what_staff_closed_is_over_at_once(organization: Organization) -> None:
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_OPENED)
    incidents.close(incident, actor=Actor.staff(factories.make_user()))

    derive()

    assert open_kinds() == []


def test_an_incident_elsewhere_holds_nothing(connection: Connection, grant: SpApiGrant) -> None:
    Incident.objects.create(surface="sellers", region="FE")
    missing(grant)

    derive()

    assert connection.region == "NA"
    assert steps() == ["permission_missing"]


def test_each_organization_is_told_of_an_incident_once(organization: Organization) -> None:
    other = factories.make_organization()
    incident = Incident.objects.create(surface="lwa")
    opened, closed = Notice.Kind.INCIDENT_OPENED, Notice.Kind.INCIDENT_CLOSED

    assert notices.tell_organizations(incident, [organization, other], opened) == 2
    assert notices.tell_organizations(incident, [organization, other], opened) == 0
    incident.closed_at = timezone.now()
    incident.save()
    assert notices.tell_organizations(incident, [organization], closed) == 1
    derive()

    assert sorted(steps()) == ["incident_closed", "incident_opened", "incident_opened"]
    # The other one was not told yet that it is over.
    assert sorted(open_kinds()) == ["incident_closed", "incident_opened"]


def test_news_that_asks_for_nothing_goes_after_a_week(grant: SpApiGrant) -> None:
    incident = Incident.objects.create(surface="lwa", closed_at=timezone.now())
    organization = grant.connection.organization
    notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_CLOSED)
    with time_machine.travel(timezone.now() + timedelta(days=8), tick=False):
        derive()

    assert open_kinds() == []


def test_what_an_incident_met_is_told_as_it_was_counted(
    organization: Organization, django_assert_num_queries: Any
) -> None:
    """Two that are over: one query for both, whatever number of consents they met."""
    found = []
    for surface, rows, ads_consents, doubted in (
        ("lwa", 1, 2, 2),
        ("ads", 0, 1, 0),
        ("sellers", 0, 0, 0),
    ):
        incident = Incident.objects.create(surface=surface, closed_at=timezone.now())
        notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_CLOSED)
        record_event(
            "incident_closed",
            actor=WORKER,
            organization=organization,
            subject=incident,
            rows=rows,
            ads_consents=ads_consents,
            doubted=doubted,
        )
        found.append(incident)
    # As one of which nobody was told that it is over.
    found.append(Incident.objects.create(surface="sellers", closed_at=timezone.now()))
    found.append(Incident.objects.create(surface="lwa"))

    with django_assert_num_queries(1):
        summaries = summaries_of(organization, found, None)

    met = [summaries[incident.pk].rpartition("M. ")[2] for incident in found[:2]]
    refused = "Amazon refused 2 of these consents until then: we ask again within half an hour"
    told = "and tell you which stay so."
    assert met == [
        f"It met 1 connection and 2 Amazon Ads consents of yours. {refused}, {told}",
        "It met 1 Amazon Ads consent of yours.",
    ]
    assert all("It met" not in summaries[incident.pk] for incident in found[2:4])
    assert found[4].pk not in summaries


# Once --------------------------------------------------------------------------------------


def test_each_notice_leaves_one_event(connection: Connection, grant: SpApiGrant) -> None:
    revoke(grant)
    derive()
    derive()

    events = AuditEvent._base_manager.filter(code="notice_made")
    details = {"kind": "revoked", "reason": "grant_invalid"}
    assert [(e.connection_id, e.details) for e in events] == [(connection.pk, details)]


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_sweeps_beside_each_other_make_one() -> None:
    organization = factories.make_organization()
    for days in (310, 340, 364.5):
        given_days_ago(factories.grant_of(factories.make_connection(organization)), days)
    revoke(factories.grant_of(factories.make_connection(organization)))

    results = run_many(4, derive)

    assert [result for result in results if isinstance(result, Exception)] == []

    assert sorted(steps()) == ["1 days", "30 days", "60 days", "revoked"]
    assert AuditEvent._base_manager.filter(code="notice_made").count() == 4


def test_a_sweep_that_dies_in_the_middle_is_made_up_for(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads = factories.make_ads_grant(organization)
    factories.put_to_use(ads)
    revoke(ads)
    revoke(factories.grant_of(factories.make_connection(organization)))

    def dies(*_arguments: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("connections.notices._end", dies)
        patched.setattr("connections.notices.MODELS", (SpApiGrant,))
        with pytest.raises(SystemExit):
            derive()
    assert steps() == ["revoked"]

    derive()

    assert steps() == ["revoked", "revoked"]
    assert AdsGrant._base_manager.get().pk == ads.pk
