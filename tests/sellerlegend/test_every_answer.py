"""What every answer carries, and what an answer to a failure does not (F6, F14, F15, F16)."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path, reverse
from pytest_django import Settings

from sellerlegend.logs import JsonFormatter
from tests.factories import PASSWORD, make_organization, make_user, owner_of
from tests.signing_in import signed_in_freshly

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

SECRET_WORDS = ("Traceback", "hunter2", "site-packages", "DJANGO_", "test_every_answer", "psycopg")


def broken(request: HttpRequest) -> HttpResponse:
    password = "hunter2"
    raise RuntimeError(f"with {password}")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("hunter2")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("hunter2")


def away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("psycopg: no server for hunter2")


urlpatterns = [
    path("broken", broken),
    path("forbidden", forbidden),
    path("suspicious", suspicious),
    path("away", away),
    path("", include("sellerlegend.urls")),
]
handler400 = "sellerlegend.errors.bad_request"
handler403 = "sellerlegend.errors.permission_denied"
handler404 = "sellerlegend.errors.page_not_found"
handler500 = "sellerlegend.errors.server_error"


@pytest.fixture
def person() -> Client:
    client = signed_in_freshly(owner_of(make_organization("Northstar")))
    client.raise_request_exception = False
    return client


def many_fields(client: Client) -> Any:
    return client.post(reverse("profile"), {f"f{number}": "x" for number in range(1101)})


def too_big(client: Client) -> Any:
    return client.post(reverse("profile"), {"name": "x" * 3_000_000})


def without_csrf(client: Client) -> Any:
    strict = Client(enforce_csrf_checks=True)
    strict.defaults.update(client.defaults)
    return strict.post(reverse("account_login"))


def hammered(client: Client) -> Any:
    for _ in range(11):
        answer = client.post(reverse("account_reset_password"), {"email": ""})
    return answer


ANSWERS: dict[str, tuple[int, Callable[[Client], Any]]] = {
    "page": (200, lambda client: client.get(reverse("profile"))),
    "login page": (200, lambda _client: Client().get(reverse("account_login"))),
    "redirect to login": (302, lambda _client: Client().get(reverse("profile"))),
    "htmx to login": (
        401,
        lambda _client: Client().get(reverse("profile"), headers={"HX-Request": "true"}),
    ),
    "callback": (303, lambda client: client.get(reverse("spapi_callback"))),
    "admin": (302, lambda _client: Client().get("/admin/")),
    "probe": (200, lambda _client: Client().get("/healthz")),
    "slash": (301, lambda client: client.get("/accounts/login")),
    "bad host": (400, lambda client: client.get("/profile", headers={"Host": "evil.example"})),
    "suspicious": (400, lambda client: client.get("/suspicious")),
    "too many fields": (400, many_fields),
    "too big": (400, too_big),
    "forbidden": (403, lambda client: client.get("/forbidden")),
    "csrf": (403, without_csrf),
    "not found": (404, lambda client: client.get("/nowhere")),
    "wrong method": (405, lambda client: client.delete(reverse("profile"))),
    "hammered": (429, hammered),
    "broken": (500, lambda client: client.get("/broken")),
    "database away": (503, lambda client: client.get("/away")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_forbids_framing_and_storing(name: str, person: Client) -> None:
    status, ask = ANSWERS[name]

    answer = ask(person)

    assert answer.status_code == status
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert "no-store" in answer.headers["Cache-Control"]
    body = answer.content.decode()
    assert not [word for word in SECRET_WORDS if word in body]


ERRORS = {name: status for name, (status, _) in ANSWERS.items() if status >= 400 and status != 401}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_a_page_with_words_and_a_next_step(name: str, person: Client) -> None:
    _, ask = ANSWERS[name]

    body = ask(person).content.decode()

    code = re.search(r'<p class="error-page__code">\s*(\d+)\s*</p>', body)
    text = re.search(r'<p class="error-page__text">(.+?)</p>', body, re.DOTALL)
    assert code is not None
    assert code[1] == str(ERRORS[name])
    assert text is not None
    assert len(text[1].split()) > 8
    assert re.search(r"<h1>\s*\w", body)
    assert "Go to the start page" in body


@pytest.mark.parametrize("address", ["/broken", "/away"])
def test_a_page_of_last_resort_is_marked_as_of_the_language_it_is_in(
    address: str, person: Client
) -> None:
    german = person.get(address, headers={"Accept-Language": "de"}).content.decode()
    english = person.get(address).content.decode()

    assert '<html lang="de"' in german
    assert "Zur Startseite" in german
    assert '<html lang="en"' in english


@pytest.mark.parametrize("name", ERRORS)
def test_under_htmx_an_error_is_a_notice_with_words_and_headers(name: str, person: Client) -> None:
    status, ask = ANSWERS[name]
    person.defaults["HTTP_HX_REQUEST"] = "true"

    answer = ask(person)

    body = answer.content.decode()
    assert answer.status_code == status
    assert body.count("data-request-failed") == 1
    assert "<html" not in body
    assert re.search(r'<p class="notice__title">\s*\w', body)
    assert len(re.sub("<[^>]+>", "", body).split()) > 10
    assert not [word for word in SECRET_WORDS if word in body]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_refused_method_says_which_ones_work(person: Client) -> None:
    answer = person.delete(reverse("profile"))

    assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.fixture
def static_file(settings: Settings, tmp_path: Path) -> str:
    (tmp_path / "app.css").write_text("body {}")
    settings.STATIC_ROOT = str(tmp_path)
    settings.WHITENOISE_AUTOREFRESH = True
    return "/static/app.css"


def test_static_files_and_304_too(static_file: str) -> None:
    client = Client()
    whole = client.get(static_file)
    known = client.get(static_file, headers={"If-Modified-Since": whole.headers["Last-Modified"]})

    assert whole.status_code == 200
    assert known.status_code == 304
    for answer in (whole, known):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "no-store" not in answer.headers["Cache-Control"]
        answer.close()


def test_https_is_told_for_good(settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    settings.SECURE_SSL_REDIRECT = True

    plain = Client().get("/profile")
    secure = Client().get("/profile", secure=True)

    assert plain.status_code == 301
    assert plain.headers["Location"].startswith("https://")
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


# Failures (F16) ----------------------------------------------------------------------------


def test_a_failure_gives_a_reference_that_the_log_knows(person: Client) -> None:
    answer = person.get("/broken")

    assert answer.headers["X-Request-ID"] in answer.content.decode()


@pytest.mark.parametrize(
    ("status", "address"),
    [(400, "/suspicious"), (403, "/forbidden"), (404, "/nowhere"), (500, "/broken")],
)
def test_with_every_template_broken_there_is_still_a_page(
    status: int, address: str, person: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError("hunter2: no such template")

    engine: Any = engines["django"].engine  # type: ignore[attr-defined]  # of Django's backend
    monkeypatch.setattr(engine, "find_template", refuse)
    for loader in engine.template_loaders:
        monkeypatch.setattr(loader, "get_template", refuse)

    answer = person.get(address)

    assert answer.status_code in (status, 500)
    body = answer.content.decode()
    assert "Something went wrong" in body
    assert answer.headers["X-Request-ID"] in body
    assert not [word for word in SECRET_WORDS if word in body]


# Mails (F15) -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1"},
        {"X-Forwarded-Host": "evil.example"},
        {"Host": "localhost", "X-Forwarded-Host": "evil.example"},
    ],
)
def test_links_in_mails_lead_to_the_address_of_the_settings(
    settings: Settings, headers: dict[str, str]
) -> None:
    settings.PUBLIC_BASE_URL = "https://accounts.example.com"
    make_user("person@example.com")

    Client().post(
        reverse("account_reset_password"), {"email": "person@example.com"}, headers=headers
    )
    Client().post(
        reverse("account_signup"),
        {"email": "person@example.com", "password1": PASSWORD},
        headers=headers,
    )

    reset, exists = (message.body for message in mail.outbox)
    assert "https://accounts.example.com/accounts/password/reset/key/" in reset
    assert "https://accounts.example.com/accounts/" in exists
    for body in (reset, exists):
        assert body.count("://") == body.count("https://accounts.example.com")
        assert not [
            host for host in ("evil", "127.0.0.1", "localhost", "testserver") if host in body
        ]


def test_a_foreign_host_sends_no_mail() -> None:
    make_user("person@example.com")

    answer = Client(raise_request_exception=False).post(
        reverse("account_reset_password"),
        {"email": "person@example.com"},
        headers={"Host": "evil.example"},
    )

    assert answer.status_code == 400
    assert mail.outbox == []


# Cookies (F14) -----------------------------------------------------------------------------


def test_no_cookie_can_be_read_by_scripts_or_sent_from_elsewhere(settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    user = make_user()
    client = Client()
    client.get(reverse("account_login"), secure=True)
    credentials = {"login": user.email, "password": PASSWORD}
    client.post(reverse("account_login"), credentials, secure=True)
    client.post(reverse("profile"), {"name": "Me", "time_zone": "UTC"}, secure=True)

    assert len(client.cookies) == 4
    for cookie in client.cookies.values():
        assert cookie["secure"], cookie.key
        assert cookie["httponly"], cookie.key
        assert cookie["samesite"] == "Lax", cookie.key
        assert cookie["path"] == "/", cookie.key
        assert not cookie["domain"], cookie.key


# Logs (F18) --------------------------------------------------------------------------------

HOSTILE = 'x"}\r\n{"level": "FORGED"}\x1b[31m\u2028'


def test_what_people_send_stays_inside_its_line(person: Client) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    try:
        agent = {"User-Agent": "\x1b[31mx" * 1000, "X-Request-ID": HOSTILE.replace("\r\n", " ")}
        person.get("/broken", headers=agent)
        person.get("/nowhere/" + quote(HOSTILE), headers=agent)
        person.get(reverse("spapi_callback"), {"state": HOSTILE * 500}, headers=agent)
        person.post(reverse("profile"), {"name": HOSTILE * 30_000, "time_zone": "UTC"})
    finally:
        logging.getLogger().removeHandler(handler)

    lines = written.getvalue().splitlines()
    assert len(lines) >= 4
    for line in lines:
        assert json.loads(line)["level"] != "FORGED"
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 12_000
