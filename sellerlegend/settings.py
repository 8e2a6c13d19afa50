"""The one settings file: behaviour differs only by environment (`sellerlegend/env.py`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONCE, NONE, SELF
from django.utils.translation import get_language_info

from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.env import PROJECT_DIR, known_secrets, parse_key_ring, read_env

ENV = read_env()
BASE_DIR = PROJECT_DIR
VAR_DIR = ENV.var_dir
DELETION_LOG = ENV.deletion_log or VAR_DIR / "deletions.jsonl"
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = ENV.django_debug
SECRET_KEY = ENV.django_secret_key.get_secret_value()
ALLOWED_HOSTS = [host.strip() for host in ENV.django_allowed_hosts.split(",") if host.strip()]
PUBLIC_BASE_URL = ENV.public_base_url
TRUSTED_PROXY_COUNT = ENV.trusted_proxy_count
IS_HTTPS = PUBLIC_BASE_URL.startswith("https://")
SITE_NAME = "SellerLegend"

# Amazon ---------------------------------------------------------------------------------
TOKEN_ENCRYPTION_KEYS = parse_key_ring(ENV.token_encryption_keys.get_secret_value())
AMAZON_EMULATOR_URL = ENV.amazon_emulator_url
AMAZON_ENDPOINTS = (
    Endpoints.emulator(AMAZON_EMULATOR_URL) if AMAZON_EMULATOR_URL else Endpoints.amazon()
)
SPAPI_APPLICATION_ID = ENV.spapi_application_id
SPAPI_DRAFT_APPLICATION = ENV.spapi_draft_application
SPAPI_LISTED_IN_APPSTORE = ENV.spapi_listed_in_appstore
# What the environment knows; `sellerlegend.applications.clients` adds what was rotated since.
SPAPI_CLIENT = LwaClient(
    ENV.spapi_client_id,
    known_secrets(ENV.spapi_client_secret, ENV.spapi_client_secret_previous),
)
ADS_CLIENT = LwaClient(
    ENV.ads_client_id, known_secrets(ENV.ads_client_secret, ENV.ads_client_secret_previous)
)
SPAPI_REDIRECT_URI = f"{PUBLIC_BASE_URL}/amazon/spapi/callback"
ADS_REDIRECT_URI = f"{PUBLIC_BASE_URL}/amazon/ads/callback"
SPAPI_LOGIN_URI = f"{PUBLIC_BASE_URL}/amazon/spapi/login"

# Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    "sellerlegend.organizations",
    "sellerlegend.jobs",
    "sellerlegend.applications",
    "sellerlegend.monitoring",
    "connections",
    "marketplaces",
    "ppc",
    "sellerlegend.organizations.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "template_partials",
]

MIDDLEWARE = [
    "sellerlegend.request_log.RequestLogMiddleware",
    "sellerlegend.outage.DatabaseOutageMiddleware",
    "sellerlegend.middleware.ResponseHeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "sellerlegend.monitoring.middleware.ProbeMiddleware",
    "sellerlegend.organizations.sessions.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "sellerlegend.middleware.SignInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "sellerlegend.middleware.PersonLocaleMiddleware",
    "sellerlegend.middleware.WrongMethodMiddleware",
    "sellerlegend.organizations.limited_routes.LimitsMiddleware",
    "sellerlegend.organizations.staff_door.StaffDoorMiddleware",
    "sellerlegend.organizations.password_door.PasswordDoorMiddleware",
]

ROOT_URLCONF = "sellerlegend.urls"
WSGI_APPLICATION = "sellerlegend.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["sellerlegend.icons", "sellerlegend.form_mistakes"],
            "libraries": {"browsers": "sellerlegend.organizations.browsers"},
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sellerlegend.context.product",
            ],
        },
    }
]

FORM_RENDERER = "sellerlegend.form_mistakes.FormRenderer"

# Storage --------------------------------------------------------------------------------
DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        ENV.database_url.get_secret_value()
        if ENV.database_url
        else f"sqlite:///{VAR_DIR / 'database.sqlite3'}",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Web, worker and beat write one file: write-ahead log, immediate transactions, patience.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "options": " ".join(
            f"-c {name}={value}"
            for name, value in (
                ("statement_timeout", f"{ENV.database_statement_seconds}s"),
                # Nobody waits longer for a lock than for the statement that wants it.
                ("lock_timeout", f"{min(5, max(1, ENV.database_statement_seconds // 2))}s"),
                ("idle_in_transaction_session_timeout", "30s"),
                # Health is one large expression: where a table's statistics are old or large,
                # PostgreSQL compiled it for half a second, to evaluate it for a page of rows.
                ("jit", "off"),
            )
        ),
    }

REDIS_URL = ENV.redis_url.get_secret_value() if ENV.redis_url else ""
CACHES: dict[str, Any] = {
    "default": (
        {
            "BACKEND": "sellerlegend.shared_cache.SharedCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "sl",
            "OPTIONS": {
                "serializer": "sellerlegend.shared_cache.JsonSerializer",
                "socket_timeout": 1,
                "socket_connect_timeout": 1,
            },
        }
        if REDIS_URL
        else {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "embedded_cache",
            "OPTIONS": {"MAX_ENTRIES": 20_000},
        }
    )
}

# Background work ------------------------------------------------------------------------
CELERY_BROKER_DIR = VAR_DIR / "broker"
# How often a process tells the database what it counted.
TALLY_SECONDS = 5.0
METRICS_TOKEN = ENV.metrics_token.get_secret_value()
SWEEP_SECONDS = ENV.sweep_seconds
WATCHDOG_SECONDS = ENV.watchdog_seconds

# People ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "organizations.User"
AUTHENTICATION_BACKENDS = ["sellerlegend.organizations.sessions.PersonBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "sellerlegend.organizations.passwords.CharacterKindsValidator"},
    {"NAME": "sellerlegend.organizations.passwords.NoPartOfNameValidator"},
    {"NAME": "sellerlegend.organizations.passwords.NotUsedBeforeValidator"},
]
PASSWORDS_REMEMBERED = 10
PASSWORD_LASTS_DAYS = 365
# A bulk action is about a thousand rows at most (`connections/selection.py`), each by its id.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_100
FILE_UPLOAD_HANDLERS = ["sellerlegend.uploads.CappedUpload"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_DISPLAY = "sellerlegend.organizations.models.user_display"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
# The second step is still asked for; and a stranger's guesses cannot keep the person out.
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_ADAPTER = "sellerlegend.organizations.adapter.AccountAdapter"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_SESSION_REMEMBER = True
STAFF_SESSION_SECONDS = 4 * 3600
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if IS_HTTPS else "http"
# Ours, in the database, take their place: sellerlegend/organizations/limits.py.
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
MFA_ADAPTER = "sellerlegend.organizations.second_step.SecondStepAdapter"
MFA_FORMS = {
    "authenticate": "sellerlegend.organizations.second_step.AuthenticateForm",
    "reauthenticate": "sellerlegend.organizations.second_step.ReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEBUG
USERSESSIONS_TRACK_ACTIVITY = False

DEFAULT_FROM_EMAIL = ENV.default_from_email
if ENV.email_host:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT = ENV.email_host, ENV.email_port
    EMAIL_HOST_USER = ENV.email_host_user
    EMAIL_HOST_PASSWORD = ENV.email_host_password.get_secret_value()
    EMAIL_USE_TLS = ENV.email_use_tls
    EMAIL_TIMEOUT = 10
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = VAR_DIR / "mail"

# Language and time ----------------------------------------------------------------------
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "sellerlegend" / "locale"]
# Adding a language is adding its catalogue; each is offered under its own name. The catalogue of
# English holds only what borrowed words are called here.
OTHER_LANGUAGES = {path.parts[-3] for path in LOCALE_PATHS[0].glob("*/*/django.po")} - {"en"}
LANGUAGES = [
    (code, get_language_info(code)["name_local"].capitalize())
    for code in ["en", *sorted(OTHER_LANGUAGES)]
]
FORMAT_MODULE_PATH = ["sellerlegend.formats"]
TIME_ZONE = "UTC"
USE_TZ = True

# Static files ---------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "sellerlegend.static_urls.PlainRememberingStorage"
            if DEBUG
            else "sellerlegend.static_urls.RememberingStorage"
        )
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# Security -------------------------------------------------------------------------------
# `__Host-` names need https; browsers drop such cookies over plain http.
_cookie_prefix = "__Host-" if IS_HTTPS else ""
SESSION_COOKIE_NAME = f"{_cookie_prefix}session"
CSRF_COOKIE_NAME = f"{_cookie_prefix}csrf"
LANGUAGE_COOKIE_NAME = f"{_cookie_prefix}language"
MESSAGES_COOKIE_NAME = f"{_cookie_prefix}messages"
DEVICE_COOKIE_NAME = f"{_cookie_prefix}device"
CLIENT_COOKIE_NAME = f"{_cookie_prefix}client"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "sellerlegend.organizations.notices.NoticeStorage"
SESSION_ENGINE = "sellerlegend.organizations.sessions"
SECURE_SSL_REDIRECT = IS_HTTPS
# Probes come from inside, past the proxy that ends TLS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
# `no-referrer` would make browsers post `Origin: null`; the callbacks set it themselves.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Our ResponseHeadersMiddleware sets that header, on every answer.
SILENCED_SYSTEM_CHECKS = ["security.W002"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL]
CSRF_FAILURE_VIEW = "sellerlegend.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # A form that answers with a redirect is held to this list at every hop.
        "form-action": [SELF, *AMAZON_ENDPOINTS.hosts_for_form_action()],
    }
}

LOGGING_CONFIG = "sellerlegend.logs.configure"
LOGGING: dict[str, Any] = {"level": ENV.log_level, "host": urlsplit(PUBLIC_BASE_URL).hostname}
