from __future__ import annotations

from sellerlegend.amazon.environment import conflicting_environment


def test_names_that_the_libraries_prefer_are_listed() -> None:
    environ = {
        "SP_API_DEFAULT_MARKETPLACE": "JP",
        "LWA_APP_ID": "somebody-else",
        "LWA_CLIENT_SECRET_default": "",
        "AD_API_REFRESH_TOKEN": "Atzr|somebody",
        "AWS_ENV": "SANDBOX",
        "SPAPI_CLIENT_ID": "ours",
        "ADS_CLIENT_ID": "ours",
        "AWS_ENVIRONMENT": "nobody reads it",
        "PATH": "/bin",
    }

    assert conflicting_environment(environ) == [
        "AD_API_REFRESH_TOKEN",
        "AWS_ENV",
        "LWA_APP_ID",
        "LWA_CLIENT_SECRET_default",
        "SP_API_DEFAULT_MARKETPLACE",
    ]


def test_a_clean_environment_has_none() -> None:
    assert conflicting_environment({"PATH": "/bin"}) == []
