"""The product's settings, told by an environment that is the same on every machine."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from tests.environment import development_environment
from tests.services import find_services

SERVICES = find_services()

# xdist's workers inherit the run of their controller; two runs never share a database.
TEST_RUN = os.environ.setdefault("TEST_RUN", str(os.getpid()))
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")

_var = tempfile.mkdtemp(prefix=f"sellerlegend-{TEST_RUN}-{WORKER}-")
atexit.register(shutil.rmtree, _var, ignore_errors=True)

os.environ.update(
    development_environment(
        DJANGO_ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
        DJANGO_SECRET_KEY="tests-only-" + "x" * 50,
        TOKEN_ENCRYPTION_KEYS="tests:" + "A" * 43 + "=",
        DATABASE_URL=SERVICES.postgresql.address,
        REDIS_URL=SERVICES.redis.address,
        VAR_DIR=_var,
    )
)

from sellerlegend.settings import *  # noqa: E402, F403  # the environment had to come first
from sellerlegend.settings import CACHES, DATABASES, STATIC_ROOT  # noqa: E402  # same

if SERVICES.postgresql.address:
    DATABASES["default"]["TEST"] = {"NAME": f"test_sellerlegend_{TEST_RUN}"}
else:
    # A file, not memory: tests hand it to worker processes.
    DATABASES["default"]["TEST"] = {"NAME": f"{_var}/test.sqlite3"}
CACHES["default"]["KEY_PREFIX"] = f"test-{TEST_RUN}-{WORKER}"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

# WhiteNoise warns about a directory that is not there.
Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
# Looked for when they are asked for: else each test's browser walks through all of them first.
WHITENOISE_AUTOREFRESH = True
