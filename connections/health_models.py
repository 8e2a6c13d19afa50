"""Facts beside the consent: what Amazon lets us do with it, and how far importers have come."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import ScopedModel


class Capability(models.TextChoices):
    """What our application may ask Amazon for, each by a role of its own."""

    MARKETPLACES = "marketplaces", _("Marketplaces")
    ORDERS = "orders", _("Orders")
    INVENTORY = "inventory", _("Inventory")
    FINANCES = "finances", _("Finances")
    LISTINGS = "listings", _("Listings")
    REPORTS = "reports", _("Brand Analytics and reports")


class CapabilityCheck(ScopedModel):
    """What Amazon last said to the present consent of a row about one capability.

    UNKNOWN: asked, and no answer told. A new consent starts without rows.
    """

    class State(models.TextChoices):
        GRANTED = "granted", _("Granted")
        MISSING = "missing", _("Missing")
        UNKNOWN = "unknown", _("Not known yet")

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="capability_checks"
    )
    capability = models.CharField(max_length=20, choices=Capability.choices)
    state = models.CharField(max_length=10, choices=State.choices)
    checked_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "capability"], name="capability_check_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["granted", "missing", "unknown"]),
                name="capability_check_state_known",
            ),
            models.CheckConstraint(
                condition=Q(capability__in=Capability.values),
                name="capability_check_capability_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.capability} {self.state}"


class DataSet(models.TextChoices):
    """What other systems import of a seller, and report about (`data_sets.py`)."""

    ORDERS = "orders", _("Orders")
    INVENTORY = "inventory", _("Inventory")
    FINANCES = "finances", _("Finances")
    LISTINGS = "listings", _("Listings")
    ADS = "ads", _("Amazon Ads")


class DataSetReport(ScopedModel):
    """The newest report of an importer about one data set of a row.

    `data_through`: complete up to that moment. `reported_at` is the importer's own time, and
    decides which of two reports is the newer one.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="data_set_reports"
    )
    data_set = models.CharField(max_length=20, choices=DataSet.choices)
    percent = models.PositiveSmallIntegerField()
    data_through = models.DateTimeField(null=True)
    delay_reason = models.CharField(max_length=40, blank=True, default="")
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "data_set"], name="data_set_report_once"),
            models.CheckConstraint(
                condition=Q(data_set__in=DataSet.values), name="data_set_report_known"
            ),
            models.CheckConstraint(
                condition=Q(percent__lte=100), name="data_set_report_at_most_all"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.data_set} {self.percent} %"
