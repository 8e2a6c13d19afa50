"""*Send the rest as links*: a queue's rows are handed to clients, and come back."""

from __future__ import annotations

import re
import smtplib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import client_links
from connections.client_link_batches import prospects_of
from connections.client_link_models import ClientLink
from connections.grouping_models import Client as StoresOwner
from connections.models import Connection, SpApiGrant
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_rows import candidates
from connections.queue_walk import queued_statuses
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import Membership, Organization, Role, User
from tests import client_trips, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.client_trips import Asked
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

Status = ReconnectItem.Status
SELLERS = {"Aspen": "A1NORTHSTAR001", "Birch": "A2BLUEHARBOR02", "Cedar": "A3CEDAR0000003"}
WORDS = {"language": "en", "message": "Please renew.", "days": "14"}


@pytest.fixture
def rows(organization: Organization) -> list[Connection]:
    """Three stores; the first has a client with an address."""
    found = [
        factories.make_connection(organization, name=name, seller=seller)
        for name, seller in SELLERS.items()
    ]
    grants = SpApiGrant.objects.for_organization(organization)
    grants.update(authorized_at=timezone.now() - timedelta(days=180))
    clients = StoresOwner.objects.for_organization(organization)
    found[0].client = clients.create(
        name="Maria Ltd", contact_name="Maria", contact_email="maria@client.example"
    )
    found[0].save()
    return found


@pytest.fixture
def desk(member: User) -> Client:
    return signed_in_freshly(member)


def path(name: str, organization: Organization) -> str:
    return reverse(name, args=[organization.slug])


def fill(desk: Client, organization: Organization, rows: list[Connection]) -> ReconnectQueue:
    ids = [str(row.pk) for row in rows]
    assert desk.post(path("reconnect_queue_add", organization), {"row": ids}).status_code == 303
    queue: ReconnectQueue = ReconnectQueue.objects.for_organization(organization).latest(
        "created_at"
    )
    return queue


@pytest.fixture
def queue(desk: Client, organization: Organization, rows: list[Connection]) -> ReconnectQueue:
    return fill(desk, organization, rows)


def send_url(queue: ReconnectQueue) -> str:
    return f"{path('reconnect_queue_send', queue.organization)}?queue={queue.pk}"


def form_of(desk: Client, queue: ReconnectQueue) -> dict[str, Any]:
    """What a browser sends when nothing is unticked."""
    page = desk.get(send_url(queue))
    fields: dict[str, Any] = {"row": [], "since": page.context["form"].initial["since"]}
    for one in page.context["prospects"]:
        fields["row"].append(str(one.id))
        fields[f"to-{one.id}"] = one.email
    return fields | WORDS


def send(desk: Client, queue: ReconnectQueue, **changes: Any) -> list[tuple[str, str]]:
    return results(desk.post(send_url(queue), form_of(desk, queue) | changes))


def results(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.content
    return [(line.name, line.sign.word) for line in answer.context["lines"]]


def states(queue: ReconnectQueue) -> dict[str, str]:
    items = ReconnectItem.objects.for_organization(queue.organization_id).filter(queue=queue)
    return dict(items.values_list("connection__name", "status"))


def told(desk: Client, queue: ReconnectQueue) -> dict[str, str]:
    page = desk.get(f"{path('reconnect_queue', queue.organization)}?queue={queue.pk}")
    return {line.name: line.sign.word for line in page.context["lines"]}


def links() -> list[ClientLink]:
    return list(ClientLink._base_manager.select_related("connection").order_by("created_at"))


def item_of(row: Connection) -> ReconnectItem:
    found: ReconnectItem = ReconnectItem._base_manager.get(connection=row)
    return found


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


# The way -----------------------------------------------------------------------------------


def test_the_question_lists_each_row_with_its_address(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    client_trips.ask(rows[1], recipient=client_links.Recipient("Bob", "bob@client.example"))

    with nothing_changes(amazon, events=()):
        page = desk.get(send_url(queue))

    shown = [(one.connection.name, one.email) for one in page.context["prospects"]]
    assert shown == [
        ("Aspen", "maria@client.example"),
        ("Birch", "bob@client.example"),
        ("Cedar", ""),
    ]
    text = text_of(page)
    assert "No address is known: type one, or copy the link." in text
    assert "Asked Bob on" in text
    assert "No second link is made." in text
    assert send_url(queue) in text_of(desk.get(path("reconnect_queue", queue.organization)))


def test_one_link_for_each_row_and_one_mail_for_each_address(
    desk: Client, queue: ReconnectQueue, rows: list[Connection], member: User
) -> None:
    answer = desk.post(send_url(queue), form_of(desk, queue))

    assert results(answer) == [
        ("Aspen", "The link is being sent"),
        ("Birch", "Copy the link"),
        ("Cedar", "Copy the link"),
    ]
    made = links()
    assert [link.connection.name for link in made] == ["Aspen", "Birch", "Cedar"]
    assert {link.made_by_id for link in made} == {member.pk}
    assert {link.message for link in made} == {"Please renew."}
    assert [(link.last_day - link.created_at.date()).days for link in made] == [14] * 3
    assert states(queue) == dict.fromkeys(SELLERS, "linked")
    [job] = Job._base_manager.filter(kind=client_links.MAIL)
    ledger.run(job.pk)
    assert [message.to for message in mail.outbox] == [["maria@client.example"]]
    urls = re.findall(r'value="[^"]*(/c/[\w-]{43})"', answer.content.decode())
    assert [Client().get(url).status_code for url in urls] == [200, 200]


def test_a_second_click_makes_nothing_twice(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    desk.post(send_url(queue), fields)
    before = [(link.pk, link.status) for link in links()]

    again = results(desk.post(send_url(queue), fields))

    assert [word for _name, word in again] == ["Has an open link already"] * 3
    assert [(link.pk, link.status) for link in links()] == before
    assert Job._base_manager.filter(kind=client_links.MAIL).count() == 1


def test_a_second_click_does_not_ask_again_who_declined_meanwhile(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    desk.post(send_url(queue), fields)
    first = ClientLink._base_manager.select_related("organization", "connection").get(
        connection=rows[0]
    )
    client_links.decline(link=first)

    again = dict(results(desk.post(send_url(queue), fields)))

    assert again["Aspen"] == "Was asked a moment ago"
    assert len(links()) == 3


def test_a_row_with_an_open_link_is_told_and_waited_for(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    earlier = client_trips.ask(rows[0])

    found = dict(send(desk, queue))

    assert found["Aspen"] == "Has an open link already"
    assert earlier.link.is_live
    assert ClientLink._base_manager.filter(connection=rows[0]).count() == 1
    assert states(queue)["Aspen"] == "linked"


def test_what_was_mailed_and_what_waits_for_a_hand_is_told_apart(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    answer = desk.post(send_url(queue), form_of(desk, queue))
    page = desk.get(path("reconnect_queue", queue.organization))

    result, summary = text_of(answer), text_of(page)
    assert "1 link goes out by mail." in result
    assert "2 links have no address: copy them here and hand them over." in result
    assert "0 of 3 settled, 1 sent as a link, 2 links to copy and hand over" in summary
    assert [(tally.count, tally.sign.word) for tally in page.context["tallies"]] == [
        (1, "Sent as link"),
        (2, "Link to copy and hand over"),
    ]
    way = f"{path('client_links', queue.organization)}?state=made"
    assert f'href="{way}"' in page.content.decode()
    waiting = [line.row for line in desk.get(way).context["lines"] if not line.link.recipient_email]
    assert sorted(waiting) == ["Birch (NA)", "Cedar (NA)"]


def test_links_to_copy_are_also_one_table_in_which_no_name_is_a_formula(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    formula = '=HYPERLINK("https://evil")'
    Connection._base_manager.filter(pk=rows[1].pk).update(name=formula)

    answer = desk.post(send_url(queue), form_of(desk, queue))

    urls = {line.name: line.url for line in answer.context["lines"] if line.url}
    birch, cedar = (f"{row.selling_partner_id} {row.region}" for row in rows[1:3])
    assert answer.context["table"].split("\n") == [
        f"'{formula}\t{birch}\t{urls[formula]}",
        f"Cedar\t{cedar}\t{urls['Cedar']}",
    ]
    assert "All links to copy, as a table" in text_of(answer)


def test_one_link_to_copy_is_no_table(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    fields["row"] = fields["row"][:2]

    answer = desk.post(send_url(queue), fields)

    assert [bool(line.url) for line in answer.context["lines"]] == [False, True]
    assert answer.context["table"] == ""


def test_a_link_without_an_address_is_handed_over_once_it_was_opened(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    answer = desk.post(send_url(queue), form_of(desk, queue))
    url = next(line.url for line in answer.context["lines"] if line.name == "Birch")

    Client().get(url[url.index("/c/") :])

    assert told(desk, queue)["Birch"] == "Sent as link"
    assert told(desk, queue)["Cedar"] == "Link to copy and hand over"


def test_the_queue_hears_when_the_client_consents(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    answer = desk.post(send_url(queue), form_of(desk, queue))
    url = next(line.url for line in answer.context["lines"] if line.name == "Birch")
    birch = Asked(url[url.index("/c/") :], ClientLink._base_manager.get(connection=rows[1]).pk)
    waiting = told(desk, queue)

    client_trips.whole_trip(Client(), birch, SELLERS["Birch"])

    by_hand = "Link to copy and hand over"
    assert waiting == {"Aspen": "Sent as link", "Birch": by_hand, "Cedar": by_hand}
    assert told(desk, queue) == {
        "Aspen": "Sent as link",
        "Birch": "Reconnected",
        "Cedar": by_hand,
    }
    add_url = path("reconnect_queue_add", queue.organization)
    asked = desk.get(add_url, {"row": [str(row.pk) for row in rows]})
    assert [(one.name, one.obstacle) for one in asked.context["unable"]] == [
        ("Aspen", "queued"),
        ("Birch", "renewed"),
        ("Cedar", "queued"),
    ]
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        membership = Membership.objects.for_organization(queue.organization).get(user=queue.user)
        [again] = candidates(membership, [rows[1].pk], queued_statuses(queue))
        assert again.obstacle_words.startswith("Its turn in your queue is over.")
    page = text_of(desk.get(path("reconnect_queue", queue.organization)))
    assert "1 of 3 settled, 1 sent as a link, 1 link to copy and hand over" in page
    assert "Nothing is left to walk: clients are asked" in page


def test_a_link_that_expires_brings_the_row_back(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    send(desk, queue)

    with time_machine.travel(timezone.now() + timedelta(days=16), tick=False):
        desk = signed_in_freshly(queue.user)
        overdue = told(desk, queue)
        client_links.end_overdue()
        ended = told(desk, queue)
        page = desk.get(path("reconnect_queue", queue.organization))
        desk.post(path("reconnect_queue_skip", queue.organization), {"item": item_of(rows[0]).pk})

    assert overdue == ended == dict.fromkeys(SELLERS, "Not reconnected")
    assert page.context["turn"].name == "Aspen"
    assert page.context["turn"].result.title == "The client's link has expired"
    items = ReconnectItem._base_manager.values_list("connection__name", "status", "cause")
    assert sorted(items) == [
        ("Aspen", "skipped", ""),
        ("Birch", "failed", "link_expired"),
        ("Cedar", "failed", "link_expired"),
    ]


def test_who_declines_and_what_is_ended_is_told_as_that(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    send(desk, queue)
    whole = ClientLink._base_manager.select_related("organization", "connection")
    client_links.decline(link=whole.get(connection=rows[0]))
    client_links.revoke(link=whole.get(connection=rows[1]), actor=COMMAND)

    page = desk.get(path("reconnect_queue", queue.organization))

    notes = {line.name: line.note for line in page.context["lines"]}
    assert notes["Aspen"] == "The client declined"
    assert notes["Birch"] == "The client's link was ended"
    assert notes["Cedar"].startswith("A link for the client was made on")


def test_a_link_that_was_asked_again_is_waited_for(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    send(desk, queue)
    link = ClientLink._base_manager.select_related("organization", "connection").get(
        connection=rows[0]
    )

    client_links.make_again(link=link, actor=COMMAND)

    assert told(desk, queue)["Aspen"] == "Sent as link"


def test_who_was_skipped_on_purpose_is_ticked_by_hand(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    """Also once the queue is finished, where what was not walked is ticked."""
    desk.post(path("reconnect_queue_skip", queue.organization), {"item": item_of(rows[0]).pk})

    for _again in range(2):
        page = desk.get(send_url(queue))
        ticked = [(one.connection.name, one.is_ticked) for one in page.context["prospects"]]
        assert ticked == [("Aspen", False), ("Birch", True), ("Cedar", True)]
        assert text_of(page).count("You skipped it in the queue.") == 1
        desk.post(path("reconnect_queue_finish", queue.organization))


def test_skipped_rows_of_a_finished_queue_are_sent_too(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    desk.post(path("reconnect_queue_finish", queue.organization))

    found = send(desk, queue)

    assert len(found) == 3
    assert states(queue) == dict.fromkeys(SELLERS, "linked")
    queue.refresh_from_db()
    assert queue.status == "finished"


def test_one_walks_oneself_what_a_client_does_not_answer(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    send(desk, queue)

    desk.post(path("reconnect_queue_take_up", queue.organization), {"item": item_of(rows[1]).pk})

    assert states(queue) == {"Aspen": "linked", "Birch": "waiting", "Cedar": "linked"}


def test_an_address_that_changed_since_it_was_shown_gets_nothing(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    StoresOwner._base_manager.update(contact_email="somebody@else.example")

    found = dict(results(desk.post(send_url(queue), fields)))

    assert found["Aspen"] == "The address has changed: look again"
    assert [link.connection.name for link in links()] == ["Birch", "Cedar"]
    assert states(queue)["Aspen"] == "waiting"


def mail_job() -> Job:
    found: Job = Job._base_manager.get(kind=client_links.MAIL_IN_TURN)
    return found


def test_a_mail_that_is_one_too_many_goes_out_by_itself_in_its_turn(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        use_up_the_mails_to("maria@client.example", queue.organization)

        found = dict(send(signed_in_freshly(queue.user), queue))

        assert found["Aspen"] == "Its mail waits for its turn and goes out by itself"
        assert states(queue) == dict.fromkeys(SELLERS, "linked")
        ledger.run(mail_job().pk)
        job = mail_job()
        assert (job.status, job.waiting_reason, job.attempts) == ("waiting", "mail_limit", 0)
        wait = (job.next_attempt_at - now).total_seconds()
        assert wait == pytest.approx(client_links.MAIL_TO_ADDRESS.seconds, abs=1)
        assert mail.outbox == []
        assert links()[0].status == "made"

    with time_machine.travel(now + timedelta(seconds=wait + 1), tick=False):
        assert ledger.run(mail_job().pk)
        assert [message.to for message in mail.outbox] == [["maria@client.example"]]
        assert mail_job().status == "done"
        # It has used up the one that came free.
        assert client_links.wait_for_mail(queue.organization_id, "maria@client.example") > 0


def use_up_the_mails_to(address: str, organization: Organization) -> None:
    for _ in range(client_links.MAIL_TO_ADDRESS.burst):
        assert client_links.wait_for_mail(organization.pk, address) == 0.0


def test_a_mail_in_its_turn_asks_the_limits_once(
    desk: Client, queue: ReconnectQueue, rows: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that is away costs no second one."""
    now = timezone.now()
    send_mail = EmailMultiAlternatives.send

    def away(_message: Any, **_options: Any) -> int:
        raise ConnectionRefusedError

    with time_machine.travel(now, tick=False):
        use_up_the_mails_to("maria@client.example", queue.organization)
        send(signed_in_freshly(queue.user), queue)
    monkeypatch.setattr(EmailMultiAlternatives, "send", away)
    later = now + timedelta(seconds=client_links.MAIL_TO_ADDRESS.seconds + 1)
    with time_machine.travel(later, tick=False):
        assert ledger.run(mail_job().pk)
        assert mail_job().waiting_reason == "mail_server_away"
        monkeypatch.setattr(EmailMultiAlternatives, "send", send_mail)
        Job._base_manager.update(next_attempt_at=later)
        assert ledger.run(mail_job().pk)

    assert len(mail.outbox) == 1


def test_a_mail_in_its_turn_is_not_sent_for_links_that_ended(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    use_up_the_mails_to("maria@client.example", queue.organization)
    send(desk, queue)
    [link] = ClientLink._base_manager.filter(connection=rows[0])
    client_links.revoke(link=link, actor=COMMAND)

    assert ledger.run(mail_job().pk)

    assert mail_job().status == "done"
    assert mail.outbox == []


# An address that is typed --------------------------------------------------------------------


def address_of(row: Connection) -> str:
    return f"address-{row.pk}"


def test_an_address_is_typed_where_none_is_known(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    page = text_of(desk.get(send_url(queue)))

    assert address_of(rows[0]) not in page
    for row in rows[1:]:
        assert f'<label for="id_{address_of(row)}"> Email address for {row.name} ' in page
        assert f'type="email" name="{address_of(row)}"' in page


def test_a_typed_address_is_mailed_and_known_from_then_on(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue) | {address_of(rows[1]): " bob@client.example "}

    found = results(desk.post(send_url(queue), fields))
    again = results(desk.post(send_url(queue), fields))

    assert found == [
        ("Aspen", "The link is being sent"),
        ("Birch", "The link is being sent"),
        ("Cedar", "Copy the link"),
    ]
    assert [word for _name, word in again] == ["Has an open link already"] * 3
    assert [(link.connection.name, link.recipient_email) for link in links()] == [
        ("Aspen", "maria@client.example"),
        ("Birch", "bob@client.example"),
        ("Cedar", ""),
    ]
    run_mails()
    assert sorted(message.to for message in mail.outbox) == [
        ["bob@client.example"],
        ["maria@client.example"],
    ]
    client_links.revoke(link=links()[1], actor=COMMAND)
    known = {one.connection.name: one.email for one in prospects_of(queue.organization_id, rows)}
    assert known["Birch"] == "bob@client.example"


def test_rows_of_one_typed_address_share_a_mail(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    typed = {address_of(row): "maria@client.example" for row in rows[1:]}

    send(desk, queue, **typed)

    [message] = run_mails()
    assert message.to == ["maria@client.example"]
    assert [name for name in SELLERS if name in str(message.body)] == list(SELLERS)


def test_a_malformed_address_is_told_in_its_row_and_nothing_is_made(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    fields |= {address_of(rows[1]): "bob", address_of(rows[2]): "cleo@client.example"}

    with nothing_changes(amazon, events=()):
        wrong = desk.post(send_url(queue), fields)
        other = desk.post(send_url(queue), fields | {address_of(rows[1]): "", "days": "99"})

    assert (wrong.status_code, other.status_code) == (422, 422)
    told = text_of(wrong)
    birch = told.index(f'name="{address_of(rows[1])}"')
    assert birch < told.index("Enter a valid email address.") < told.index(address_of(rows[2]))
    assert 'value="bob"' in told
    assert 'value="cleo@client.example"' in told
    assert 'value="cleo@client.example"' in text_of(other)


def test_a_typed_address_does_not_overrule_one_that_came_meanwhile(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue) | {address_of(rows[1]): "bob@client.example"}
    Connection._base_manager.filter(pk=rows[1].pk).update(client=rows[0].client)

    found = dict(results(desk.post(send_url(queue), fields)))

    assert found["Birch"] == "The address has changed: look again"
    assert [link.connection.name for link in links()] == ["Aspen", "Cedar"]


def test_typed_addresses_are_there_again_after_the_proof(
    queue: ReconnectQueue, rows: list[Connection]
) -> None:
    old = signed_in_long_ago(queue.user)
    fields = form_of(old, queue) | {address_of(rows[1]): "bob@client.example"}

    asked = old.post(send_url(queue), fields)
    old.post(asked.headers["Location"], {"password": factories.PASSWORD})

    assert 'value="bob@client.example"' in text_of(old.get(send_url(queue)))
    assert links() == []


@pytest.mark.parametrize(("tick", "expected"), [("all", True), ("none", False)])
def test_all_or_none_are_ticked_and_what_was_typed_is_kept(
    tick: str,
    expected: bool,
    amazon: RunningEmulator,
    desk: Client,
    queue: ReconnectQueue,
    rows: list[Connection],
) -> None:
    typed = form_of(desk, queue) | {address_of(rows[1]): "bob", "message": "Two minutes."}
    typed["row"] = [str(rows[0].pk)]

    with nothing_changes(amazon, events=()):
        ticked = desk.post(send_url(queue), typed | {"tick": tick})

    assert ticked.status_code == 200
    assert [one.is_ticked for one in ticked.context["prospects"]] == [expected] * 3
    assert text_of(ticked).count("checked>") == 3 * expected
    assert 'value="bob"' in text_of(ticked)
    assert "Two minutes." in text_of(ticked)
    assert "aria-invalid" not in text_of(ticked)  # nothing was sent yet


def test_a_malformed_address_beside_a_row_without_a_tick_stops_no_other(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    typed = form_of(desk, queue) | {address_of(rows[1]): "bob"}
    typed["row"] = [str(rows[0].pk)]

    made = desk.post(send_url(queue), typed)

    assert made.status_code == 200
    assert [link.connection.name for link in links()] == ["Aspen"]


# One mail ----------------------------------------------------------------------------------


@pytest.fixture
def one_client(rows: list[Connection]) -> None:
    """All three stores belong to Maria; her address is written in two ways."""
    Connection._base_manager.filter(pk=rows[1].pk).update(client=rows[0].client)
    clients = StoresOwner.objects.for_organization(rows[0].organization)
    other = clients.create(
        name="Maria EU", contact_name="Maria", contact_email="Maria@Client.example"
    )
    Connection._base_manager.filter(pk=rows[2].pk).update(client=other, region="EU")


def run_mails() -> list[EmailMultiAlternatives]:
    for job in Job._base_manager.filter(kind=client_links.MAIL, status__in=Job.LIVE):
        Job._base_manager.filter(pk=job.pk).update(next_attempt_at=timezone.now())
        ledger.run(job.pk)
    return [message for message in mail.outbox if isinstance(message, EmailMultiAlternatives)]


def paths_in(text: str) -> list[str]:
    return re.findall(r"/c/[\w-]{43}", text)


def test_a_client_with_several_stores_gets_one_mail_with_a_link_for_each(
    desk: Client, queue: ReconnectQueue, one_client: None, member: User
) -> None:
    found = send(desk, queue)
    [message] = run_mails()

    assert found == [(name, "The link is being sent") for name in SELLERS]
    assert message.to == ["maria@client.example"]
    assert message.reply_to == [member.email]
    assert message.subject == "Northstar Trading asks for your Amazon consent for 3 stores"
    text, html = str(message.body), str(message.alternatives[0][0])
    assert text.startswith("Hello Maria,\n")
    assert "Please renew." in text
    assert "Please renew." in html
    assert re.findall(r"^(\w+ \(.*\)): .* (\S+)$", text, re.MULTILINE) == [
        ("Aspen (North America)", "A1N…001"),
        ("Birch (North America)", "A2B…R02"),
        ("Cedar (Europe)", "A3C…003"),
    ]
    tokens = [path.removeprefix("/c/") for path in paths_in(text)]
    made = links()
    assert [client_links.token_of(link).reveal() for link in made] == tokens
    assert paths_in(html) == paths_in(text)
    assert [(link.status, link.sent_at is not None) for link in made] == [("sent", True)] * 3
    assert len({link.last_day for link in made}) == 1
    assert run_mails() == [message]


def test_each_link_of_a_mail_is_followed_and_ended_by_itself(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, one_client: None
) -> None:
    send(desk, queue)
    [message] = run_mails()
    aspen, birch, cedar = paths_in(str(message.body))
    first, second, _third = links()

    client_links.revoke(
        link=ClientLink._base_manager.select_related("organization", "connection").get(
            pk=second.pk
        ),
        actor=COMMAND,
    )
    client_trips.whole_trip(Client(), Asked(aspen, first.pk), SELLERS["Aspen"])

    assert [Client().get(path).status_code for path in (aspen, birch, cedar)] == [410, 410, 200]
    assert [link.status for link in links()] == ["consented", "revoked", "opened"]


def test_a_link_that_ended_before_the_mail_is_left_out_of_it(
    desk: Client, queue: ReconnectQueue, one_client: None, rows: list[Connection]
) -> None:
    send(desk, queue)
    client_links.revoke(link=ClientLink._base_manager.get(connection=rows[0]), actor=COMMAND)
    removing_of(rows[1])

    [message] = run_mails()

    assert message.subject == "Northstar Trading asks you to renew the Amazon consent of Cedar"
    assert len(paths_in(str(message.body))) == 1
    assert "Aspen" not in str(message.body)
    assert [link.status for link in links()] == ["revoked", "made", "sent"]


def test_a_mail_of_many_links_counts_once(
    desk: Client, queue: ReconnectQueue, one_client: None
) -> None:
    for _ in range(client_links.MAIL_TO_ADDRESS.burst - 2):
        client_links.wait_for_mail(queue.organization_id, "maria@client.example")

    found = send(desk, queue)

    assert [word for _name, word in found] == ["The link is being sent"] * 3
    assert client_links.wait_for_mail(queue.organization_id, "maria@client.example") == 0.0
    assert client_links.wait_for_mail(queue.organization_id, "maria@client.example") > 0.0


def test_a_mail_that_is_refused_for_good_is_told_of_each_of_its_links(
    desk: Client, queue: ReconnectQueue, one_client: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_message: Any, **_options: Any) -> int:
        raise smtplib.SMTPRecipientsRefused({"maria@client.example": (550, b"no such user")})

    send(desk, queue)
    before = revisions_of(queue.organization)
    monkeypatch.setattr(EmailMultiAlternatives, "send", refused)

    for _ in range(5):
        run_mails()

    assert [(link.status, link.failure) for link in links()] == [("failed", "mail_refused")] * 3
    assert all(
        now > then for now, then in zip(revisions_of(queue.organization), before, strict=True)
    )


def revisions_of(organization: Organization) -> list[int]:
    found = Connection.objects.for_organization(organization).order_by("name")
    return list(found.values_list("revision", flat=True))


def test_who_has_several_names_at_one_address_is_greeted_by_none(
    desk: Client, queue: ReconnectQueue, one_client: None
) -> None:
    StoresOwner._base_manager.filter(name="Maria EU").update(contact_name="Mrs. Smith")

    send(desk, queue, language="de")
    [message] = run_mails()

    text = str(message.body)
    assert text.startswith("Guten Tag,\n")
    assert "Mrs. Smith" not in text
    assert "Cedar (Europa)" in text
    assert message.subject == ("Northstar Trading bittet um Ihre Zustimmung bei Amazon für 3 Shops")


def test_the_question_says_how_many_mails_go_to_how_many_people(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    one = text_of(desk.get(send_url(queue)))
    clients = StoresOwner.objects.for_organization(queue.organization)
    bob = clients.create(name="Bob", contact_name="Bob", contact_email="bob@client.example")
    Connection._base_manager.filter(pk__in=[rows[1].pk, rows[2].pk]).update(client=bob)
    two = text_of(desk.get(send_url(queue)))
    client_trips.ask(rows[0])
    again = text_of(desk.get(send_url(queue)))

    assert "As ticked at first, 1 mail goes to one person, with a link for each" in one
    assert "As ticked at first, 2 mails go to 2 people, one to each, with a link" in two
    assert "As ticked at first, 1 mail goes to one person, with a link for each" in again


# Attacks -----------------------------------------------------------------------------------


def test_rows_of_others_and_removed_ones_are_not_asked(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    foreign = factories.make_connection(factories.make_organization())
    outside = factories.make_connection(queue.organization, name="Not in the queue")
    fields = form_of(desk, queue)
    removing_of(rows[2])
    wanted = [str(row.pk) for row in (foreign, outside, rows[2])] + [str(uuid4()), "no id"]

    with nothing_changes(amazon, events=()):
        answer = desk.post(send_url(queue), fields | {"row": wanted})

    assert answer.status_code == 422
    assert foreign.name not in text_of(answer)


def removing_of(row: Connection) -> None:
    Connection._base_manager.filter(pk=row.pk).update(removed_at=timezone.now())


def test_rows_that_left_the_reach_are_refused(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    factories.limit(queue.user, queue.organization, rows[1])

    found = results(desk.post(send_url(queue), fields))

    assert found == [("Birch", "Copy the link")]
    assert states(queue) == {"Aspen": "waiting", "Birch": "linked", "Cedar": "waiting"}
    with nothing_changes(amazon, events=()):
        only_aspen = fields | {"row": [str(rows[0].pk)]}
        assert desk.post(send_url(queue), only_aspen).status_code == 422


def test_nobody_sends_the_queue_of_another_person(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, organization: Organization
) -> None:
    fields = form_of(desk, queue)
    others = (
        factories.make_member(organization, Role.ADMIN),
        factories.owner_of(organization),
        factories.owner_of(factories.make_organization()),
    )
    browsers = [signed_in_freshly(person) for person in others]

    with nothing_changes(amazon, events=()):
        for browser in browsers:
            assert browser.get(send_url(queue)).status_code == 404
            assert browser.post(send_url(queue), fields).status_code == 404


def test_a_viewer_and_an_old_sign_in_send_nothing(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, organization: Organization
) -> None:
    fields = form_of(desk, queue)
    viewer = signed_in_freshly(factories.make_member(organization, Role.VIEWER))
    old = signed_in_long_ago(queue.user)

    with nothing_changes(amazon, events=()):
        assert viewer.post(send_url(queue), fields).status_code == 403
        asked = old.post(send_url(queue), fields)
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))


def test_ticks_and_words_are_there_again_after_the_proof(queue: ReconnectQueue) -> None:
    old = signed_in_long_ago(queue.user)
    fields = form_of(old, queue)
    first = fields["row"][0]

    asked = old.post(send_url(queue), fields | {"row": [first], "message": "One of three."})
    old.post(asked.headers["Location"], {"password": factories.PASSWORD})

    page = old.get(send_url(queue))
    assert page.status_code == 200
    assert [str(one.id) for one in page.context["prospects"] if one.is_ticked] == [first]
    assert "One of three." in page.text
    assert page.context["form"]["since"].value() == fields["since"]
    assert links() == []


def test_a_mistake_keeps_the_ticks_and_nobody_ticked_is_told(
    desk: Client, queue: ReconnectQueue
) -> None:
    fields = form_of(desk, queue)

    wrong = desk.post(send_url(queue), fields | {"row": fields["row"][:1], "days": "99"})
    nobody = desk.post(send_url(queue), fields | {"row": []})

    assert [one.is_ticked for one in wrong.context["prospects"]] == [True, False, False]
    assert [one.is_ticked for one in nobody.context["prospects"]] == [False, False, False]
    assert "Tick who is asked." in text_of(nobody)


HOSTILE = {
    "a link": {"message": "See https://evil.example"},
    "for ever": {"days": "31"},
    "no language of ours": {"language": "xx"},
    "no moment": {"since": "yesterday"},
    "nobody": {"row": []},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_hostile_forms_make_no_link(
    changes: dict[str, Any], amazon: RunningEmulator, desk: Client, queue: ReconnectQueue
) -> None:
    fields = form_of(desk, queue) | changes

    with nothing_changes(amazon, events=()):
        assert desk.post(send_url(queue), fields).status_code == 422


def test_a_moment_of_the_future_overlooks_nothing(
    desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    send(desk, queue)
    fields = {"since": (timezone.now() + timedelta(days=400)).isoformat(), "row": [], **WORDS}
    fields["row"] = [str(row.pk) for row in rows]
    fields |= {f"to-{row.pk}": "" for row in rows} | {f"to-{rows[0].pk}": "maria@client.example"}

    again = results(desk.post(send_url(queue), fields))

    assert {word for _name, word in again} == {"Has an open link already"}
    assert len(links()) == 3


def test_a_row_that_was_renewed_meanwhile_is_not_asked(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    fields = form_of(desk, queue)
    factories.consent(rows[0], refresh_token="Atzr|made-up-renewed")

    found = dict(results(desk.post(send_url(queue), fields)))

    assert "Aspen" not in found
    assert not ClientLink._base_manager.filter(connection=rows[0]).exists()
    assert states(queue)["Aspen"] == "waiting"
    assert told(desk, queue)["Aspen"] == "Passed over"


def test_names_that_hold_addresses_are_left_out_of_the_mail(
    desk: Client, queue: ReconnectQueue
) -> None:
    StoresOwner._base_manager.update(contact_name="Go to www.evil.example")

    send(desk, queue)

    assert {link.recipient_name for link in links()} == {""}


def test_trips_of_the_person_go_on_beside_the_links(
    amazon: RunningEmulator, desk: Client, queue: ReconnectQueue, rows: list[Connection]
) -> None:
    item = item_of(rows[0])
    leaving = desk.post(path("reconnect_queue_open", queue.organization), {"item": str(item.pk)})
    send(desk, queue)

    desk.get(str(trips.confirm(leaving.headers["Location"], SELLERS["Aspen"])))

    assert states(queue)["Aspen"] == "reconnected"
    assert ClientLink._base_manager.get(connection=rows[0]).status == "revoked"
