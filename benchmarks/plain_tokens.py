"""Handing out an access token in plain Django: the row by its key, the token it holds, and when
that has run out a refresh under the row's lock. No cleverness, no guards."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar

import requests
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone

KEY = secrets.token_bytes(32)


class PlainGrant(models.Model):
    """One row for each consent, with both tokens, as a first version would have it."""

    id = models.UUIDField(primary_key=True)
    organization_id = models.UUIDField()
    status = models.CharField(max_length=12, default="active")
    refresh_token = models.TextField()
    access_token = models.TextField()
    expires_at = models.DateTimeField()
    authorized_at = models.DateTimeField(default=timezone.now)
    last_refreshed_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=60, blank=True)

    objects: ClassVar[models.Manager[PlainGrant]] = models.Manager()

    class Meta:
        app_label = "benchmarks"
        managed = False
        db_table = "plain_grant"

    def __str__(self) -> str:
        return str(self.pk)


def make_table() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(PlainGrant)


def store(key: Any, organization_id: Any, *, access: str, refresh: str) -> None:
    PlainGrant.objects.create(
        id=key,
        organization_id=organization_id,
        access_token=sealed(access, key),
        refresh_token=sealed(refresh, key),
        expires_at=timezone.now() + timedelta(hours=1),
    )


def expire(key: Any) -> None:
    PlainGrant.objects.filter(pk=key).update(expires_at=timezone.now())


def access_token(organization_id: Any, key: Any) -> str:
    row = PlainGrant.objects.get(pk=key, organization_id=organization_id)
    if row.expires_at > soon():
        return opened(row.access_token, key)
    with transaction.atomic():
        row = PlainGrant.objects.select_for_update().get(pk=key)
        if row.expires_at > soon():
            return opened(row.access_token, key)
        reply = asked(opened(row.refresh_token, key))
        row.access_token = sealed(reply["access_token"], key)
        row.refresh_token = sealed(reply["refresh_token"], key)
        row.expires_at = timezone.now() + timedelta(seconds=reply["expires_in"])
        row.last_refreshed_at = timezone.now()
        row.save()
    token: str = reply["access_token"]
    return token


def soon() -> datetime:
    return timezone.now() + timedelta(minutes=5)


def asked(token: str) -> dict[str, Any]:
    reply = requests.post(
        settings.AMAZON_ENDPOINTS.lwa_token(),
        data={
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": settings.SPAPI_CLIENT.client_id,
            "client_secret": settings.SPAPI_CLIENT.secrets[0].reveal(),
        },
        timeout=30,
    )
    reply.raise_for_status()
    fields: dict[str, Any] = reply.json()
    return fields


def sealed(token: str, key: Any) -> str:
    nonce = secrets.token_bytes(12)
    ciphertext = AESGCM(KEY).encrypt(nonce, token.encode(), json.dumps([str(key)]).encode())
    return base64.b64encode(nonce + ciphertext).decode()


def opened(text: str, key: Any) -> str:
    raw = base64.b64decode(text)
    return AESGCM(KEY).decrypt(raw[:12], raw[12:], json.dumps([str(key)]).encode()).decode()
