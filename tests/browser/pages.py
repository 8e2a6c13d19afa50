"""Every page and pop-up a person can meet, by a name and how to get there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from playwright.sync_api import Page, expect

from tests.browser.screen import NORTHSTAR, choose_action, row
from tests.demo.people import PASSWORD

OWNER, VIEWER, STAFF, NOBODY = "owner@example.com", "viewer@example.com", "staff@example.com", ""
NA, BLUE_HARBOR, WAITING = "Northstar Outdoors NA", "Blue Harbor Kitchen", "Juniper & Pine"
PEOPLE_PAGE = "/o/northstar-trading/people"
Arrive = Callable[[Page], None]


@dataclass(frozen=True)
class Place:
    """`arrive` leads there; `status` is what the server answers, so that nothing is complained
    about that was asked for."""

    name: str
    arrive: Arrive
    person: str = OWNER
    status: int = 200

    def __str__(self) -> str:
        return self.name


def at(path: str) -> Arrive:
    def arrive(page: Page) -> None:
        page.goto(path)

    return arrive


def button_in_row(name: str, column: str, label: str) -> Arrive:
    """A pop-up that a button of a row opens."""

    def arrive(page: Page) -> None:
        page.goto(NORTHSTAR)
        cell = row(page, name).locator(f'td[data-label="{column}"]')
        cell.get_by_role("link", name=label).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return arrive


def button_of_notice(name: str, label: str) -> Arrive:
    """The same of what a row says across its columns."""

    def arrive(page: Page) -> None:
        page.goto(NORTHSTAR)
        row(page, name).locator(".connection-notice").get_by_role("link", name=label).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return arrive


def action_of_row(name: str, action: str) -> Arrive:
    """A pop-up of a row's menu."""

    def arrive(page: Page) -> None:
        page.goto(NORTHSTAR)
        choose_action(page, name, action)
        expect(page.get_by_role("dialog")).to_be_visible()

    return arrive


def page_of(arrive_at_dialog: Arrive) -> Arrive:
    """The same thing as a page of its own: where the button leads without JavaScript."""

    def arrive(page: Page) -> None:
        arrive_at_dialog(page)
        form = page.locator("dialog form").first
        page.goto(form.get_attribute("action") or "")

    return arrive


def details(name: str) -> Arrive:
    def arrive(page: Page) -> None:
        page.goto(NORTHSTAR)
        row(page, name).locator("summary", has_text="Details").click()
        expect(row(page, name).locator(".connection-details table").first).to_be_visible()

    return arrive


def details_page(page: Page) -> None:
    page.goto(NORTHSTAR)
    address = row(page, NA).get_attribute("id") or ""
    page.goto(f"{NORTHSTAR}{address.removeprefix('connection-')}/")


def timeline_page(page: Page) -> None:
    details_page(page)
    page.get_by_role("link", name="Timeline").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Timeline of")


def empty_list(page: Page) -> None:
    page.goto("/organizations/new")
    page.get_by_label("Name").fill(f"Nothing yet {secrets.token_hex(3)}")
    page.get_by_role("button", name="Create organization").click()
    page.wait_for_url("**/connections/")


def open_menu(summary: str) -> Arrive:
    """Over a page with nothing under the menu: of a link or button that it half covers axe says
    that it is too small, though whoever opened the menu closes it first (WCAG 2.5.8 leaves that
    out). An organization of its own, since other tests save views in the demo's."""

    def arrive(page: Page) -> None:
        empty_list(page)
        page.goto(f"{page.url}views")
        page.locator(".app-header summary", has_text=summary).click()

    return arrive


def form_with_mistakes(page: Page) -> None:
    page.goto(f"{NORTHSTAR}new")
    page.get_by_label("Name").fill(NA)
    page.get_by_label("Marketplace").select_option(label="United States")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("You already have a connection with this name.")).to_be_visible()


def nothing_ticked(page: Page) -> None:
    button_in_row(BLUE_HARBOR, "Selling Partner", "Continue")(page)
    for box in page.get_by_role("dialog").get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Start Now").click()
    expect(page.get_by_text("Tick at least one marketplace.")).to_be_visible()


def authorised_by_one(page: Page) -> None:
    page.goto("/o/northstar-trading/authorisers")
    page.get_by_role("main").get_by_role("rowheader").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Authorised by")


def wrong_account(page: Page) -> None:
    page.goto(NORTHSTAR)
    choose_action(page, NA, "Reconnect")
    page.get_by_role("button", name="Continue to Seller Central").click()
    page.get_by_label("Selling account").select_option("A2BLUEHARBOR02")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("another seller account")


def re_authorize(page: Page) -> None:
    """From Seller Central's Manage Your Apps to the step that asks who has several."""
    empty_list(page)
    page.goto(NORTHSTAR)
    choose_action(page, NA, "Reconnect")
    page.get_by_role("button", name="Continue to Seller Central").click()
    page.get_by_role("button", name="Confirm").wait_for()
    page.goto(f"{urljoin(page.url, '/')}sellercentral.amazon.com/apps/manage")
    page.get_by_role("button", name="Re-Authorize").first.click()
    heading = "Which organization is this seller for?"
    expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()


def re_authorize_for_one(page: Page) -> None:
    """The organization that has the seller already stands first."""
    re_authorize(page)
    page.get_by_role("main").get_by_role("listitem").get_by_role("link").first.click()
    expect(page.get_by_role("button", name="Yes, go on to Amazon")).to_be_visible()


def declined_ads(page: Page) -> None:
    button_in_row(BLUE_HARBOR, "PPC", "Continue")(page)
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Connect PPC")).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("You declined")


def wrong_password(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(f"nobody-{secrets.token_hex(3)}@example.com")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


def email_code(page: Page) -> None:
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill(f"new-{secrets.token_hex(4)}@example.com")
    page.get_by_label("Password").fill(f"{PASSWORD}-{secrets.token_hex(4)}")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_label("Code")).to_be_visible()


def reset_sent(page: Page) -> None:
    page.goto("/accounts/password/reset/")
    page.get_by_label("Email").fill(f"nobody-{secrets.token_hex(4)}@example.com")
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url("**/done/")


def behind_password(path: str) -> Arrive:
    """allauth asks for the password again when the last sign-in is some minutes old."""

    def arrive(page: Page) -> None:
        page.goto(path)
        if "reauthenticate" in page.url:
            page.get_by_label("Password").fill(PASSWORD)
            page.locator("main form button[type=submit]").first.click()
            page.wait_for_url(lambda url: "reauthenticate" not in url)

    return arrive


def after_proof(arrive: Arrive) -> Arrive:
    """For a pop-up that wants a fresh sign-in: the proof comes first, or the page would go away."""

    def proved(page: Page) -> None:
        behind_password("/accounts/2fa/webauthn/")(page)
        arrive(page)

    return proved


def person_action(label: str) -> Arrive:
    """A pop-up about a member."""

    def arrive(page: Page) -> None:
        page.goto(PEOPLE_PAGE)
        member = page.get_by_role("row").filter(has_text="member@example.com")
        member.get_by_role("link", name=label).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return after_proof(arrive)


def filters_unfolded(page: Page) -> None:
    page.goto(NORTHSTAR)
    page.locator("#filter-more > summary").click()
    expect(page.get_by_label("Marketplace")).to_be_visible()
    expect(page.locator(".overview__states")).to_be_visible()


def bulk(action: str) -> Arrive:
    """A bulk action on two ticked rows."""

    def arrive(page: Page) -> None:
        page.goto(NORTHSTAR)
        for name in (NA, WAITING):
            row(page, name).get_by_role("checkbox").check()
        page.get_by_role("button", name=f"{action} the ticked connections").click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return arrive


def bulk_result(page: Page) -> None:
    bulk("Client")(page)
    page.get_by_label("Client", exact=True).select_option("none")
    page.get_by_role("button", name="Set the client").click()
    expect(page.get_by_role("dialog", name="Without a client")).to_be_visible()


def check_result(page: Page) -> None:
    """Again where the check that another page began is still on the way."""
    for _ in range(10):
        bulk("Check now")(page)
        page.get_by_role("dialog").get_by_role("button", name="Check now").click()
        said = page.get_by_role("heading", name=re.compile("Result of the check|Nothing new"))
        expect(said).to_be_visible()
        if "Result" in said.inner_text():
            break
    expect(page.get_by_role("table", name="Checked connections")).to_be_visible()
    expect(page.locator("progress")).to_be_visible()


def link_to_dialog(path: str, name: str) -> Arrive:
    def arrive(page: Page) -> None:
        page.goto(path)
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return arrive


def tokens_looked_at(page: Page) -> None:
    behind_password(f"{NORTHSTAR}import/tokens")(page)
    number = secrets.token_hex(4)
    page.get_by_label("or paste the table").fill(
        "name,marketplace,seller id,refresh token\n"
        f"Brought {number},US,A{number},Atzr|{number}\nNowhere,XX,A1,Atzr|x\n"
    )
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_text("1 row can be imported.")).to_be_visible()


def clients_nothing_chosen(page: Page) -> None:
    page.goto(f"{NORTHSTAR}import/clients")
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_text("Choose a file, or paste a table.")).to_be_visible()


def clients_looked_at(page: Page) -> None:
    page.goto(f"{NORTHSTAR}import/clients")
    page.get_by_label("or paste the table").fill(
        "client name,contact mail,store name,marketplace,tags\n"
        "Acme,ada@acme.example,Acme US,US,toys|new\n,,Nobody's,US,\n"
    )
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_text("1 row can be carried out.")).to_be_visible()


export = after_proof(bulk("Export"))
onboard = button_in_row(BLUE_HARBOR, "Selling Partner", "Continue")
connect_ppc = button_in_row(BLUE_HARBOR, "PPC", "Continue")
connect_more_ppc = button_in_row(NA, "PPC", "Continue")
undo = after_proof(button_of_notice(BLUE_HARBOR, "No, undo"))
resume = button_in_row(WAITING, "Selling Partner", "Resume")
reconnect = action_of_row(NA, "Reconnect")
rename = action_of_row(NA, "Rename")
remove = action_of_row(WAITING, "Remove")
another_region = action_of_row(BLUE_HARBOR, "Connect another region")

ask_client = action_of_row(NA, "Ask the client by link")


def asked_client(page: Page) -> None:
    """The list with a link in it, and the address that was shown once before."""
    address = client_link(page)
    page.goto("/o/northstar-trading/client-links")
    expect(page.get_by_role("table", name="Links to clients")).to_be_visible()
    assert address not in page.content()


def ending_link(page: Page) -> None:
    asked_client(page)
    page.get_by_role("link", name="End the link").first.click()
    expect(page.get_by_role("dialog", name="End the link for")).to_be_visible()


def asked_again(page: Page) -> None:
    """Where a notice of a client who does not answer leads."""
    asked_client(page)
    form = page.locator('main form[action$="/again"]').first
    page.goto(form.get_attribute("action") or "")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ask the client of")


def links_of_one_person(page: Page) -> None:
    asked_client(page)
    page.get_by_role("link", name="All links of this person").first.click()
    expect(page.get_by_role("button", name="End all these links")).to_be_visible()


def queue_as_links(page: Page) -> None:
    """Of a queue that was ended, so that no other page meets one."""
    page.goto("/o/northstar-trading/reconnect-queue/add?pick=needed")
    page.get_by_role("button", name=re.compile("Start the queue|Add to my queue")).click()
    page.get_by_role("link", name="End this queue, skip the rest").click()
    page.get_by_role("button", name="End this queue, skip the rest").click()
    page.get_by_role("link", name="Send the rest as links").click()
    expect(page.get_by_role("button", name="Make the links")).to_be_visible()


def queue_sent_as_links(page: Page) -> None:
    behind_password("/accounts/2fa/webauthn/")(page)
    queue_as_links(page)
    page.get_by_role("button", name="Make the links").click()
    expect(page.get_by_role("table", name="What became of each row")).to_be_visible()


def client_link(page: Page) -> str:
    """Made by hand, and shown once."""
    behind_password("/accounts/2fa/webauthn/")(page)
    ask_client(page)
    page.get_by_role("button", name="Make the link").click()
    return page.get_by_label("The link, shown this once").input_value()


def shown_once(page: Page) -> None:
    client_link(page)


def client_page(page: Page) -> None:
    page.goto(client_link(page))
    expect(page.get_by_role("button", name="Continue to Amazon")).to_be_visible()


def client_declined(page: Page) -> None:
    client_page(page)
    page.get_by_text("I do not know them").click()
    page.get_by_role("button", name="Decline: this is not for me").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Declined")


CONNECTIONS = (
    Place("list", at(NORTHSTAR)),
    Place("list in short rows", at(f"{NORTHSTAR}?rows=short")),
    Place("list of a viewer", at(NORTHSTAR), VIEWER),
    Place("empty list", empty_list),
    Place("menu of organizations", open_menu("Nothing yet")),
    Place("menu of settings", open_menu("Account Settings")),
    Place("details unfolded", details(NA)),
    Place("details of trouble", details("Oasis by Desert Rose")),
    Place("details page", details_page),
    Place("list narrowed", at(f"{NORTHSTAR}?show=attention&sort=renew_by")),
    Place("list narrowed to nothing", at(f"{NORTHSTAR}?health=incident")),
    Place("export pop-up", export),
    Place("export page", page_of(export)),
    Place("import tokens", behind_password(f"{NORTHSTAR}import/tokens")),
    Place("import tokens, looked at", tokens_looked_at),
    Place("import clients", at(f"{NORTHSTAR}import/clients")),
    Place("import clients, nothing chosen", clients_nothing_chosen, status=422),
    Place("import clients, looked at", clients_looked_at),
    Place("list searched", at(f"{NORTHSTAR}?q=northstar&region=NA")),
    Place("filters unfolded", filters_unfolded),
    Place("filters page", at(f"{NORTHSTAR}filters?region=EU")),
    Place("counts and views page", at(f"{NORTHSTAR}overview")),
    Place("bulk tag pop-up", bulk("Tag")),
    Place("bulk client pop-up", bulk("Client")),
    Place("bulk check pop-up", bulk("Check now")),
    Place("bulk check page", at(f"{NORTHSTAR}check?all=1")),
    Place("bulk check result", check_result),
    Place("bulk result", bulk_result),
    Place("tags and client of a row", action_of_row(NA, "Tags and client")),
    Place("tags and clients", at("/o/northstar-trading/groups")),
    Place("new client pop-up", link_to_dialog("/o/northstar-trading/groups", "New client")),
    Place("new tag page", at("/o/northstar-trading/groups/tags/new")),
    Place("saved views", at(f"{NORTHSTAR}views")),
    Place("save view pop-up", link_to_dialog(f"{NORTHSTAR}?q=a", "Save this view")),
    Place("timeline", timeline_page),
    Place("reconnect queue, none yet", at("/o/northstar-trading/reconnect-queue")),
    Place("reconnect queue, choosing", at("/o/northstar-trading/reconnect-queue/add?pick=needed")),
    Place("reconnect queue, nothing", at("/o/northstar-trading/reconnect-queue/add")),
    Place("who authorised what", at("/o/northstar-trading/authorisers")),
    Place("authorised by one", authorised_by_one),
    Place("onboard all", at(f"{NORTHSTAR}onboard?all=1")),
    Place("onboard several, nothing", at(f"{NORTHSTAR}onboard")),
    Place("new", at(f"{NORTHSTAR}new")),
    Place("new with mistakes", form_with_mistakes, status=422),
    Place("onboard pop-up", onboard),
    Place("onboard page", page_of(onboard)),
    Place("onboard, nothing ticked", nothing_ticked, status=422),
    Place("connect PPC pop-up", connect_ppc),
    Place("connect PPC page", page_of(connect_ppc)),
    Place("connect more PPC pop-up", connect_more_ppc),
    Place("undo pop-up", undo),
    Place("undo page", page_of(undo)),
    Place("resume pop-up", resume),
    Place("resume page", page_of(resume)),
    Place("reconnect pop-up", reconnect),
    Place("reconnect page", page_of(reconnect)),
    Place("rename pop-up", rename),
    Place("rename page", page_of(rename)),
    Place("remove pop-up", remove),
    Place("remove page", page_of(remove)),
    Place("another region pop-up", another_region),
    Place("another region page", page_of(another_region)),
    Place("outcome: wrong account", wrong_account),
    Place("outcome: declined", declined_ads),
    Place("re-authorize", re_authorize),
    Place("re-authorize for an organization", re_authorize_for_one),
    Place("login URI alone", at("/amazon/spapi/login"), NOBODY),
    Place("login URI, garbled", at("/amazon/spapi/login?amazon_state=x"), NOBODY, status=400),
    Place("a step that is over", at("/amazon/spapi/start/unknown"), status=404),
    Place("ask the client pop-up", ask_client),
    Place("ask the client page", page_of(ask_client)),
    Place("the client's link, shown once", shown_once),
    Place("links to clients", asked_client),
    Place("the end of a client's link", ending_link),
    Place("asking a client again", asked_again),
    Place("links of one person", links_of_one_person),
    Place("the rest of a queue as links", queue_as_links),
    Place("the rest of a queue, sent", queue_sent_as_links),
    Place("client's page", client_page),
    Place("client declined", client_declined),
    Place("client's link, unknown", at(f"/c/{'A' * 43}"), NOBODY, status=410),
    Place("client's trip, refused", at("/c/ended/BCDFGH23"), NOBODY, status=400),
    Place("outcome: refused", at("/amazon/spapi/callback?state=unknown"), status=400),
)
PEOPLE = (
    Place("sign in", at("/accounts/login/"), NOBODY),
    Place("sign in with mistakes", wrong_password, NOBODY),
    Place("sign up", at("/accounts/signup/"), NOBODY),
    Place("email code", email_code, NOBODY),
    Place("password reset", at("/accounts/password/reset/"), NOBODY),
    Place("password reset sent", reset_sent, NOBODY),
    Place("password reset key", at("/accounts/password/reset/key/1-unknown/"), NOBODY),
    Place("sign out", at("/accounts/logout/")),
    Place("email addresses", at("/accounts/email/")),
    Place("change password", at("/accounts/password/change/")),
    Place("sessions", at("/accounts/sessions/")),
    Place("second factors", at("/accounts/2fa/")),
    Place("authenticator app", behind_password("/accounts/2fa/totp/activate/")),
    Place("passkeys", behind_password("/accounts/2fa/webauthn/")),
    Place("new passkey", behind_password("/accounts/2fa/webauthn/add/")),
    Place("password again", at("/accounts/reauthenticate/")),
    Place("profile", at("/profile")),
    Place("security", at("/security")),
    Place("organization settings", at("/o/northstar-trading/settings")),
    Place("organization settings of a viewer", at("/o/northstar-trading/settings"), VIEWER),
    Place("new organization", at("/organizations/new")),
    Place("notifications", at("/o/northstar-trading/notifications")),
    Place("notifications of a viewer", at("/o/northstar-trading/notifications"), VIEWER),
    Place("renewal calendar", at("/o/northstar-trading/calendar")),
    Place("people", at(PEOPLE_PAGE)),
    Place("people of a viewer", at(PEOPLE_PAGE), VIEWER),
    Place("invite", behind_password(f"{PEOPLE_PAGE}/invite")),
    Place("role of a member", person_action("Role")),
    Place("reach of a member", person_action("Reach")),
    Place("transfer ownership", behind_password(f"{PEOPLE_PAGE}/transfer")),
    Place("leave", behind_password(f"{PEOPLE_PAGE}/leave"), VIEWER),
    Place("an invitation that is over", at("/invitation"), NOBODY, status=404),
    Place("staff setup", at("/staff/setup"), STAFF),
    Place("staff reference", at("/staff/reference?code=unknown"), STAFF),
    Place("errors", at("/help/errors"), NOBODY),
    Place("components", at("/components")),
    Place("Amazon's codes", at("/help/amazon-codes?code=MD1000"), NOBODY),
    Place("Amazon's codes, unknown", at("/help/amazon-codes?code=XY"), NOBODY),
    Place("staff test mail", at("/staff/test-mail"), STAFF),
)
# A page that is not found looks like this only in production: see test_production.py.
ERRORS = (Place("403", at(f"{NORTHSTAR}new"), VIEWER, status=403),)
PLACES = CONNECTIONS + PEOPLE + ERRORS
