"""Through python-amazon-sp-api and over real HTTP: what the library does is part of the test."""

from __future__ import annotations

from typing import Any

import pytest

from sellerlegend.amazon import sellers
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientSecretExpired,
    Denial,
    UnexpectedReply,
)
from sellerlegend.amazon.http import USER_AGENT
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.sellers import Participation, ParticipationReply
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, reply

TOKEN = "Atza|IQEBLjAsAhRmHjNgHpi0U"
HTML = "<!DOCTYPE html><html><body>Service Unavailable</body></html>"


def _read(endpoints: Endpoints, region: Region = Region.NA) -> ParticipationReply:
    return sellers.get_marketplace_participations(
        endpoints=endpoints, region=region, access_token=Secret(TOKEN)
    )


def _item(
    marketplace_id: object = "ATVPDKIKX0DER", participating: object = True, **changes: object
) -> dict[str, Any]:
    """The static sandbox's answer, changed; a change to None removes the key."""
    marketplace = {
        "id": marketplace_id,
        "name": "Amazon.com",
        "countryCode": "US",
        "defaultCurrencyCode": "USD",
        "defaultLanguageCode": "en_US",
        "domainName": "www.amazon.com",
    }
    suspended = changes.pop("suspended", False)
    store = {"storeName": changes.pop("storeName", "BestSellerStore")}
    marketplace = {k: v for k, v in (marketplace | changes).items() if v is not None}
    return store | {
        "marketplace": marketplace,
        "participation": {"isParticipating": participating, "hasSuspendedListings": suspended},
    }


def test_the_request_is_amazons(server: ScriptedServer, endpoints: Endpoints) -> None:
    server.answer = reply(200, {"payload": []})

    _read(endpoints, Region.EU)

    [request] = server.requests
    sent_at = request.headers.pop("x-amz-date")
    assert len(sent_at) == len("20260102T030405Z")
    assert request.line == (
        "GET /sellingpartnerapi-eu.amazon.com/sellers/v1/marketplaceParticipations HTTP/1.1"
    )
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": USER_AGENT,
        "accept": "application/json",
        "accept-encoding": "identity",
        "x-amz-access-token": TOKEN,
    }


def test_a_participation_is_read(server: ScriptedServer, endpoints: Endpoints) -> None:
    server.answer = reply(200, {"payload": [_item(suspended=True)]})

    assert _read(endpoints) == ParticipationReply(
        participations=(
            Participation(
                marketplace_id="ATVPDKIKX0DER",
                name="Amazon.com",
                country_code="US",
                currency="USD",
                language="en_US",
                domain_name="www.amazon.com",
                store_name="BestSellerStore",
                is_participating=True,
                has_suspended_listings=True,
            ),
        ),
        dropped=0,
    )


def test_a_seller_may_participate_nowhere(server: ScriptedServer, endpoints: Endpoints) -> None:
    server.answer = reply(200, {"payload": []})

    assert _read(endpoints) == ParticipationReply((), 0)


def test_marketplaces_that_are_not_amazons_are_kept(
    server: ScriptedServer, endpoints: Endpoints
) -> None:
    server.answer = reply(200, {"payload": [_item("A2ZV50J4W1RKNI", name="Non-Amazon US")]})

    [participation] = _read(endpoints).participations

    assert (participation.marketplace_id, participation.name) == ("A2ZV50J4W1RKNI", "Non-Amazon US")


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "text",
        [],
        {},
        {"marketplace": [], "participation": {}},
        {"marketplace": {"id": "ATVPDKIKX0DER", "countryCode": "US"}},
        _item(marketplace_id=None),
        _item(marketplace_id=7),
        _item(marketplace_id=""),
        _item(marketplace_id="A" * 65),
        _item(marketplace_id="A B"),
        _item(countryCode=None),
        _item(countryCode="USA"),
        _item(countryCode="us"),
        _item(participating="true"),
        _item(participating=None),
        _item(suspended=1),
        _item(name=7),
        _item(storeName=["x"]),
    ],
)
def test_a_malformed_item_is_left_out_and_counted(
    server: ScriptedServer, endpoints: Endpoints, malformed: object
) -> None:
    server.answer = reply(200, {"payload": [malformed, _item("A2EUQ1WTGCTBG2")]})

    answer = _read(endpoints)

    assert [p.marketplace_id for p in answer.participations] == ["A2EUQ1WTGCTBG2"]
    assert answer.dropped == 1


def test_texts_may_be_absent_and_are_cleaned(server: ScriptedServer, endpoints: Endpoints) -> None:
    hostile = _item(
        storeName="Nort\x00h\u202estar \ud800" + "x" * 300,
        name=None,
        defaultCurrencyCode=None,
        defaultLanguageCode=None,
        domainName=None,
    )
    server.answer = reply(200, {"payload": [hostile]})

    [participation] = _read(endpoints).participations

    assert participation.store_name.startswith("Nort\ufffdhstar \ufffdxxx")
    assert len(participation.store_name) == sellers.NAME_LENGTH
    assert participation.name == participation.currency == participation.domain_name == ""


@pytest.mark.parametrize(
    ("first", "second"), [((False, True), (True, False)), ((True, False), (False, True))]
)
def test_of_two_entries_the_participating_one_counts(
    server: ScriptedServer,
    endpoints: Endpoints,
    first: tuple[bool, bool],
    second: tuple[bool, bool],
) -> None:
    items = [_item(participating=p, suspended=s) for p, s in (first, second)]
    server.answer = reply(200, {"payload": [items[0], _item("A2EUQ1WTGCTBG2"), items[1]]})

    answer = _read(endpoints)

    assert [p.marketplace_id for p in answer.participations] == ["ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"]
    assert answer.participations[0].is_participating
    assert not answer.participations[0].has_suspended_listings
    assert answer.dropped == 0


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("The access token you provided is revoked, malformed or invalid.", AccessTokenRejected),
        ("The access token you provided has expired.", AccessTokenRejected),
        ("", AccessDenied),
        ("The marketplaces you provided are not valid for region.", AccessDenied),
        ("The LWA secret token you provided has expired.", ClientSecretExpired),
    ],
)
def test_the_five_kinds_of_403(
    server: ScriptedServer, endpoints: Endpoints, details: str, expected: type[AmazonError]
) -> None:
    error = {
        "code": "Unauthorized",
        "message": "Access to requested resource is denied.",
        "details": details,
    }
    server.answer = reply(403, {"errors": [error]}, x_amzn_RequestId="req-403")

    with pytest.raises(AmazonError) as caught:
        _read(endpoints)

    assert type(caught.value) is expected
    assert caught.value.request_id == "req-403"
    assert caught.value.operation == "getMarketplaceParticipations"
    if isinstance(caught.value, AccessDenied):
        assert caught.value.detail is (Denial.WRONG_REGION if details else Denial.MISSING_ROLE)


def test_quota_exceeded_is_throttling(server: ScriptedServer, endpoints: Endpoints) -> None:
    server.answer = reply(429, {"errors": [{"code": "QuotaExceeded", "message": "…"}]})

    with pytest.raises(AmazonUnavailable) as caught:
        _read(endpoints)

    assert (caught.value.throttled, caught.value.retry_after) == (True, None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, HTML, AmazonUnavailable),
        (500, {}, AmazonUnavailable),
        (500, {"payload": []}, AmazonUnavailable),
        (504, b"", AmazonUnavailable),
        (200, HTML, AmazonUnavailable),
        (200, b"", AmazonUnavailable),
        (200, [], AmazonUnavailable),
        (200, {}, AmazonUnavailable),
        (200, {"payload": {}}, AmazonUnavailable),
        (200, {"payload": None}, AmazonUnavailable),
        (200, '{"payload": [NaN]}', AmazonUnavailable),
        (200, {"errors": [{"code": "InternalFailure"}]}, AmazonUnavailable),
        (403, {"message": "Forbidden"}, UnexpectedReply),
        (401, {"errors": [{"code": "Unauthorized"}]}, UnexpectedReply),
        (404, {"errors": [{"code": "NotFound"}]}, UnexpectedReply),
        (302, b"", UnexpectedReply),
    ],
)
def test_nothing_but_participations_is_taken_for_success(
    server: ScriptedServer,
    endpoints: Endpoints,
    status: int,
    body: object,
    expected: type[AmazonError],
) -> None:
    server.answer = reply(status, body)

    with pytest.raises(AmazonError) as caught:
        _read(endpoints)

    assert type(caught.value) is expected


def test_the_environment_changes_nothing(
    server: ScriptedServer, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        "SP_API_DEFAULT_MARKETPLACE": "JP",
        "SP_API_REFRESH_TOKEN": "Atzr|somebody",
        "LWA_APP_ID": "somebody",
        "LWA_CLIENT_SECRET": "somebody",
        "all_proxy": "socks5://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    server.answer = reply(200, {"payload": []})

    _read(endpoints)

    assert len(server.requests) == 1
    assert server.requests[0].headers["x-amz-access-token"] == TOKEN


def test_two_sellers_never_share_a_token(server: ScriptedServer, endpoints: Endpoints) -> None:
    server.answer = reply(200, {"payload": []})

    for token in ("Atza|first", "Atza|second", "Atza|first"):
        sellers.get_marketplace_participations(
            endpoints=endpoints, region=Region.NA, access_token=Secret(token)
        )

    sent = [request.headers["x-amz-access-token"] for request in server.requests]
    assert sent == ["Atza|first", "Atza|second", "Atza|first"]
