"""Everything on one machine: broker, ClickHouse, collector and workers as supervised children."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from collector.partners import FIELDS
from deploy.embedded.broker import Broker, LocalBroker
from deploy.embedded.clickhouse import ClickHouseServer
from deploy.embedded.clickhouse.access.users import READER
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child, ChildFailed
from deploy.private import write_private
from deploy.scrape import ask
from deploy.secrets import embedded_secrets
from deploy.settings import FILE_SUFFIX, PREFIX
from simulator.catalog import PARTNERS

READY_SECONDS = 90.0


@dataclass(slots=True)
class Process:
    """A `funnel` command as a child, with the address of its metrics."""

    child: Child
    metrics: str


@dataclass(slots=True)
class Stack:
    """The embedded parts over one data directory. ``environ`` is what children inherit, without FUNNEL_* variables of ours.

    ``make_broker`` makes the broker that is started with it, given the folder of the logs.
    """

    directory: Path
    environ: Mapping[str, str]
    port: int = 0
    dashboard_port: int = 0
    clickhouse_port: int = 0
    clickhouse_http_port: int = 0
    make_broker: Callable[[Path], LocalBroker] = Broker
    processes: dict[str, Process] = field(default_factory=dict)
    broker: LocalBroker = field(init=False)
    clickhouse: ClickHouseServer = field(init=False)
    clickhouse_metrics: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _settings: dict[str, str] = field(default_factory=dict)

    def start_servers(self) -> None:
        """Start broker and ClickHouse. Raises ChildFailed or OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        known = embedded_secrets(self.directory)
        logs = self.directory / "logs"
        broker = self.broker = self.make_broker(logs)
        self._open.callback(broker.stop)
        broker.start()
        metrics_port = free_port()
        server = ClickHouseServer(
            self.directory / "clickhouse",
            port=self.clickhouse_port,
            password=known["clickhouse_password"],
            metrics_port=metrics_port,
            http_port=self.clickhouse_http_port,
            reader_password=known["clickhouse_reader_password"],
            log=logs / "clickhouse.log",
        )
        self._open.enter_context(server)
        # The ports stay when it is started again: clients know them.
        server.keep_port()
        self.clickhouse = server
        # Its alphabet needs no quoting.
        write_private(self.curl_options, f'user = "{READER}:{known["clickhouse_reader_password"]}"\n')
        self.clickhouse_metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        # A broker that somebody else started has no process here; and 0 would be a signal to ourselves.
        self.pids = {name: pid for name, pid in (("broker", broker.pid), ("clickhouse", server.pid)) if pid}
        self._settings = {
            "KAFKA": broker.bootstrap,
            "CLICKHOUSE_HOST": server.host,
            "CLICKHOUSE_PORT": str(server.port),
            "CLICKHOUSE_HTTP_PORT": str(server.http_port),
            "CLICKHOUSE_USER": server.user,
            "CLICKHOUSE_PASSWORD": known["clickhouse_password"],
            "TOKENS": known["token"],
            "EMAIL_KEY": known["email_key"],
            "LINK_KEYS": known["link_key"],
            "COOKIE_SECURE": "0",
            # Everything comes from this machine.
            "RATE_PER_ADDRESS": "0",
            "RATE_PER_KEY": "0",
            # On this machine only, and asked whether it is ready over plain HTTP.
            "TLS_CERT": "",
            "TLS_KEY": "",
            "HOST": "127.0.0.1",
            "PORT": str(self.port or free_port()),
            "DASHBOARD_HOST": "127.0.0.1",
            "DASHBOARD_PORT": str(self.dashboard_port or free_port()),
            "DASHBOARD_CLICKHOUSE_USER": READER,
            "DASHBOARD_CLICKHOUSE_PASSWORD": known["clickhouse_reader_password"],
            "DATA_DIR": str(self.directory),
        }
        self._settings["PROBE_URL"] = self.collector_url
        if PREFIX + "LINKS_FILE" not in self.environ:
            self._settings["LINKS_FILE"] = str(self._links())
        if PREFIX + "PARTNERS_FILE" not in self.environ:
            self._settings["PARTNERS_FILE"] = str(self._partners(known["postback_secret"]))
        if PREFIX + "SPOOL_DIR" not in self.environ:
            self._settings["SPOOL_DIR"] = str(self.directory / "spool")

    @property
    def curl_options(self) -> Path:
        """A file of options for curl that holds the reader's name and password: so they are on no command line."""
        return self.directory / "reader.curl"

    def _links(self) -> Path:
        """Return the links file in the data directory: there at the first start with one link to try, and the user's to change."""
        path = self.directory / "links.json"
        if not path.exists():
            path.write_text(json.dumps({"home": "https://example.com/?campaign={campaign}"}) + "\n")
        return path

    def _partners(self, secret: str) -> Path:
        """Return the partners file in the data directory: there at the first start with the simulator's partners, and the user's to change."""
        path = self.directory / "partners.json"
        if not path.exists():
            described = {"fields": {name: f"{{{name}}}" for name in FIELDS}, "secrets": [secret]}
            partners = dict.fromkeys(sorted(set(PARTNERS)), described)
            write_private(path, json.dumps(partners, indent=1) + "\n")
        return path

    def settings(self, **more: str) -> dict[str, str]:
        """Return the FUNNEL_* variables of a child; what the caller's environment sets stays, unless it is ours to say."""
        ours = {PREFIX + name: value for name, value in {**self._settings, **more}.items()}
        # Nor may the environment name a file for a secret that is ours to say.
        inherited = {
            name: value for name, value in self.environ.items() if name.removesuffix(FILE_SUFFIX) not in ours
        }
        return {**inherited, **ours}

    @property
    def collector_url(self) -> str:
        """Where the collector listens."""
        return f"http://127.0.0.1:{self._settings['PORT']}"

    def start(self, name: str, command: str, ready: Callable[[str], bool], **more: str) -> Process:
        """Start ``funnel command`` as the child ``name`` and wait until ``ready(metrics address)``. Raises ChildFailed."""
        port = free_port()
        metrics = f"http://127.0.0.1:{port}/metrics"
        child = Child(
            f"the {name}",
            [sys.executable, "-m", "deploy.cli", command],
            self.directory / "logs" / f"{name}.log",
            self.settings(METRICS_PORT=str(port), **more),
        )
        process = self.processes[name] = Process(child, metrics)
        self._open.callback(child.stop)
        child.start(lambda: ready(metrics), READY_SECONDS)
        return process

    def start_collector(self) -> Process:
        """Start the collector; it is ready when it would keep an event: in the broker, which is there by then."""
        return self.start("collector", "collector", lambda _: answers(self.collector_url + "/readyz"))

    def start_worker(self, name: str = "worker", **more: str) -> Process:
        """Start a worker; it is ready when it owns partitions."""
        return self.start(name, "worker", owns_partitions, **more)

    @property
    def dashboard_url(self) -> str:
        """Where the live page is."""
        return f"http://127.0.0.1:{self._settings['DASHBOARD_PORT']}/"

    def start_dashboard(self, **more: str) -> Process:
        """Start the live page. Raises ChildFailed."""
        return self.start("dashboard", "dashboard", lambda _: answers(self.dashboard_url + "healthz"), **more)

    @property
    def metrics(self) -> dict[str, str]:
        """Where the metrics of each part are, by its name; the broker has none."""
        return {"clickhouse": self.clickhouse_metrics} | {
            name: process.metrics for name, process in self.processes.items()
        }

    def check(self) -> None:
        """Raise ChildFailed where a part has ended although nobody stopped it."""
        parts = [
            ("the broker", self.broker.pid, self.broker.log),
            ("ClickHouse", self.clickhouse.pid, self.clickhouse.log),
        ]
        parts += [
            (process.child.name, process.child.pid, process.child.log) for process in self.processes.values()
        ]
        for name, pid, log in parts:
            if pid is None:
                raise ChildFailed(name, "has ended", None, log)

    def on_stop(self, stop: Callable[[], object]) -> None:
        """Have ``stop`` called before what was started earlier is stopped."""
        self._open.callback(stop)

    def stop(self) -> None:
        """Stop everything, in the reverse order of starting."""
        self._open.close()


def answers(url: str) -> bool:
    """Return whether ``url`` answers 200."""
    try:
        return ask(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def owns_partitions(metrics: str) -> bool:
    """Return whether the worker with these metrics owns partitions."""
    try:
        text = ask(metrics).text
    except httpx.HTTPError:
        return False
    return any(
        line.startswith("funnel_worker_partitions ") and float(line.split()[1]) > 0
        for line in text.splitlines()
    )
