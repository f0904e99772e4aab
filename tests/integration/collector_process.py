"""A collector as a process of its own, for tests: ``python collector_process.py '{"bootstrap": …}'`` runs one."""

import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from collector.partners import load_partners
from collector.server import run
from collector.settings import CollectorSettings
from deploy.embedded.ports import free_port

READY_SECONDS = 30.0
TOKEN = "sesame"
LINK_KEY = "link-key"


class CollectorProcess:
    """Started by ``with``, answering by then; killed at the end unless it has stopped. ``client`` talks to it, over TLS where
    it is given something to ``verify`` the certificate with."""

    def __init__(
        self, bootstrap: str, log: Path, *, verify: ssl.SSLContext | None = None, **settings: Any
    ) -> None:
        self.settings: dict[str, Any] = {
            "bootstrap": bootstrap,
            "port": free_port(),
            "metrics_port": free_port(),
            "tokens": [TOKEN],
            "email_key": "pepper",
            "link_keys": [LINK_KEY],
            "ack_wait_seconds": 2.0,
        } | settings
        self.log = log
        self.url = f"{'https' if verify else 'http'}://127.0.0.1:{self.settings['port']}"
        self.metrics_url = f"http://127.0.0.1:{self.settings['metrics_port']}/metrics"
        self.client = httpx.Client(base_url=self.url, timeout=30.0, verify=verify or True)

    def __enter__(self) -> Self:
        self._start()
        self.await_status("/healthz", 200)
        return self

    def _start(self) -> None:
        command = [sys.executable, __file__, json.dumps(self.settings)]
        root = Path(__file__).parents[2]
        environment = {"PYTHONPATH": str(root)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)

    def run_to_the_end(self) -> int:
        """Start it and wait until it ends by itself; return its exit code."""
        self._start()
        try:
            return self.process.wait(READY_SECONDS)
        finally:
            self.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def await_status(self, path: str, status: int) -> None:
        """Return once a GET of ``path`` is answered with ``status``."""
        deadline = time.monotonic() + READY_SECONDS
        last = ""
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the collector ended: {self.log.read_text()}"
            try:
                response = self.client.get(path)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if response.status_code == status:
                    return
                last = f"{response.status_code} {response.text}"
            time.sleep(0.05)
        raise AssertionError(f"{path} is not {status} after {READY_SECONDS} s: {last}")

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again, at the same addresses; returns when it answers."""
        self._start()
        self.await_status("/healthz", 200)

    def metric(self, name: str) -> float:
        """What it says of a metric without labels, 0 if nothing."""
        for line in httpx.get(self.metrics_url, timeout=30.0).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return 0.0

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.process.terminate()
        return self.process.wait(READY_SECONDS)


def settings_of(text: str) -> CollectorSettings:
    """Return the settings that a JSON object holds; ``partners_file`` names a file of partners."""
    content = json.loads(text)
    partners_file = content.pop("partners_file", "")
    partners = load_partners(Path(partners_file)) if partners_file else {}
    return CollectorSettings(**content, partners=partners)


if __name__ == "__main__":
    run(settings_of(sys.argv[1]))
