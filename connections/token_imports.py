"""Bringing the refresh tokens of another tool: looked at, confirmed, and stored row by row.

The file itself is not kept. What stands between the steps are rows (`import_models.py`), so that
a closed tab, a killed worker and a second look find everything as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from connections import capabilities, imported_tokens, revisions, services, storing
from connections.import_models import ImportedToken, TokenImport
from connections.imported_tokens import Accepted
from connections.models import Connection, SpApiGrant
from connections.token_table import Checked, is_newer, moment_of
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.transitions import advance, advance_many

# The job of one row; `marketplaces/importing.py` does it, because it reads the marketplaces.
IMPORT = "connections.import_token"

Status = ImportedToken.Status


class NotImported(RuntimeError):
    """The token is good and the row does not get it; `code` is one of `import_words.RESULTS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# Looked at ---------------------------------------------------------------------------------


@sensitive_variables()
def keep(*, organization: Organization, rows: list[Checked], actor: Actor) -> TokenImport:
    """The rows of a file, each with its problem or with its token sealed."""
    with transaction.atomic():
        revisions.touch(organization.pk, [])  # the lock: no rotation drops the data key
        imports = TokenImport.objects.for_organization(organization)
        token_import: TokenImport = imports.create(created_by=actor.user)
        kept = [_row_of(token_import, row) for row in rows]
        good = [(row, each.token) for row, each in zip(kept, rows, strict=True) if each.token]
        imported_tokens.seal(
            [row for row, _ in good], [token for _, token in good], organization.pk
        )
        ImportedToken.objects.for_organization(organization).bulk_create(kept)
        record_event(
            "token_file_read",
            actor=actor,
            organization=organization,
            rows=len(kept),
            refused=len(kept) - len(good),
        )
    return token_import


def _row_of(token_import: TokenImport, row: Checked) -> ImportedToken:
    return ImportedToken(
        organization_id=token_import.organization_id,
        token_import=token_import,
        line=row.line,
        name=row.name,
        region=row.region,
        marketplace_id=row.marketplace_id,
        selling_partner_id=row.seller,
        consented_on=row.consented_on,
        fingerprint=row.fingerprint,
        status=Status.REFUSED if row.problem else Status.CHECKED,
        outcome=row.problem,
        connection_id=row.renews,
        done_at=timezone.now() if row.problem else None,
    )


def rows_of(token_import: TokenImport) -> QuerySet[ImportedToken]:
    rows: QuerySet[ImportedToken] = ImportedToken.objects.for_organization(
        token_import.organization_id
    )
    return rows.filter(token_import=token_import)


def counts_of(token_import: TokenImport) -> dict[str, int]:
    """By status; those that would renew a row of the organization under `renewing`."""
    counts = {status.value: Count("pk", filter=Q(status=status)) for status in Status}
    renewing = Q(status=Status.CHECKED, connection__isnull=False)
    found: dict[str, int] = rows_of(token_import).aggregate(
        **counts, renewing=Count("pk", filter=renewing)
    )
    return found


# Confirmed ---------------------------------------------------------------------------------


def confirm(*, token_import: TokenImport, renew: Collection[UUID], actor: Actor) -> int:
    """Let Amazon be asked about the rows that are ready. Those that would renew a consent of ours
    only if they are in `renew`; the others are left out, their tokens destroyed. Returns how many
    wait now. Doing it twice changes nothing."""
    with transaction.atomic():
        revisions.touch(token_import.organization_id, [])
        imports = TokenImport.objects.for_organization(token_import.organization_id)
        fresh = imports.filter(pk=token_import.pk, confirmed_at=None)
        if not fresh.update(confirmed_at=timezone.now(), created_by=actor.user):
            return 0
        rows = rows_of(token_import)
        unwanted = rows.filter(connection__isnull=False).exclude(pk__in=list(renew))
        imported_tokens.leave_out(unwanted, outcome="not_chosen", actor=actor)
        wanted = list(
            rows.filter(status=Status.CHECKED).order_by("line").values_list("pk", flat=True)
        )
        advance_many(rows, seen=Status.CHECKED, to=Status.WAITING, actor=actor, limit=len(wanted))
        ledger.enqueue_many(
            IMPORT,
            organization=token_import.organization_id,
            subjects=[(row_id, None) for row_id in wanted],
        )
        record_event(
            "token_file_confirmed",
            actor=actor,
            organization=Organization(pk=token_import.organization_id),
            rows=len(wanted),
        )
    return len(wanted)


def discard(*, token_import: TokenImport, actor: Actor) -> int:
    """Destroy what is still open, also of what was confirmed. Returns how many."""
    with transaction.atomic():
        revisions.touch(token_import.organization_id, [])
        rows = rows_of(token_import)
        open_ids = rows.filter(status__in=ImportedToken.OPEN).values_list("pk", flat=True)
        ledger.cancel_live(organization_id=token_import.organization_id, subject_ids=list(open_ids))
        return imported_tokens.leave_out(rows, outcome="discarded", actor=actor)


# Stored ------------------------------------------------------------------------------------


def waiting_row(organization_id: UUID, row_id: UUID) -> ImportedToken | None:
    """The row of a job; None when its fate is known already."""
    rows = ImportedToken.objects.for_organization(organization_id)
    waiting = rows.filter(pk=row_id, status=Status.WAITING)
    found: ImportedToken | None = waiting.select_related("token_import__created_by").first()
    return found


def needs_proof(row: ImportedToken) -> bool:
    """A consent that works gives way only to one whose seller Amazon confirmed."""
    grant = _grant_of(_known_row(row))
    return grant is not None and grant.is_living


def store(row: ImportedToken, accepted: Accepted, *, is_proved: bool) -> Connection:
    """Write a token that Amazon accepted as the consent of its row, in the caller's transaction,
    which holds the organization's lock. Returns the row that holds it now. Raises NotImported,
    and StaleState when the row was ended meanwhile."""
    user = _importer(row)
    known = _known_row(row)
    _require_better(row, _grant_of(known), known, is_proved=is_proved)
    try:
        holder = storing.store_spapi_grant(
            connection=_asked_row(known) or _row_for(row, user),
            seller=row.selling_partner_id,
            token=accepted.token,
            actor=Actor.person(user),
            began_at=row.token_import.confirmed_at,
            is_proved=is_proved,
        ).row
    except storing.DisconnectedMeanwhile:
        raise NotImported("import_disconnected_meanwhile") from None
    except storing.RowRemoved:
        raise NotImported("import_row_removed") from None
    grant = _date_the_consent(holder, row)
    if is_proved:
        capabilities.confirm_seller(grant, row.selling_partner_id)
        # Amazon has said whose it is: nobody has to be asked.
        services.confirm_account(connection=holder, actor=Actor.person(user))
    row.connection = holder
    _end(row, Status.STORED, outcome="", connection_id=holder.pk)
    return holder


def refuse(row: ImportedToken, code: str) -> None:
    """In the caller's transaction. Raises StaleState when the row was ended meanwhile."""
    _end(row, Status.REFUSED, outcome=code)


def given_up(organization_id: UUID, row_id: UUID) -> None:
    row = waiting_row(organization_id, row_id)
    if row is not None:
        refuse(row, "import_gave_up")


def _end(row: ImportedToken, to: str, **columns: Any) -> None:
    advance(row, to=to, actor=WORKER, refresh_token="", done_at=timezone.now(), **columns)


def _importer(row: ImportedToken) -> User:
    """Whoever confirmed it, as long as that person may. Raises NotImported."""
    user = row.token_import.created_by
    members = Membership.objects.for_organization(row.organization_id)
    may = members.filter(user=user, role__in=[Role.ADMIN, Role.OWNER], user__is_active=True)
    if user is None or not may.exists():
        raise NotImported("import_without_a_person")
    return user


def _known_row(row: ImportedToken) -> Connection | None:
    """The organization's row of this seller in this region, also a removed one."""
    rows = Connection.with_removed.for_organization(row.organization_id)
    found: Connection | None = rows.filter(
        selling_partner_id=row.selling_partner_id, region=row.region
    ).first()
    return found


def _grant_of(known: Connection | None) -> SpApiGrant | None:
    if known is None:
        return None
    grants = SpApiGrant.objects.for_organization(known.organization_id)
    found: SpApiGrant | None = grants.filter(connection=known).first()
    return found


def _require_better(
    row: ImportedToken, grant: SpApiGrant | None, known: Connection | None, *, is_proved: bool
) -> None:
    """Only a row that was ticked is renewed, and a consent that works only by one that is
    certainly newer and certainly of the same seller. Raises NotImported."""
    if known is not None and known.pk != row.connection_id:
        raise NotImported("import_connected_meanwhile")
    if grant is None or not grant.is_living:
        return
    if not is_proved:
        raise NotImported("import_seller_unproved")
    if not is_newer(row.consented_on, grant.authorized_at, is_dated=grant.is_consent_dated):
        raise NotImported("import_kept_better")


def _asked_row(known: Connection | None) -> Connection | None:
    """A removed one comes back when its seller is connected by way of another row."""
    return known if known is not None and known.removed_at is None else None


def _row_for(row: ImportedToken, user: User) -> Connection:
    """A row that waits for this consent, else a new one. Raises NotImported."""
    rows = Connection.objects.for_organization(row.organization_id).filter(
        selling_partner_id=None, region=row.region
    )
    expecting = rows.filter(expected_selling_partner_id=row.selling_partner_id)
    of_this_name = rows.filter(name__iexact=row.name, expected_selling_partner_id="")
    found: Connection | None = expecting.first() or of_this_name.first()
    if found is not None:
        return found
    try:
        return services.create_connection(
            organization=Organization(pk=row.organization_id),
            name=row.name,
            marketplace_id=row.marketplace_id,
            actor=Actor.person(user),
        )
    except services.NameTaken:
        raise NotImported("import_name_taken") from None


def _date_the_consent(holder: Connection, row: ImportedToken) -> SpApiGrant:
    """The day of the file; without one only the latest possible moment is known."""
    now = timezone.now()
    given_at: datetime = moment_of(row.consented_on) if row.consented_on else now
    grants = SpApiGrant.objects.for_organization(holder.organization_id).filter(connection=holder)
    grants.update(
        authorized_at=given_at, imported_at=now, is_consent_dated=row.consented_on is not None
    )
    grant: SpApiGrant = grants.select_related("connection").get()
    return grant
