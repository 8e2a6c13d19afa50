"""A table of an agency's clients and their stores: its columns, and what each row of it means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from connections.authorization import is_seller_id
from connections.forms import NameField
from connections.grouping_models import Client, Tagging
from connections.models import Connection
from connections.places import place_of
from connections.token_table import SELLER_LENGTH, cleaned_name, place_problem
from connections.uploaded_tables import Column, Record, read_table
from sellerlegend.amazon.http import clean_text

# The second titles are those of our own export.
COLUMNS = (
    Column("client", (_("Client name"), _("Client")), ("customer",), is_required=True),
    Column("contact", (_("Contact name"), _("Contact"))),
    Column(
        "mail",
        (_("Contact mail"), _("Contact's email address")),
        ("contact email", "contact e mail", "email", "e mail", "mail"),
    ),
    Column("store", (_("Store name"), _("Name"), _("Store")), ("account name", "account")),
    Column("marketplace", (_("Marketplace"),), ("country",)),
    Column("region", (_("Region"),)),
    Column("seller", (_("Seller ID"),), ("selling partner id", "merchant token", "merchant id")),
    Column("tags", (_("Tags"),), ("tag",)),
)
CLIENT_LENGTH, CONTACT_LENGTH, MAIL_LENGTH, TAG_LENGTH = 80, 150, 254, 40
MOST_TAGS = 10
TAG_SEPARATORS = re.compile(r"[,;|]")


@dataclass(frozen=True)
class Line:
    """One row of the file, as it is kept. `problem`: a key of `import_words.PROBLEMS`.

    `plan`: `create` a row that waits for its consent, `assign` the row `connection` to the client,
    or only give it `tags`, or leave it `as_it_is`; or only add the `client`, which a
    `known_client` is already. `outcome` is what was carried out.
    """

    line: int
    client: str
    contact: str = ""
    mail: str = ""
    store: str = ""
    region: str = ""
    marketplace_id: str = ""
    seller: str = ""
    tags: tuple[str, ...] = field(default=())
    problem: str = ""
    plan: str = ""
    connection: str = ""
    # Who is asked instead, where the client has, or an earlier row gave it, another address.
    kept_contact: str = ""
    # The client that is there had no address, and gets that of the file.
    sets_contact: bool = False
    outcome: str = ""

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Line:
        """Also of one that an older release kept."""
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        return cls(**(known | {"tags": tuple(stored["tags"])}))

    @property
    def is_of_a_store(self) -> bool:
        return bool(self.store or self.seller)

    def refused(self, problem: str) -> Line:
        return replace(self, problem=problem, plan="")


@dataclass(frozen=True)
class Group:
    """What the organization has, to compare with: its rows with the names of their tags, and its
    clients; names in lower case."""

    rows: tuple[Connection, ...]
    tags: dict[UUID, set[str]]
    clients: dict[str, Client]


def group_of(organization_id: UUID) -> Group:
    clients = Client.objects.for_organization(organization_id)
    rows = Connection.objects.for_organization(organization_id)
    taggings = Tagging.objects.for_organization(organization_id)
    tags: dict[UUID, set[str]] = {}
    for row, name in taggings.values_list("connection_id", "tag__name"):
        tags.setdefault(row, set()).add(name.lower())
    return Group(tuple(rows), tags, {client.name.lower(): client for client in clients})


def checked_list(data: bytes, organization_id: UUID) -> list[Line]:
    """Every row of the file with its plan, or its problem. Raises TableRefused."""
    group = group_of(organization_id)
    read = without_twins(map(checked, read_table(data, COLUMNS)))
    return planned_in_order(read, group)


# One row by itself -------------------------------------------------------------------------


def checked(record: Record) -> Line:
    # Who corrects the file finds a row that is left out by its store.
    store, _problem = cleaned_name(record["store"])
    line = with_client(Line(record.line, "", store=store), record)
    line = line if line.problem else with_tags(line, record["tags"])
    is_bare = not any(record[key] for key in ("store", "marketplace", "region", "seller"))
    return line if line.problem or is_bare else with_store(line, record)


def with_client(line: Line, record: Record) -> Line:
    text = record["client"]
    if len(text) > CLIENT_LENGTH:
        return replace(line, client=text[:CLIENT_LENGTH]).refused("client_too_long")
    try:
        line = replace(line, client=NameField().clean(text))
    except ValidationError:
        return line.refused("client_missing")
    if len(record["contact"]) > CONTACT_LENGTH:
        return line.refused("contact_too_long")
    line = replace(line, contact=clean_text(record["contact"], CONTACT_LENGTH))
    mail = record["mail"]
    if mail:
        try:
            validate_email(mail)
        except ValidationError:
            return line.refused("mail_malformed")
    return line.refused("mail_malformed") if len(mail) > MAIL_LENGTH else replace(line, mail=mail)


def with_tags(line: Line, text: str) -> Line:
    wanted: dict[str, str] = {}
    for part in TAG_SEPARATORS.split(text):
        name = clean_text(part, len(part) + 1)
        if len(name) > TAG_LENGTH:
            return line.refused("tag_too_long")
        if name:
            wanted.setdefault(name.lower(), name)
    if len(wanted) > MOST_TAGS:
        return line.refused("too_many_tags")
    return replace(line, tags=tuple(wanted.values()))


def with_store(line: Line, record: Record) -> Line:
    name, problem = cleaned_name(record["store"])
    line = replace(line, store=name)
    # A seller that is here already has its name: `planned` looks.
    if problem and not (problem == "name_missing" and record["seller"]):
        return line.refused(problem)
    place = place_of(record["region"], record["marketplace"])
    if place is None:
        return line.refused(place_problem(record["region"], record["marketplace"]))
    seller = record["seller"]
    line = replace(line, region=place.region.value, marketplace_id=place.marketplace_id)
    if seller and not is_seller_id(seller):
        return line.refused("seller_malformed")
    return replace(line, seller=seller[:SELLER_LENGTH])


# Among the others --------------------------------------------------------------------------


def without_twins(lines: Iterable[Line]) -> list[Line]:
    """A store stands in one row of the file; a client may stand in many. Of rows that are the same
    in all, the first one counts."""
    found = without_repetitions(lines)
    good = [line for line in found if not line.problem]
    names = Counter(line.store.lower() for line in good if line.store)
    sellers = Counter((line.seller, line.region) for line in good if line.seller)

    def judged(line: Line) -> Line:
        if line.problem:
            return line
        if line.seller and sellers[line.seller, line.region] > 1:
            return line.refused("twice_in_the_file")
        return line.refused("name_twice") if names[line.store.lower()] > 1 else line

    return [judged(line) for line in found]


def without_repetitions(lines: Iterable[Line]) -> list[Line]:
    found: list[Line] = []
    seen: set[Line] = set()
    for line in lines:
        said = as_compared(line)
        is_again = line.is_of_a_store and not line.problem and said in seen
        seen.add(said)
        found.append(line.refused("said_before") if is_again else line)
    return found


def as_compared(line: Line) -> Line:
    """Names, addresses and tags are the same in capitals."""
    return replace(
        line,
        line=0,
        client=line.client.lower(),
        contact=line.contact.lower(),
        mail=line.mail.lower(),
        store=line.store.lower(),
        tags=tuple(sorted(tag.lower() for tag in line.tags)),
    )


def planned_in_order(lines: Iterable[Line], group: Group) -> list[Line]:
    """Of rows of one client the first that names an address says who is asked for all of them."""
    contacts = {name: client.contact_email for name, client in group.clients.items()}
    found = []
    for line in lines:
        key = line.client.lower()
        plan = planned(line, group, contacts.get(key, ""))
        if not plan.problem:
            contacts[key] = contacts.get(key) or line.mail
        found.append(plan)
    return found


def planned(line: Line, group: Group, contact: str) -> Line:
    """Compared with what the organization has: at the look, and again at the confirmation.
    `contact`: the address that the client has by then."""
    if line.problem:
        return line
    client = group.clients.get(line.client.lower())
    is_other = bool(line.mail and contact) and contact.lower() != line.mail.lower()
    is_new = bool(client is not None and line.mail and not contact)
    line = replace(line, kept_contact=contact if is_other else "", sets_contact=is_new)
    if not line.is_of_a_store:
        return replace(line, plan="client" if client is None else "known_client")
    row, problem = row_meant(line, group.rows)
    if problem:
        return line.refused(problem)
    if row is None:
        return replace(line, plan="create") if line.store else line.refused("name_missing")
    if row.client_id is not None and (client is None or row.client_id != client.pk):
        return line.refused("other_client")
    plan = plan_for(line, row, group.tags.get(row.pk, set()))
    return replace(line, plan=plan, connection=str(row.pk), store=line.store or row.name)


def plan_for(line: Line, row: Connection, its_tags: set[str]) -> str:
    if row.client_id is None:
        return "assign"
    return "as_it_is" if {name.lower() for name in line.tags} <= its_tags else "tag"


def row_meant(line: Line, rows: Iterable[Connection]) -> tuple[Connection | None, str]:
    """The row of this seller, else of this name; and the problem, if the name is of another."""
    named: Connection | None = None
    for row in rows:
        seller = row.selling_partner_id or row.expected_selling_partner_id
        if line.seller and (seller, row.region) == (line.seller, line.region):
            return row, ""
        if line.store and row.name.lower() == line.store.lower():
            named = row
    if named is None:
        return None, ""
    if named.region != line.region:
        return None, "place_differs"
    seller = named.selling_partner_id or named.expected_selling_partner_id
    return (None, "name_taken") if line.seller and seller and seller != line.seller else (named, "")
