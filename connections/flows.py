"""The way back from Amazon: RFC 6749 §4.1 with the rules of RFC 9700 §2.1, §4.4 and §4.7.

Order in the callback: state, browser and person, kind, membership again, consume, `error`,
code, expected seller, exchange, proof, store. Exchange and proof run outside any transaction. Every
refusal changes nothing but the request row and leaves one audit event with a reference code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.db import Error as DatabaseFault
from django.db import IntegrityError, transaction
from django.http import QueryDict

from connections import authorization, capabilities, client_links, queue_walk, revisions, storing
from connections.authorization import Browser, CallbackParams, is_seller_id
from connections.departures import VaultClosed, require_open_vault
from connections.endings import Ending, ending_again, ending_with
from connections.exchange import exchange, named
from connections.models import AdsGrant, AuthorizationRequest, Connection, SpApiGrant
from connections.reasons import SUCCESSES
from marketplaces import newcomers
from marketplaces import services as marketplace_services
from marketplaces.newcomers import Proof
from ppc import services as ppc_services
from ppc import upkeep as ppc_upkeep
from sellerlegend import crypto, outage
from sellerlegend.amazon.errors import (
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    CodeRejected,
)
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.transport import deadline
from sellerlegend.organizations import limits, quarantine, staff_notices
from sellerlegend.organizations.audit import Actor, new_reference, record_event
from sellerlegend.organizations.models import AuditEvent, User
from sellerlegend.transitions import StaleState

logger = logging.getLogger(__name__)

# All its calls together: somebody waits, and the proxy waits for a minute.
PROOF_SECONDS = 20.0

Kind = AuthorizationRequest.Kind
Status = AuthorizationRequest.Status


def finish_spapi_authorization(*, browser: Browser, query: QueryDict) -> Ending:
    """Seller Central came back. Never raises for anything a browser can send."""
    params = CallbackParams.from_query(query, code_field="spapi_oauth_code")
    return _finish(Kind.SPAPI, params, browser)


def finish_ads_authorization(*, browser: Browser, query: QueryDict) -> Ending:
    """Amazon Ads came back. Never raises for anything a browser can send."""
    params = CallbackParams.from_query(query, code_field="code")
    return _finish(Kind.ADS, params, browser)


def _finish(kind: str, params: CallbackParams, browser: Browser) -> Ending:
    request, refusal = authorization.identify(kind, params, browser)
    if request is None or refusal:
        # Counted only here: who comes back from Amazon as asked pays nothing.
        wait = limits.take((limits.REFUSED_CALLBACK, browser.address))
        return Ending("refused", "", wait=wait) if wait else _refuse(refusal, browser.user, request)
    if request.status != Status.OPEN:
        return ending_again(request)
    actor = authorization.actor_of(request, browser.user)
    outcome = (
        authorization.consume(request, browser.user)
        or _check_reply(request, params, actor)
        or _try_exchange(request, params, actor)
    )
    return _conclude(request, outcome, actor)


def _try_exchange(request: AuthorizationRequest, params: CallbackParams, actor: Actor) -> str:
    try:
        return _exchange_and_store(request, params, actor)
    except CodeRejected:
        return "code_rejected"
    except AmazonUnavailable:
        return "amazon_unavailable"
    except ClientMisconfigured:
        logger.error("client_misconfigured", extra={"operation": "lwa.exchange_code"})
        staff_notices.tell("client_misconfigured")
        return "client_misconfigured"
    except AmazonError:
        return "unexpected_reply"
    except VaultClosed:
        return "vault_key_missing"
    except crypto.Undecryptable:
        logger.error("vault_refused", extra={"reference": request.reference})
        staff_notices.tell("vault_refused")
        return "vault_refused"


def _refuse(cause: str, user: Any, trip: AuthorizationRequest | None) -> Ending:
    """One neutral ending for everything that is not this person's trip; staff see the cause.

    The organization whose trip was misused finds it in its record, but not who else it was.
    """
    reference = new_reference()
    person = user if user.is_authenticated else None
    is_owner = trip is None or (person is not None and person.pk == trip.user_id)
    record_event(
        "authorization_refused",
        actor=Actor.person(person if is_owner else None),  # type: ignore[arg-type]  # nobody
        subject=trip,
        reference=reference,
        cause=cause,
    )
    logger.warning(
        "authorization_refused",
        extra={"cause": cause, "reference": reference, "person": getattr(person, "pk", None)},
    )
    by_link = trip is not None and trip.client_link_id is not None
    return Ending("refused", reference, by_link=by_link)


def _check_reply(request: AuthorizationRequest, params: CallbackParams, actor: Actor) -> str:
    """Everything that must hold before a code may be exchanged. Returns "" or the outcome."""
    if quarantine.is_on():
        return "quarantined"
    if params.error is not None:
        return "declined" if params.error == "access_denied" else "code_missing"
    connection = request.connection
    if connection is None:
        return "row_gone"
    if params.code is None:
        return "code_missing"
    if request.kind == Kind.ADS:
        return "row_removed" if connection.removed_at is not None else ""
    return _check_seller(request, connection, params.selling_partner_id, actor)


def _check_seller(
    request: AuthorizationRequest, connection: Connection, seller: str | None, actor: Actor
) -> str:
    if seller is None or not is_seller_id(seller):
        return "code_missing"
    request.returned_selling_partner_id = seller
    if not request.starts_at_amazon:
        # The row may have got its seller from another tab after this trip began.
        request.expected_selling_partner_id = (
            connection.selling_partner_id or request.expected_selling_partner_id
        )
    expected = request.expected_selling_partner_id
    if expected and seller != expected:
        return "wrong_account"
    return storing.refusal_ahead(
        connection=connection, seller=seller, actor=actor, began_at=request.created_at
    )


def _row_of(request: AuthorizationRequest) -> Connection | None:
    rows = Connection.with_removed.for_organization(request.organization_id)
    row: Connection | None = rows.filter(pk=request.connection_id).first()
    return row


def _ppc_ended_since(request: AuthorizationRequest) -> bool:
    """By the record: the consent that ended leaves no trace in a row of its own. It may have been
    ended on another row that it fed as well."""
    events = AuditEvent.objects.for_organization(request.organization_id).filter(
        code="connection_disconnected", at__gt=request.created_at
    )
    row = str(request.connection_id)
    found: Iterable[tuple[UUID | None, dict[str, Any]]]
    found = events.values_list("connection_id", "details")
    return any(
        "ppc" in details.get("sides", ()) and row in (str(ended_on), *details.get("fed", ()))
        for ended_on, details in found
    )


def _exchange_and_store(request: AuthorizationRequest, params: CallbackParams, actor: Actor) -> str:
    """One try at the token endpoint, and the proof where one is needed, outside a transaction;
    then one short transaction."""
    is_ads = request.kind == Kind.ADS
    require_open_vault(request.organization)
    known = None if is_ads else storing.living_row(request)
    reply = exchange(request, params)
    token = reply.refresh_token
    if token is None:
        return "unexpected_reply"
    outcome = "interrupted"
    try:
        if is_ads:
            outcome = _stored_whole(request, partial(_store_ads, request, token, actor))
        else:
            store = partial(_store_spapi, request, params, token, actor)
            outcome = _proved_and_stored(request, known, reply.access_token, store)
    except (newcomers.NotProved, storing.NotProved):
        outcome = "renewal_unproved"
    except AmazonError:
        raise
    except Exception:
        _remember_interruption(request)
        raise
    finally:
        if outcome not in SUCCESSES:
            logger.warning("grant_orphaned", extra=named(token, request))
    return outcome


def _proved_and_stored(
    request: AuthorizationRequest,
    known: Connection | None,
    access_token: Secret,
    store: Callable[[Proof], str],
) -> str:
    """`known`: the row with a consent that works, which this one would replace."""
    with deadline(PROOF_SECONDS):
        proof = Proof.NOT_ASKED if known is None else _prove(known, request, access_token)
        try:
            return _stored_whole(request, partial(store, proof))
        except storing.NotProved:
            known = storing.living_row(request)
        # Another trip was faster, and what it brought works since.
        proof = Proof.NOT_ASKED if known is None else _prove(known, request, access_token)
        return _stored_whole(request, partial(store, proof))


def _prove(known: Connection, request: AuthorizationRequest, access_token: Secret) -> Proof:
    seller = request.returned_selling_partner_id
    try:
        return outage.patiently(partial(newcomers.prove, known, seller, access_token))
    finally:
        # As after the exchange: that took some seconds.
        outage.drop_a_dead_connection()


def _stored_whole(request: AuthorizationRequest, store: Callable[[], str]) -> str:
    return outage.patiently(store, again=lambda: _stored_before(request) or store())


def _stored_before(request: AuthorizationRequest) -> str:
    """The success of a try whose connection broke at its commit, else "". Waits for the lock that
    every storing holds, so that such a try is over."""
    rows = AuthorizationRequest.objects.for_organization(request.organization_id)
    with transaction.atomic():
        revisions.touch(request.organization_id, [])
        if not rows.filter(pk=request.pk, outcome__in=SUCCESSES).exists():
            return ""
    request.refresh_from_db()
    return request.outcome


def _remember_interruption(request: AuthorizationRequest) -> None:
    """As the sweep would after a minute, if the database hears us. No success is overwritten."""
    rows = AuthorizationRequest.objects.for_organization(request.organization_id)
    outage.drop_a_dead_connection()
    with suppress(DatabaseFault):
        rows.filter(pk=request.pk, outcome="in_progress").update(
            outcome="interrupted", code_verifier=""
        )


# Somebody was faster than the consent.
NOT_STORED: dict[type[Exception], str] = {
    storing.RowGone: "row_gone",
    storing.RowRemoved: "row_removed",
    storing.OfAnotherRow: "other_row",
    storing.DisconnectedMeanwhile: "disconnected_meanwhile",
    client_links.LinkOver: "link_over",
}


def _store_spapi(
    request: AuthorizationRequest,
    params: CallbackParams,
    token: Secret,
    actor: Actor,
    proof: Proof,
) -> str:
    connection = request.connection
    if connection is None:
        return "row_gone"
    for _ in range(2):  # the grant's status may move under us once
        try:
            with transaction.atomic():
                stored = storing.store_spapi_grant(
                    connection=connection,
                    seller=request.returned_selling_partner_id,
                    token=token,
                    actor=actor,
                    began_at=request.created_at,
                    is_proved=proof != Proof.NOT_ASKED,
                )
                if proof == Proof.OF_THE_SELLER:
                    grants = SpApiGrant.objects.for_organization(request.organization_id)
                    grant: SpApiGrant = grants.get(connection=stored.row)
                    capabilities.confirm_seller(grant, request.returned_selling_partner_id)
                client_links.note_consented(stored.row, request.client_link_id, actor)
                if params.mws_auth_token is not None:
                    storing.store_mws_auth_token(connection=stored.row, token=params.mws_auth_token)
                marketplace_services.queue_reading(stored.row, is_first=stored.is_new)
                outcome = _outcome_of(stored, connection)
                _record_success(request, stored.row.pk, outcome)
            return outcome
        except tuple(NOT_STORED) as obstacle:
            return NOT_STORED[type(obstacle)]
        except (IntegrityError, StaleState):
            continue
    return "unexpected_reply"


def _outcome_of(stored: storing.Stored, asked: Connection) -> str:
    if stored.is_new:
        return "connected"
    if stored.was_removed:
        return "brought_back"
    return "reconnected" if stored.row.pk == asked.pk else "merged"


def _store_ads(request: AuthorizationRequest, token: Secret, actor: Actor) -> str:
    with transaction.atomic():
        revisions.touch(request.organization_id, [])  # the lock: now the row stays or is gone
        row = _row_of(request)
        if row is None or row.removed_at is not None:
            return "row_gone" if row is None else "row_removed"
        if _ppc_ended_since(request):
            return "disconnected_meanwhile"
        # Client links are for Seller Central alone, so this is a person's trip.
        grant: AdsGrant = ppc_services.store_ads_grant(
            organization=request.organization,
            token=token,
            user=cast(User, actor.user),
            asked_for=row,
        )
        revisions.show(request.organization_id, [row.pk])
        started = ppc_services.link_chosen(
            grant=grant,
            account_ids=[UUID(value) for value in request.chosen],
            actor=actor,
        )
        if not started:
            ppc_upkeep.begin_listing(grant)
        outcome = "ads_connected" if started else "ads_renewed"
        _record_success(request, request.connection_id, outcome)
    return outcome


def _record_success(
    request: AuthorizationRequest, connection_id: UUID | None, outcome: str
) -> None:
    """In the transaction that stores the grant: a reload of the callback finds this."""
    rows = AuthorizationRequest.objects.for_organization(request.organization_id)
    rows.filter(pk=request.pk).update(
        outcome=outcome,
        connection_id=connection_id,
        returned_selling_partner_id=request.returned_selling_partner_id,
        code_verifier="",
    )
    request.outcome, request.connection_id = outcome, connection_id
    queue_walk.trip_ended(request, outcome, is_success=True)


def _conclude(request: AuthorizationRequest, outcome: str, actor: Actor) -> Ending:
    """Remember a failure on the request row; a success was written with the grant."""
    if outcome == "in_progress":
        request.refresh_from_db()
        return ending_again(request)
    if outcome not in SUCCESSES:
        _remember_failure(request, outcome)
        if request.client_link_id is not None:
            client_links.note_failed(request.organization_id, request.client_link_id, outcome)
    record_event(
        "authorization_ended",
        actor=actor,
        subject=request,
        reference=request.reference,
        outcome=outcome,
    )
    logger.info("authorization_ended", extra={"request": request.pk, "outcome": outcome})
    return ending_with(outcome, request)


def _remember_failure(request: AuthorizationRequest, outcome: str) -> None:
    rows = AuthorizationRequest.objects.for_organization(request.organization_id)
    with transaction.atomic():
        queue_walk.trip_ended(request, outcome, is_success=False)
        rows.filter(pk=request.pk).update(
            outcome=outcome,
            expected_selling_partner_id=request.expected_selling_partner_id,
            returned_selling_partner_id=request.returned_selling_partner_id,
            code_verifier="",
        )
    request.outcome = outcome
