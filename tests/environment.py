"""An environment for the product that no developer's `.env` or shell can change."""

from __future__ import annotations

from sellerlegend.env import Env

# The fake Amazon knows these by default. They open nothing anywhere else.
DEMO_CREDENTIALS = {
    "SPAPI_APPLICATION_ID": "amzn1.sp.solution.demo-0000",
    "SPAPI_CLIENT_ID": "amzn1.application-oa2-client.demo-spapi",
    "SPAPI_CLIENT_SECRET": "amzn1.oa2-cs.v1.demo-spapi",
    "ADS_CLIENT_ID": "amzn1.application-oa2-client.demo-ads",
    "ADS_CLIENT_SECRET": "amzn1.oa2-cs.v1.demo-ads",
}


def development_environment(**variables: str) -> dict[str, str]:
    """Every variable of the product: `variables`, else the demo's credentials and defaults.

    Variables of the process win over `.env`, so naming all of them shuts that file out.
    """
    defaults = {
        name.upper(): "" if field.default is None else str(field.default)
        for name, field in Env.model_fields.items()
        if not field.is_required()
    }
    return defaults | DEMO_CREDENTIALS | {"DJANGO_DEBUG": "true"} | variables
