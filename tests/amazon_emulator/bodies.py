"""Bodies that Amazon's services, and the machines in front of them, send when they fail."""

from __future__ import annotations

import json

SELLERS = "sellers"
LWA = "lwa"
ADS = "ads"

# Both were seen by developers in place of JSON, the second one without any body of Amazon's.
XHTML_503 = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"
 "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>503 Service Unavailable</title></head>
<body><h1>Service Unavailable</h1><p>The server is temporarily unable to service your
request.</p></body></html>
"""
NGINX_504 = b"""<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r
<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r
</html>\r\n"""

# Legal JSON that databases and pages choke on: NUL, a lone surrogate, a bidi override, markup.
HOSTILE_TEXT = "Store \x00 \ud800 \u202eevil\u202c <script>alert(1)</script> {{7*7}} hx-get=/x"

_GOOD_PARTICIPATION = {
    "marketplace": {
        "id": "ATVPDKIKX0DER",
        "name": "Amazon.com",
        "countryCode": "US",
        "defaultCurrencyCode": "USD",
        "defaultLanguageCode": "en_US",
        "domainName": "www.amazon.com",
    },
    "storeName": "Still Good",
    "participation": {"isParticipating": True, "hasSuspendedListings": False},
}
_GOOD_PROFILE = {
    "profileId": 9007199254740993,
    "countryCode": "US",
    "currencyCode": "USD",
    "timezone": "America/Los_Angeles",
    "accountInfo": {"marketplaceStringId": "ATVPDKIKX0DER", "id": "A0", "type": "seller"},
}
_TOKEN = {"access_token": "Atza|malformed", "refresh_token": "Atzr|malformed"}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


# In the `wrong_types` lists one element is good, and should survive.
MALFORMED: dict[str, dict[str, bytes]] = {
    SELLERS: {
        "truncated": b'{"payload":[{"marketplace":{"id":"ATVPDKIKX0',
        "wrong_types": _json(
            {
                "payload": [
                    {"marketplace": "ATVPDKIKX0DER", "storeName": 7, "participation": None},
                    {**_GOOD_PARTICIPATION, "participation": {"isParticipating": "yes"}},
                    None,
                    _GOOD_PARTICIPATION,
                ]
            }
        ),
        "nan": b'{"payload":[{"marketplace":NaN}]}',
        "null": b"null",
        "hostile_text": _json({"payload": [{**_GOOD_PARTICIPATION, "storeName": HOSTILE_TEXT}]}),
        "duplicates": _json(
            {
                "payload": [
                    {
                        **_GOOD_PARTICIPATION,
                        "participation": {"isParticipating": False, "hasSuspendedListings": False},
                    },
                    _GOOD_PARTICIPATION,
                ]
            }
        ),
        "empty_body": b"",
    },
    ADS: {
        "truncated": b'[{"profileId":9007199254740993,"countryCo',
        "wrong_types": _json(
            [{"profileId": "one"}, 7, {**_GOOD_PROFILE, "accountInfo": []}, _GOOD_PROFILE]
        ),
        "nan": b'[{"profileId":NaN}]',
        "null": b"null",
        "hostile_text": _json(
            [
                {
                    **_GOOD_PROFILE,
                    "accountInfo": {
                        "marketplaceStringId": "ATVPDKIKX0DER",
                        "id": "A0",
                        "type": "seller",
                        "name": HOSTILE_TEXT,
                    },
                }
            ]
        ),
        "duplicates": _json([_GOOD_PROFILE, _GOOD_PROFILE]),
        "empty_body": b"",
    },
    LWA: {
        "truncated": b'{"access_token":"Atza|malf',
        "wrong_types": _json({**_TOKEN, "token_type": 1, "expires_in": "soon"}),
        "nan": b'{"access_token":"Atza|malformed","token_type":"bearer","expires_in":NaN}',
        "null": b"null",
        "no_access_token": _json({"token_type": "bearer", "expires_in": 3600}),
        "empty_body": b"",
    },
}

_SELLERS_ERRORS = {
    429: ("QuotaExceeded", "You exceeded your quota for the requested resource."),
    500: ("InternalFailure", "We encountered an internal error. Please try again."),
    503: ("ServiceUnavailable", "Service is temporarily unavailable. Please try again."),
}
_LWA_ERRORS = {
    429: ("temporarily_unavailable", "Too many requests"),
    500: ("server_error", "The server encountered an internal error"),
    503: ("temporarily_unavailable", "The service is temporarily unavailable"),
}


def failure(surface: str, status: int) -> tuple[bytes, str]:
    """The body of a 429, 500 or 503 in the words of the service, and its error code."""
    if surface == SELLERS:
        code, message = _SELLERS_ERRORS[status]
        return _json({"errors": [{"code": code, "message": message, "details": ""}]}), code
    if surface == LWA:
        code, message = _LWA_ERRORS[status]
        return _json({"error": code, "error_description": message}), code
    if surface == ADS:
        code = str(status)
        return _json({"code": code, "details": f"HTTP {status}"}), code
    return XHTML_503, str(status)
