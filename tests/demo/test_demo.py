"""`make run` from the outside: it serves, it stops without leftovers, it keeps its data."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sellerlegend.env import METRICS_TOKEN
from tests.demo import procfile
from tests.demo.__main__ import announce
from tests.demo.environment import CHECKOUT, demo_environment, keys_file
from tests.demo.messages import compile_messages
from tests.demo.processes import DemoFailed, only_one, require_all_running, require_free_port

READY_SECONDS = 150
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for leftovers in /proc"
)


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@contextlib.contextmanager
def demo(
    folder: Path, port: int, amazon_port: int, *, until: str = "Ready after"
) -> Iterator[subprocess.Popen[str]]:
    """A demo that printed `until`. It is stopped at the end, whatever the test did."""
    output = folder.parent / "output"
    command = [sys.executable, "-m", "tests.demo", f"--port={port}", f"--amazon-port={amazon_port}"]
    embedded = {"VAR_DIR": str(folder), "DATABASE_URL": "", "REDIS_URL": ""}
    with output.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, **embedded},
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        wait_for(process, output, until)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def wait_for(process: subprocess.Popen[str], output: Path, words: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while words not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.2)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes whose environment names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"VAR_DIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


@needs_proc
@pytest.mark.timeout(400)
def test_the_demo_serves_and_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    port, amazon_port = free_ports()

    with demo(folder, port, amazon_port) as process:
        page = requests.get(f"http://localhost:{port}/accounts/login/", timeout=10)
        amazon = requests.get(f"http://127.0.0.1:{amazon_port}/_control/", timeout=10)
        running = " ".join(processes_of(folder))
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=60)

    assert page.status_code == 200
    assert amazon.status_code == 200
    assert all(word in running for word in ("gunicorn", "worker", "beat", "amazon_emulator"))
    assert status == 0
    assert processes_of(folder) == []
    assert (folder / "database.sqlite3").exists()
    assert (folder / "demo.env").stat().st_mode & 0o777 == 0o600


@needs_proc
@pytest.mark.timeout(400)
def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()

    with demo(folder, *free_ports(), until="celery@") as process:
        process.kill()
        deadline = time.monotonic() + 60
        while processes_of(folder) and time.monotonic() < deadline:
            time.sleep(0.2)

    assert processes_of(folder) == []


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(DemoFailed) as failure:
            require_free_port(port, "PORT")

    assert str(failure.value) == (
        f"Port {port} is taken. Choose another one: make run PORT={port + 10}"
    )


def test_a_second_demo_on_one_folder_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(DemoFailed), only_one(tmp_path):
        pass


def test_the_keys_are_made_once_and_only_their_owner_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))

    first = keys_file().read_text()
    second = keys_file().read_text()

    assert first == second
    assert keys_file().stat().st_mode & 0o777 == 0o600


def test_a_worker_that_ended_is_started_again_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfile, "CHECKOUT", tmp_path)
    (tmp_path / "Procfile").write_text("web: true\nworker: sleep 60\n")
    running = [procfile.start("web", "web"), procfile.start("worker", "worker.2")]
    before = running[1].process
    before.kill()
    for one in running:
        one.process.communicate()

    procfile.restart_workers(running)

    assert [one.has_ended() for one in running] == [True, False]
    with pytest.raises(DemoFailed, match=r"^web stopped"):
        require_all_running(running)
    procfile.kill_what_is_left(running[1])
    for reader in [thread for thread in threading.enumerate() if thread.name == "worker.2"]:
        reader.join()
    running[1].process.communicate()


def test_a_catalogue_is_compiled_once(tmp_path: Path) -> None:
    source = tmp_path / "de" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.write_text('msgid "Pending"\nmsgstr "Ausstehend"\n')

    written = compile_messages(tmp_path)
    again = compile_messages(tmp_path)

    assert written == [source.with_suffix(".mo")]
    assert again == []


# Its metrics -----------------------------------------------------------------------------------


def test_the_demo_has_a_token_for_its_metrics_and_says_how_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    token = demo_environment(port=8000, amazon_port=9001)["METRICS_TOKEN"]
    assert METRICS_TOKEN.fullmatch(token)
    assert demo_environment(port=8000, amazon_port=9001)["METRICS_TOKEN"] == token
    monkeypatch.setenv("METRICS_TOKEN", token)

    announce("http://localhost:8000", "http://127.0.0.1:9001", 1.0)

    told = f"curl -H 'Authorization: Bearer {token}' http://localhost:8000/metrics"
    assert told in capsys.readouterr().out


def test_keys_of_an_older_demo_get_a_token_and_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    old = "DJANGO_SECRET_KEY=old\nTOKEN_ENCRYPTION_KEYS=demo1:old\n"
    (tmp_path / "demo.env").write_text(old)

    token = demo_environment(port=8000, amazon_port=9001)["METRICS_TOKEN"]

    assert keys_file().read_text() == f"{old}METRICS_TOKEN={token}\n"
