"""Clients of an agency and their stores from a file: looked at, then confirmed all at once.

Creates the clients, a row that waits for its consent for each new store, and assigns the rows that
are there. Whom to ask for the consents is known then: `confirm` returns what it did, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from connections import revisions, services
from connections.client_table import Group, Line, group_of, planned_in_order
from connections.grouping_models import Client, Tag, Tagging
from connections.import_models import ClientList
from connections.models import Connection
from sellerlegend.organizations.audit import Actor, record_event, record_events
from sellerlegend.organizations.models import Organization


@dataclass(frozen=True)
class Result:
    """One row of the file that was carried out. `connection` is None for a client without a store;
    `is_new`: it was created, and waits for its consent."""

    line: int
    client: Client
    connection: Connection | None = None
    is_new: bool = False


def keep(*, organization: Organization, lines: list[Line], actor: Actor) -> ClientList:
    lists = ClientList.objects.for_organization(organization)
    kept: ClientList = lists.create(created_by=actor.user, lines=[asdict(each) for each in lines])
    return kept


def lines_of(client_list: ClientList) -> list[Line]:
    return [Line.from_json(stored) for stored in client_list.lines]


def confirm(*, client_list: ClientList, actor: Actor) -> list[Result]:
    """Carry out what is still possible, in one transaction, and note it in the list. Doing it
    twice does nothing: the second time returns no results."""
    organization_id = client_list.organization_id
    with transaction.atomic():
        revisions.lock_list(organization_id)
        lists = ClientList.objects.for_organization(organization_id)
        fresh = lists.filter(pk=client_list.pk, confirmed_at=None)
        if not fresh.update(confirmed_at=timezone.now(), created_by=actor.user):
            return []
        group = group_of(organization_id)
        lines = planned_in_order(lines_of(client_list), group)
        good = [line for line in lines if not line.problem]
        clients = _clients(good, group, organization_id)
        results = [_carry_out(line, clients[line.client.lower()], group, actor) for line in good]
        _give_tags(good, results, organization_id)
        _note(client_list, lines, results, actor)
    return results


def _clients(lines: Iterable[Line], group: Group, organization_id: UUID) -> dict[str, Client]:
    """By name in lower case: those that are there, their empty contacts filled, and new ones."""
    clients = dict(group.clients)
    rows = Client.objects.for_organization(organization_id)
    for line in lines:
        key = line.client.lower()
        client = clients.get(key)
        if client is None:
            clients[key] = rows.create(
                name=line.client, contact_name=line.contact, contact_email=line.mail
            )
        elif not client.contact_email and (line.mail or line.contact):
            # An address brings its own name along: nobody is greeted as somebody else.
            brought = line.contact if line.mail else ""
            client.contact_email = line.mail
            client.contact_name = brought or client.contact_name or line.contact
            client.save(update_fields=["contact_email", "contact_name"])
    return clients


def _carry_out(line: Line, client: Client, group: Group, actor: Actor) -> Result:
    if line.plan in ("client", "known_client"):
        return Result(line.line, client)
    if line.plan == "create":
        row = services.create_connection(
            organization=Organization(pk=client.organization_id),
            name=line.store,
            marketplace_id=line.marketplace_id,
            actor=actor,
            expected_selling_partner_id=line.seller,
        )
        return Result(line.line, client, row, is_new=True)
    known = next(row for row in group.rows if str(row.pk) == line.connection)
    return Result(line.line, client, known)


def _give_tags(lines: list[Line], results: list[Result], organization_id: UUID) -> None:
    tags = Tag.objects.for_organization(organization_id)
    known = {tag.name.lower(): tag for tag in tags}
    for name in [name for line in lines if line.store for name in line.tags]:
        if name.lower() not in known:
            known[name.lower()] = tags.create(name=name)
    taggings = [
        Tagging(organization_id=organization_id, connection=result.connection, tag=known[key])
        for line, result in zip(lines, results, strict=True)
        if result.connection is not None
        for key in {name.lower() for name in line.tags}
    ]
    Tagging.objects.for_organization(organization_id).bulk_create(taggings, ignore_conflicts=True)


def _note(client_list: ClientList, lines: list[Line], results: list[Result], actor: Actor) -> None:
    """The rows show their client, the list its results, the record who did it."""
    organization_id = client_list.organization_id
    by_client: dict[UUID, list[Connection]] = {}
    plans = {line.line: line.plan for line in lines}
    for result in results:
        if result.connection is not None and plans[result.line] != "as_it_is":
            by_client.setdefault(result.client.pk, []).append(result.connection)
    for client_id, rows in by_client.items():
        revisions.show(organization_id, [row.pk for row in rows], client_id=client_id)
        record_events("connection_grouped", actor=actor, subjects=rows)
    done = {result.line: result for result in results}
    client_list.lines = [asdict(_with_result(line, done.get(line.line))) for line in lines]
    lists = ClientList.objects.for_organization(organization_id)
    lists.filter(pk=client_list.pk).update(lines=client_list.lines)
    record_event(
        "client_list_confirmed",
        actor=actor,
        organization=Organization(pk=organization_id),
        created=sum(result.is_new for result in results),
        rows=len(results),
    )


def _with_result(line: Line, result: Result | None) -> Line:
    if result is None:
        return line
    row = str(result.connection.pk) if result.connection else ""
    return replace(line, outcome=line.plan, connection=row)


def discard(client_list: ClientList) -> bool:
    """Only one that nobody confirmed: results stay readable."""
    lists = ClientList.objects.for_organization(client_list.organization_id)
    gone, _by_table = lists.filter(pk=client_list.pk, confirmed_at=None).delete()
    return bool(gone)
