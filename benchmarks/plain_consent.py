"""The consent round trip in plain Django: the product's duties, no cleverness, no guards.

Session and user, membership twice, a single-use state bound to browser and person, an audit
event for each step, the code's exchange, the token sealed by AES-GCM, the row and its grant
written together with its number of revision, a job in the ledger and its message.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import requests
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone

from connections.models import AuthorizationRequest, Connection, SpApiGrant
from sellerlegend.celery import RUN_JOB, app
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import AuditEvent, Membership, Organization

CALLBACK = "/bench/plain/callback"
KEY = secrets.token_bytes(32)


def audit(request: Any, organization: Organization, code: str, subject: Any) -> None:
    AuditEvent._base_manager.create(
        organization=organization,
        code=code,
        actor_kind="person",
        actor=request.user,
        subject_type=subject._meta.model_name,
        subject_id=subject.pk,
    )


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def start(request: Any, slug: str, connection_id: str) -> HttpResponse:
    membership = get_object_or_404(
        Membership._base_manager.select_related("organization"),
        user=request.user,
        organization__slug=slug,
    )
    connection = get_object_or_404(
        Connection._base_manager, pk=connection_id, organization=membership.organization
    )
    if "browser" not in request.session:
        request.session["browser"] = secrets.token_urlsafe(32)
    state = secrets.token_urlsafe(32)
    with transaction.atomic():
        trip = AuthorizationRequest._base_manager.create(
            organization=membership.organization,
            user=request.user,
            kind="spapi",
            state_hash=digest(state),
            browser_hash=digest(request.session["browser"]),
            region=connection.region,
            connection=connection,
            expires_at=timezone.now() + timedelta(minutes=10),
            reference=secrets.token_hex(4),
        )
        audit(request, membership.organization, "authorization_opened", trip)
    query = urlencode(
        {
            "application_id": settings.SPAPI_APPLICATION_ID,
            "state": state,
            "redirect_uri": f"{settings.PUBLIC_BASE_URL}{CALLBACK}",
        }
    )
    url = settings.AMAZON_ENDPOINTS.seller_central(connection.marketplace_id)
    return HttpResponseRedirect(f"{url}/apps/authorize/consent?{query}")


def callback(request: Any) -> HttpResponse:
    trip = get_object_or_404(
        AuthorizationRequest._base_manager.select_related("organization", "connection"),
        state_hash=digest(request.GET["state"]),
        user=request.user,
        browser_hash=digest(request.session["browser"]),
    )
    membership = get_object_or_404(
        Membership._base_manager, user=request.user, organization=trip.organization
    )
    used = AuthorizationRequest._base_manager.filter(pk=trip.pk, status="open")
    if membership.role == "viewer" or not used.update(
        status="consumed", consumed_at=timezone.now()
    ):
        raise Http404
    token = exchange(request.GET["spapi_oauth_code"])
    with transaction.atomic():
        job = store(request, trip, token)
    app.send_task(RUN_JOB, args=[str(job.pk)], queue=job.queue)
    return HttpResponseRedirect(f"/o/{trip.organization.slug}/connections/")


def exchange(code: str) -> str:
    reply = requests.post(
        settings.AMAZON_ENDPOINTS.lwa_token(),
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": f"{settings.PUBLIC_BASE_URL}{CALLBACK}",
            "client_id": settings.SPAPI_CLIENT.client_id,
            "client_secret": settings.SPAPI_CLIENT.secrets[0].reveal(),
        },
        timeout=10,
    )
    reply.raise_for_status()
    token: str = reply.json()["refresh_token"]
    return token


def store(request: Any, trip: Any, token: str) -> Job:
    organization, connection = trip.organization, trip.connection
    Organization.objects.filter(pk=organization.pk).update(revision=F("revision") + 1)
    organization.refresh_from_db()
    connection.selling_partner_id = request.GET["selling_partner_id"]
    connection.revision = organization.revision
    connection.save()
    grant, _created = SpApiGrant._base_manager.update_or_create(
        connection=connection,
        defaults={
            "status": "active",
            "refresh_token": sealed(token, f"{organization.pk}{connection.pk}"),
            "fingerprint": digest(token)[:8],
            "authorized_at": timezone.now(),
            "authorized_by": request.user,
        },
    )
    audit(request, organization, "spapi_grant_stored", grant)
    job = Job._base_manager.create(
        organization=organization,
        kind="marketplaces.read",
        subject_id=connection.pk,
        connection_id=connection.pk,
    )
    trip.outcome = "connected"
    trip.save(update_fields=["outcome"])
    audit(request, organization, "authorization_ended", trip)
    return job


def sealed(token: str, place: str) -> str:
    nonce = secrets.token_bytes(12)
    ciphertext = AESGCM(KEY).encrypt(nonce, token.encode(), json.dumps([place]).encode())
    return base64.b64encode(nonce + ciphertext).decode()
