"""One try at Amazon's token endpoint with the code that a callback brought."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import Error as DatabaseFault

from connections.authorization import CallbackParams
from connections.models import AuthorizationRequest
from sellerlegend import crypto, outage
from sellerlegend.amazon import lwa
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.clients import client_of
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import breakers, outcomes
from sellerlegend.organizations import custody

logger = logging.getLogger(__name__)

Kind = AuthorizationRequest.Kind


def exchange(request: AuthorizationRequest, params: CallbackParams) -> lwa.TokenReply:
    client = client_of(LwaApplication.ADS if request.kind == Kind.ADS else LwaApplication.SPAPI)
    operation = "lwa.exchange_code"
    reply: lwa.TokenReply | None = None
    try:
        with (
            outcomes.on_behalf_of(request.organization_id),
            breakers.guarded_client(client, operation=operation),
            breakers.guarded("lwa", operation=operation),
        ):
            reply = _ask(client, params, request)
    except DatabaseFault:
        # What the breakers remember is worth less than what the code brought.
        if reply is None:
            raise
        logger.warning("breaker_not_told", extra={"reference": request.reference})
    return reply


def _ask(
    client: lwa.LwaClient, params: CallbackParams, request: AuthorizationRequest
) -> lwa.TokenReply:
    is_ads = request.kind == Kind.ADS
    code_verifier = _code_verifier(request) if is_ads else None
    try:
        reply = lwa.exchange_code(
            endpoints=settings.AMAZON_ENDPOINTS,
            client=client,
            code=params.code or Secret(""),
            redirect_uri=settings.ADS_REDIRECT_URI if is_ads else settings.SPAPI_REDIRECT_URI,
            code_verifier=code_verifier,
        )
    finally:
        # That took up to ten seconds, in which the database may have been started anew.
        outage.drop_a_dead_connection()
    if reply.refresh_token is not None:
        # A process that dies from here on leaves this line without an end of the trip.
        logger.info("grant_received", extra=named(reply.refresh_token, request))
    return reply


def _code_verifier(request: AuthorizationRequest) -> Secret:
    return custody.open_secret(
        request.code_verifier,
        request.verifier_place(),
        data_key=request.organization.data_key,
        purpose=crypto.Purpose.EXCHANGE,
    )


def named(token: Secret, request: AuthorizationRequest) -> dict[str, str]:
    return {"fingerprint": crypto.fingerprint(token), "reference": request.reference}
