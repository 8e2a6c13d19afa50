"""C21: whatever the environment holds, Amazon hears our own applications only."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from connections.credentials import ads_call, spapi_call
from sellerlegend.amazon import ads, sellers
from sellerlegend.amazon.regions import Region
from sellerlegend.checks import refuse_variables_libraries_prefer
from tests import factories
from tests.amazon_emulator import RunningEmulator

NORTHSTAR, LOGIN = "A1NORTHSTAR001", "ads@northstar.example"
FOREIGN = "amzn1.application-oa2-client.foreign"
PREFERRED = {
    "LWA_APP_ID": FOREIGN,
    "LWA_CLIENT_SECRET": "amzn1.oa2-cs.v1.foreign",
    "SP_API_REFRESH_TOKEN": "Atzr|foreign",
    "SP_API_DEFAULT_MARKETPLACE": "JP",
    "AD_API_CLIENT_ID": FOREIGN,
    "AD_API_CLIENT_SECRET": "amzn1.oa2-cs.v1.foreign",
    "AD_API_REFRESH_TOKEN": "Atzr|foreign",
    "AWS_ENV": "SANDBOX",
    "AWS_ENDPOINT_URL": "https://queue.example",
    "AWS_ENDPOINT_URL_SQS": "https://queue.example",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PREFERRED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("poisoned")
def test_calls_carry_our_applications_tokens_only(
    amazon: RunningEmulator, settings: Settings
) -> None:
    organization = factories.make_organization()
    token = amazon.world.authorize(NORTHSTAR, "NA")
    connection = factories.make_connection(organization, seller=NORTHSTAR, refresh_token=token)
    grant = factories.make_ads_grant(organization, refresh_token=amazon.world.authorize_ads(LOGIN))
    amazon.ledger.clear()

    read = spapi_call(
        connection,
        lambda access_token: sellers.get_marketplace_participations(
            endpoints=settings.AMAZON_ENDPOINTS, region=Region.NA, access_token=access_token
        ),
    )
    listed = ads_call(
        grant,
        lambda access_token: ads.list_profiles(
            endpoints=settings.AMAZON_ENDPOINTS,
            region=Region.NA,
            client_id=settings.ADS_CLIENT.client_id,
            access_token=access_token,
            access_level="edit",
        ),
    )

    assert read.participations
    assert listed.profiles
    assert {(call.surface, call.client_id) for call in amazon.ledger} == {
        ("lwa", settings.SPAPI_CLIENT.client_id),
        ("sellers", settings.SPAPI_CLIENT.client_id),
        ("lwa", settings.ADS_CLIENT.client_id),
        ("ads", settings.ADS_CLIENT.client_id),
    }


@pytest.mark.usefixtures("poisoned")
def test_the_product_refuses_to_start_with_them() -> None:
    found = refuse_variables_libraries_prefer()

    assert [message.id for message in found] == ["SL.E020"] * len(PREFERRED)
    assert [message.msg.split()[0] for message in found] == sorted(PREFERRED)
    assert not [message for message in found if "foreign" in str(message)]
