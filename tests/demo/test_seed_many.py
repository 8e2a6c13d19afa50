"""The many rows of the demo: what they share outlives a *Check now*."""

from __future__ import annotations

import pytest

from connections.models import AdsGrant, Connection
from ppc import checking
from ppc.models import AdsProfile, PpcLink
from sellerlegend.jobs import ledger
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.demo.seed_many import LOGINS, seed_many

pytestmark = pytest.mark.django_db
ROWS = 30


def test_a_check_of_what_many_rows_share_succeeds(amazon: RunningEmulator) -> None:
    organization = factories.make_organization("Agency")
    factories.make_member(organization)

    assert seed_many(organization.pk, ROWS, amazon.url) == ROWS
    for grant in AdsGrant.objects.for_organization(organization):
        ledger.run_here(
            ledger.enqueue(checking.CHECK, organization=organization.pk, subject_id=grant.pk)
        )

    grants = AdsGrant.objects.for_organization(organization)
    states = list(grants.values_list("status", "last_error_code", "refusals"))
    assert states == [("active", "", 0)] * LOGINS
    assert not AdsProfile.objects.for_organization(organization).filter(is_listed=False).exists()
    links = PpcLink.objects.for_organization(organization)
    assert links.count() > ROWS
    assert set(links.values_list("status", flat=True)) == {"linked"}
    assert Connection.objects.for_organization(organization).count() == ROWS
