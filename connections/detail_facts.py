"""What the details of a row say about its permissions, its data sets and its Seller ID."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections import data_sets
from connections.health_models import Capability, CapabilityCheck, DataSet, DataSetReport
from connections.models import Connection, Grant
from connections.words import Facts, Sign, exact_day, exact_time
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.organizations.models import AuditEvent

Words = str | Promise
State = CapabilityCheck.State

# What each capability unlocks, and the role of Amazon's that gives it.
UNLOCKS: dict[Capability, tuple[Words, Words]] = {
    Capability.MARKETPLACES: (
        gettext_lazy("Your marketplaces and stores: everything else starts with them."),
        gettext_lazy("Selling Partner Insights"),
    ),
    Capability.ORDERS: (
        gettext_lazy("Orders and sales."),
        gettext_lazy("Inventory and Order Tracking"),
    ),
    Capability.INVENTORY: (
        gettext_lazy("Stock at Amazon's warehouses."),
        gettext_lazy("Amazon Fulfillment"),
    ),
    Capability.FINANCES: (
        gettext_lazy("Fees, refunds and payments."),
        gettext_lazy("Finance and Accounting"),
    ),
    Capability.LISTINGS: (
        gettext_lazy("Your products, their prices and texts. Confirms the Seller ID, too."),
        gettext_lazy("Product Listing"),
    ),
    Capability.REPORTS: (
        gettext_lazy("Sales and traffic reports, and Brand Analytics for registered brands."),
        gettext_lazy("Brand Analytics"),
    ),
}


@dataclass(frozen=True)
class Line:
    """One capability, role or data set: its state, since when, and what to do about it."""

    name: Words
    sign: Sign
    meaning: Words
    stamp: str = ""
    help: str = ""


def capability_lines(connection: Connection, *, is_refused: bool) -> list[Line]:
    """`is_refused`: Amazon ended the consent, so that there is nothing to ask."""
    checks = CapabilityCheck.objects.for_organization(connection.organization_id)
    known = {check.capability: check for check in checks.filter(connection=connection)}
    # Every reading asks for the marketplaces, so that only a refusal is written down.
    is_read = connection.participations_read_at is not None
    unasked = {Capability.MARKETPLACES: State.GRANTED} if is_read else {}
    return [
        _capability_line(each, known.get(each), unasked.get(each, State.UNKNOWN), is_refused)
        for each in Capability
    ]


def _capability_line(
    capability: Capability, check: CapabilityCheck | None, unasked: State, is_refused: bool
) -> Line:
    unlocks, role = UNLOCKS[capability]
    state = check.state if check else unasked
    stamp = ""
    if check is not None:
        words = _("%(state)s since %(day)s; asked %(time)s")
        stamp = words % {
            "state": State(check.state).label,
            "day": exact_day(check.changed_at),
            "time": exact_time(check.checked_at),
        }
    help_words = _help(state, role)
    if is_refused and state != State.GRANTED:
        help_words = _("The consent has to be renewed first; then we ask Amazon by ourselves.")
    return Line(capability.label, _capability_sign(state), unlocks, stamp, help_words)


def _capability_sign(state: str) -> Sign:
    signs = {
        State.GRANTED: Sign(_("Granted"), "check-circle", "success"),
        State.MISSING: Sign(_("Missing"), "alert", "warning"),
    }
    return signs.get(State(state), Sign(_("Not known yet"), "dashed", "neutral"))


def _help(state: str, role: Words) -> str:
    if state == State.MISSING:
        words = _(
            "Amazon does not give us the role %(role)s with the present consent. Reconnect the "
            "account, signed in as its primary user, then check again."
        )
        return words % {"role": role}
    if state == State.UNKNOWN:
        return _("Nothing to do: we ask Amazon by ourselves, and Check now asks at once.")
    return ""


def role_lines(fact: Facts, ads_consents: Iterable[Facts]) -> list[Line]:
    """A line for each role that our application got after a consent was given: whatever Amazon
    granted before, it does not have that one. `ads_consents`: those that feed the row, as columns
    of a grant."""
    roles = list(ApplicationRole.objects.order_by("added_at", "name"))
    lines = []
    if fact["grant_status"] not in (None, Grant.Status.DISCONNECTED):
        given = fact["authorized_at"]
        # The day of an imported consent may be known to nobody.
        stamp = _lacks(given) if fact["is_consent_dated"] else _("Not part of the present consent")
        newer = _newer(roles, LwaApplication.SPAPI, given)
        lines += [_role_line(role.name, stamp, _reconnect_words()) for role in newer]
    for consent in ads_consents:
        if Grant.Status.DISCONNECTED in (consent["status"], consent["health"]):
            continue
        given = consent["authorized_at"]
        lines += [
            _role_line(
                _("%(role)s (Amazon Ads)") % {"role": role.name}, _lacks(given), _ads_words()
            )
            for role in _newer(roles, LwaApplication.ADS, given)
        ]
    return lines


def _newer(
    roles: list[ApplicationRole], application: LwaApplication, given: datetime
) -> list[ApplicationRole]:
    return [role for role in roles if role.application == application and role.added_at > given]


def _lacks(given: datetime) -> str:
    return _("Not part of the consent of %(day)s") % {"day": exact_day(given)}


def _reconnect_words() -> str:
    return _("Reconnect the account, signed in as its primary user: the new consent has it.")


def _ads_words() -> str:
    return _("Connect Amazon Ads again: the new consent has it.")


def _role_line(name: str, stamp: str, help_words: str) -> Line:
    meaning = _("Data that needs it does not arrive.")
    return Line(name, _capability_sign(State.MISSING), meaning, stamp, help_words)


def data_set_lines(connection: Connection) -> list[Line]:
    reports = DataSetReport.objects.for_organization(connection.organization_id)
    known = {row.data_set: row for row in reports.filter(connection=connection)}
    return [_data_set_line(each, known.get(each)) for each in DataSet]


def _data_set_line(data_set: DataSet, row: DataSetReport | None) -> Line:
    if row is None:
        sign = Sign(_("No report yet"), "dashed", "neutral")
        return Line(data_set.label, sign, _("Nobody reports about this data set yet."))
    if row.data_through is None:
        words = _("%(percent)d%% imported.") % {"percent": row.percent}
    else:
        words = _("%(percent)d%% imported, complete up to %(time)s.") % {
            "percent": row.percent,
            "time": exact_time(row.data_through),
        }
    stamp = _("Reported %(time)s") % {"time": exact_time(row.reported_at)}
    return Line(data_set.label, _data_set_sign(row), words, stamp, _delay(row))


def _data_set_sign(row: DataSetReport) -> Sign:
    if data_sets.is_late(row):
        return Sign(_("Delayed"), "clock", "warning")
    if row.percent < data_sets.ALL:
        return Sign(_("Importing"), "progress", "progress")
    return Sign(_("Up to date"), "check-circle", "success")


def _delay(row: DataSetReport) -> str:
    """Of what is complete and in time there is none, whatever the importer still names."""
    is_late = data_sets.is_late(row)
    if row.delay_reason and (is_late or row.percent < data_sets.ALL):
        return str(data_sets.DELAYS[row.delay_reason])
    return _("The import gave no reason for the delay.") if is_late else ""


def late_words(reports: Iterable[DataSetReport], data_sets_of_side: Collection[str]) -> str:
    """Beside a consent that works: which data comes late all the same, in one line; "" when none
    does. Since when, where the importers say up to which moment they are."""
    late = {row.data_set: row for row in reports if row.data_set in data_sets_of_side}
    if not late:
        return ""
    names = get_text_list([str(each.label) for each in DataSet if each in late], _("and"))
    known = [row.data_through for row in late.values() if row.data_through is not None]
    if not known:
        return _("Delayed: %(names)s. The details say more.") % {"names": names}
    words = _("Delayed since %(day)s: %(names)s. The details say more.")
    return words % {"names": names, "day": exact_day(min(known))}


def seller_words(connection: Connection, *, has_ads_profile: bool) -> str:
    """How sure we are whose row this is."""
    if connection.waits_for_consent:
        return ""
    if connection.seller_proved_at is not None:
        words = _("Amazon confirmed the Seller ID on %(day)s.")
        return words % {"day": exact_day(connection.seller_proved_at)}
    earlier = seller_confirmed_before(connection)
    if earlier is not None:
        words = _(
            "Amazon confirmed the Seller ID on %(day)s, with an earlier consent. With the present "
            "one it is to be confirmed again; we ask by ourselves."
        ) % {"day": exact_day(earlier)}
    else:
        words = _(
            "The Seller ID is what Amazon's consent page told us; no other call has confirmed it "
            "yet."
        )
    if has_ads_profile:
        words += " " + _("An Amazon Ads profile with the same Seller ID supports it.")
    return words


def seller_confirmed_before(connection: Connection) -> datetime | None:
    """By the record: the column knows the present consent alone."""
    events = AuditEvent.objects.for_organization(connection.organization_id).filter(
        code="seller_confirmed",
        connection_id=connection.pk,
        details__selling_partner_id=connection.selling_partner_id,
    )
    found: datetime | None = events.order_by("-at").values_list("at", flat=True).first()
    return found
