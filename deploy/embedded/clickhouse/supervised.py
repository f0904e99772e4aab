"""The embedded ClickHouse as a child process: start, stop, kill."""

import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from deploy.embedded.clickhouse import wire
from deploy.embedded.clickhouse.spill import remove_spill
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child

# The engine loads in a second or two; a first start on a slow machine also compiles the scans.
READY_SECONDS = 120.0
PACKAGES = Path(__file__).resolve().parents[3]


class ClickHouseServer:
    """ClickHouse over one data directory, on a loopback port; its log is `path`.log unless `log` names one.

    `port` 0 picks a free one at every start; `http_port` the same, None for no HTTP; `reader_password` is that of the
    read-only user (without it there is none); `python` is the interpreter of another environment, for another
    engine. `metrics_port` serves Prometheus metrics there. The data stays after `stop` and after `kill`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "default",
        password: str = "",
        python: Path | str = sys.executable,
        metrics_port: int | None = None,
        http_port: int | None = None,
        reader_password: str = "",
        log: Path | str | None = None,
    ) -> None:
        self.path = Path(path)
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.log = Path(log) if log else self.path.with_name(self.path.name + ".log")
        self._python = str(python)
        self._metrics_port = metrics_port
        self.http_port = http_port
        self.reader_password = reader_password
        self._wanted_port = port
        self._wanted_http_port = http_port
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """`clickhouse://user:password@host:port/default`, valid after `start`."""
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return f"clickhouse://{quote(self.user, safe='')}{secret}@{self.host}:{self.port}/default"

    @property
    def http_url(self) -> str:
        """`http://host:port`, valid after `start` of a server with HTTP."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the server; returns when it answers a ping. Raises ChildFailed."""
        self.port = self._wanted_port or free_port(self.host)
        if self._wanted_http_port is not None:
            self.http_port = self._wanted_http_port or free_port(self.host)
        self._child = Child("the embedded ClickHouse", self._command(), self.log, self._environment())
        self._child.start(self._answers, READY_SECONDS)

    def keep_port(self) -> None:
        """Use the ports of this start at every later one: clients know them."""
        self._wanted_port = self.port
        self._wanted_http_port = self.http_port

    def stop(self) -> None:
        """Let running statements finish, then end the process."""
        if self._child:
            self._child.stop(seconds=30)
            self._clear()

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        if self._child:
            self._child.kill()
            self._clear()

    def _command(self) -> list[str]:
        options = [*("--path", str(self.path)), *("--host", self.host), *("--port", str(self.port))]
        options += ["--user", self.user]
        if self.http_port is not None:
            options += ["--http-port", str(self.http_port)]
        if self._metrics_port:
            options += ["--metrics-port", str(self._metrics_port)]
        return [self._python, "-m", "deploy.embedded.clickhouse", *options]

    def _environment(self) -> dict[str, str]:
        inherited = os.environ.get("PYTHONPATH", "")
        places = str(PACKAGES) + (os.pathsep + inherited if inherited else "")
        secrets = {
            "FUNNEL_CLICKHOUSE_PASSWORD": self.password,
            "FUNNEL_CLICKHOUSE_READER_PASSWORD": self.reader_password,
        }
        return {**os.environ, "PYTHONPATH": places, **secrets}

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as link:
                return _pings(link, self.user, self.password)
        except OSError:
            return False

    def _clear(self) -> None:
        remove_spill(self.path)


def _pings(link: socket.socket, user: str, password: str) -> bool:
    """Greet the server and ask for a pong."""
    link.sendall(wire.client_hello(user, password))
    if link.recv(1 << 12)[:1] != wire.HELLO:
        return False
    link.sendall(wire.PING)
    return link.recv(16)[:1] == wire.PONG_TYPE
