"""The environment of the demo: random keys made once, the rest made anew at each start."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

from tests.environment import development_environment

CHECKOUT = Path(__file__).resolve().parents[2]


def var_dir() -> Path:
    """Where the demo keeps everything it stores; VAR_DIR moves it."""
    return Path(os.environ.get("VAR_DIR") or CHECKOUT / "var").resolve()


def keys_file() -> Path:
    """The demo's keys, in a file only its owner can read. Made once: the stored tokens and
    sessions need the same keys at the next start."""
    path = var_dir() / "demo.env"
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        text = f"DJANGO_SECRET_KEY={secrets.token_urlsafe(50)}\nTOKEN_ENCRYPTION_KEYS=demo1:{key}\n"
        text += metrics_line()
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(text)
        unfinished.rename(path)
    elif "METRICS_TOKEN=" not in path.read_text():  # made by an older checkout
        with path.open("a") as file:
            file.write(metrics_line())
    return path


def metrics_line() -> str:
    return f"METRICS_TOKEN={secrets.token_urlsafe(32)}\n"


def demo_environment(*, port: int, amazon_port: int) -> dict[str, str]:
    """What every process of the demo gets beside the shell's own variables.

    DATABASE_URL and REDIS_URL of the shell are kept: the same demo runs on PostgreSQL and Redis.
    """
    keys = dict(line.split("=", 1) for line in keys_file().read_text().splitlines())
    environment = development_environment(
        **keys,
        PUBLIC_BASE_URL=f"http://localhost:{port}",
        AMAZON_EMULATOR_URL=f"http://127.0.0.1:{amazon_port}",
        DATABASE_URL=os.environ.get("DATABASE_URL", ""),
        REDIS_URL=os.environ.get("REDIS_URL", ""),
        VAR_DIR=str(var_dir()),
    )
    return {
        **environment,
        "AMAZON_PORT": str(amazon_port),
        "DJANGO_SETTINGS_MODULE": "sellerlegend.settings",
        # The demo's passwords are public: it listens on this machine only.
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "PYTHONUNBUFFERED": "1",
        "WEB_CONCURRENCY": "2",
    }
