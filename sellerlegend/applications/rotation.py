"""Rotating a client secret: ask Amazon, read the message, prove the secret, put it in force.

Each step leaves a row that the next run finds, so a run that is killed anywhere is repeated from
its message. Amazon is called outside transactions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon import application as application_api
from sellerlegend.amazon import lwa
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.notifications import NewSecret, Notification
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients
from sellerlegend.applications.models import LIFE, OVERLAP, ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations.audit import Actor, record_event

logger = logging.getLogger(__name__)


class RotationRefused(RuntimeError):
    """`reason` is a code of ours; the command has the words for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def newest_row(application: LwaApplication) -> ClientSecret:
    """The secret in force, as a stored row. Raises RotationRefused when there is none."""
    look_after_secrets()
    present = clients.in_force(clients.held_rows(application))
    if present is None:
        raise RotationRefused("no_secret")
    return present


def request_rotation(*, region: Region, actor: Actor, is_again: bool = False) -> None:
    """Ask Amazon for a new secret of the Selling Partner application.

    Refused while the message of an earlier rotation is awaited and while the secret before is
    still accepted, since a second rotation ends that one; `is_again` overrules both. The wish is
    written down first: after an unknown outcome it stands, and nobody rotates twice unawares. When
    Amazon was surely not asked, what was awaited before still is.
    Raises RotationRefused and AmazonError kinds.
    """
    newest = newest_row(LwaApplication.SPAPI)
    awaited_since = newest.rotation_requested_at
    if not is_again:
        _refuse_a_second_one(newest)
    with transaction.atomic():
        _note_request(newest, timezone.now())
        record_event(
            "client_secret_rotation_requested",
            actor=actor,
            application=LwaApplication.SPAPI.value,
            fingerprint=newest.fingerprint,
        )
    try:
        token = lwa.grantless_token(
            endpoints=settings.AMAZON_ENDPOINTS,
            client=clients.client_of(LwaApplication.SPAPI),
            scope=application_api.ROTATION_SCOPE,
        )
    except AmazonError:
        _note_request(newest, awaited_since)
        raise
    try:
        application_api.rotate_client_secret(
            endpoints=settings.AMAZON_ENDPOINTS, region=region, access_token=token.access_token
        )
    except AmazonError as error:
        if not isinstance(error, AmazonUnavailable) or error.throttled:
            _note_request(newest, awaited_since)
        raise


def _refuse_a_second_one(newest: ClientSecret) -> None:
    if newest.rotation_requested_at is not None:
        raise RotationRefused("message_awaited")
    if (
        timezone.now() - newest.first_seen_at < OVERLAP
        and ClientSecret.objects.filter(
            client_id=newest.client_id, superseded_at__gt=timezone.now() - OVERLAP
        )
        .exclude(pk=newest.pk)
        .exists()
    ):
        raise RotationRefused("overlap_running")


def _note_request(row: ClientSecret, at: datetime | None) -> None:
    ClientSecret.objects.filter(pk=row.pk).update(rotation_requested_at=at)


def newest_of(
    application: LwaApplication, notifications: Iterable[Notification]
) -> NewSecret | None:
    """The latest new secret of our own client among the messages, which come in any order."""
    client_id = clients.configured_client(application).client_id
    ours = [
        item
        for item in notifications
        if isinstance(item, NewSecret) and item.client_id == client_id
    ]
    long_ago = datetime.min.replace(tzinfo=UTC)
    return max(ours, key=lambda item: item.sent_at or long_ago, default=None)


def adopt(application: LwaApplication, new: NewSecret, *, actor: Actor) -> bool:
    """Prove a new secret, then seal it, in one transaction: it is in force before the present one.

    Where it stands among the others is not changed when it is held already, in an environment
    alone too. False: it is sealed already, and nothing changes. Raises ClientMisconfigured when
    Amazon refuses it, AmazonUnavailable when it says nothing: the present secret stays in force.
    """
    present = newest_row(application)
    if is_stored(application, new.secret):
        return False
    prove(application, new.secret)
    try:
        with transaction.atomic():
            row = clients.store(
                application,
                new.secret,
                issued_at=new.expires_at - LIFE if new.expires_at else new.sent_at,
                expires_at=new.expires_at,
            )
            is_newer = _end_the_one_before(row, present, new)
            record_event(
                "client_secret_rotated" if is_newer else "client_secret_stored",
                actor=actor,
                application=application.value,
                fingerprint=row.fingerprint,
                before=present.fingerprint,
            )
    except IntegrityError:  # another run was faster
        return False
    finally:
        clients.forget_clients()
    logger.info(
        "client_secret_rotated",
        extra={"client": row.client_id, "fingerprint": row.fingerprint},
    )
    return True


def _end_the_one_before(row: ClientSecret, present: ClientSecret, new: NewSecret) -> bool:
    """Whatever message was awaited has come. False: the present one stays the present one."""
    same = ClientSecret.objects.filter(client_id=row.client_id)
    same.exclude(rotation_requested_at=None).update(rotation_requested_at=None)
    if present.first_seen_at >= row.first_seen_at:
        return False
    before = same.filter(pk=present.pk)
    before.update(superseded_at=row.first_seen_at)
    if new.old_expires_at is not None:
        before.update(expires_at=new.old_expires_at)
    return True


def is_stored(application: LwaApplication, secret: Secret) -> bool:
    """Whether it is sealed here and opens again: only then may its message go."""
    row = ClientSecret.objects.filter(
        client_id=clients.configured_client(application).client_id,
        fingerprint=crypto.fingerprint(secret),
    ).first()
    return row is not None and clients.opened(row) == secret


def prove(application: LwaApplication, secret: Secret) -> None:
    """Ask Amazon with this secret alone, for nothing that concerns a seller."""
    client = LwaClient(clients.configured_client(application).client_id, (secret,))
    if application == LwaApplication.SPAPI:
        lwa.grantless_token(
            endpoints=settings.AMAZON_ENDPOINTS,
            client=client,
            scope=application_api.ROTATION_SCOPE,
        )
    else:
        lwa.prove_secret(endpoints=settings.AMAZON_ENDPOINTS, client=client)


def set_issue_date(application: LwaApplication, issued_at: datetime, *, actor: Actor) -> None:
    """An operator knows from the console when the present secret was issued. Refused where
    Amazon itself has said when it ends. Raises RotationRefused."""
    row = newest_row(application)
    if row.expires_at is not None:
        raise RotationRefused("dated_by_amazon")
    with transaction.atomic():
        ClientSecret.objects.filter(pk=row.pk).update(issued_at=issued_at)
        record_event(
            "client_secret_dated",
            actor=actor,
            application=application.value,
            fingerprint=row.fingerprint,
            issued_on=f"{issued_at:%Y-%m-%d}",
        )
