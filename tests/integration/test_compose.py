"""The image and docker-compose.yml: linted, valid, hardened, without a secret, and doing what they say.

No Docker is needed: each funnel service's command is run as it stands there, with the image's and the service's environment, on a read-only
root where this machine lets one have that. Only addresses are those of the embedded broker and engine.
"""

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from ruamel.yaml import YAML

from deploy.cli import funnel
from deploy.embedded.clickhouse.access.lists import LIMITS
from deploy.embedded.ports import free_port
from deploy.embedded.stack import answers, owns_partitions
from deploy.embedded.supervise import Child
from deploy.settings import PREFIX, SETTINGS, clickhouse_settings, read_settings
from sinks.clickhouse.client import connect
from tests.support import Running, drain

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
TOOLS = Path(sys.executable).parent
SECRETS = {
    "CLICKHOUSE_PASSWORD": "of ClickHouse",
    "FUNNEL_TOKENS": "token",
    "FUNNEL_EMAIL_KEY": "key",
    "FUNNEL_LINK_KEYS": "link",
    "CLICKHOUSE_READER_PASSWORD": "of its reader",
    "FUNNEL_DASHBOARD_PASSWORD": "of the page",
    "GRAFANA_PASSWORD": "of Grafana",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
READ_ONLY = (
    "mount --bind {root} /mnt && mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && mkdir -p {root} && "
    'mount --bind /mnt {root} && mount -o remount,bind,ro {root} && cd / && exec "$@"'
).format(root=shlex.quote(str(ROOT)))
"""What a container does to a process that is started with read_only and a tmpfs at /tmp; the project stays, even if it is in /tmp."""


def compose() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(COMPOSE.read_text()))


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def ours() -> dict[str, dict[str, Any]]:
    """The services that run funnel."""
    return {name: one for name, one in services().items() if one["image"].startswith("funnel:")}


def image_environment() -> dict[str, str]:
    """What the Dockerfile's last ENV sets."""
    lines = DOCKERFILE.read_text().replace("\\\n", " ")
    [text] = re.findall(r"^ENV (.*NUMBA.*)$", lines, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in text.split())


def filled(value: Any, environ: Mapping[str, str]) -> str:
    """Return a value with its variables replaced, as compose does. KeyError for one that is required and missing."""

    def replace(found: re.Match[str]) -> str:
        name, operator, default = found.groups()
        return environ.get(name, default) if operator == "-" else environ[name]

    return VARIABLE.sub(replace, str(value))


def environment(name: str) -> dict[str, str]:
    """The variables that a service's process has: the image's and its own."""
    own = services()[name].get("environment", {})
    return image_environment() | {key: filled(value, SECRETS) for key, value in own.items()}


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_hadolint() -> None:
    run(str(TOOLS / "hadolint"), str(DOCKERFILE))


def test_the_compose_file_is_of_the_specification() -> None:
    run(str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


@pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="promtool is not on this machine (apt: prometheus)",
)
def test_prometheus_takes_its_configuration() -> None:
    run("promtool", "check", "config", str(PROMETHEUS))


def test_prometheus_scrapes_what_serves_metrics() -> None:
    jobs = YAML(typ="safe").load(PROMETHEUS.read_text())["scrape_configs"]
    named = {
        (name, config["port"])
        for job in jobs
        for config in job.get("dns_sd_configs", ())
        for name in config["names"]
    }
    lasting = {name for name, one in ours().items() if one["restart"] != "no"}
    assert named == {(name, int(image_environment()["FUNNEL_METRICS_PORT"])) for name in lasting}


@pytest.mark.parametrize("image", [*re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)])
def test_the_base_is_pinned(image: str) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("name", services())
def test_every_service_is_hardened(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "only this machine may connect"
    pinned = re.fullmatch(r"[\w./-]+:v?[\d.]+@sha256:[0-9a-f]{64}", service["image"])
    assert pinned or name in ours()


@pytest.mark.parametrize("name", services())
def test_what_a_service_waits_for_can_come(name: str) -> None:
    """`service_healthy` needs a health check, `service_completed_successfully` a service that ends."""
    for other, wait in services()[name].get("depends_on", {}).items():
        one = services()[other]
        match wait["condition"]:
            case "service_healthy":
                assert one["healthcheck"]["test"]
            case "service_completed_successfully":
                assert one["restart"] == "no"
            case condition:
                assert condition == "service_started"


def test_every_volume_is_named_or_a_file_of_ours() -> None:
    named = set(compose()["volumes"])
    for service in services().values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in named or (volume.endswith(":ro") and (ROOT / source).is_file())


def test_grafana_is_given_every_dashboard_and_what_provisions_them() -> None:
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in services()["grafana"]["volumes"]}
    grafana = ROOT / "deploy" / "grafana"
    [provider] = YAML(typ="safe").load((grafana / "provisioning/dashboards/funnel.yml").read_text())[
        "providers"
    ]
    boards = {f"{provider['options']['path']}/{path.name}" for path in (grafana / "dashboards").iterdir()}
    assert boards < mounted.keys()
    assert services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in boards
    for kind in ("datasources", "dashboards"):
        assert f"/etc/grafana/provisioning/{kind}/funnel.yml" in mounted


def test_no_secret_is_in_the_files() -> None:
    """Every variable that is a secret comes from the environment, and there is no default for it."""
    secret = {one.variable for one in SETTINGS if one.secret}
    secret |= {"CLICKHOUSE_PASSWORD", "CLICKHOUSE_READER_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"}
    found = [
        (name, value)
        for service in services().values()
        for name, value in service.get("environment", {}).items()
        if name in secret
    ]
    assert found
    for name, value in found:
        match = VARIABLE.fullmatch(value)
        assert match and match[2] == "?", f"{name} is required of the environment"
    assert not secret & image_environment().keys()
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", ours())
def test_every_command_is_one_of_funnels_with_settings_that_exist(name: str) -> None:
    service = ours()[name]
    [command] = service["command"]
    context = funnel.make_context("funnel", [command], resilient_parsing=True)
    assert funnel.get_command(context, command) is not None
    variables = {key: value for key, value in environment(name).items() if key.startswith(PREFIX)}
    values = read_settings(variables)
    assert values["kafka"] == "kafka:9092"
    port = values["dashboard_port" if name == "dashboard" else "port"]
    published = [port.split(":") for port in service.get("ports", ())]
    assert all(int(inside) == port for _, _, inside in published)


def test_the_live_page_is_told_the_readers_password_alone() -> None:
    """The reader is a file of ClickHouse's: one profile with limits that it cannot raise, one user with the right to look at the database."""
    told = services()["dashboard"]["environment"]
    assert "CLICKHOUSE_PASSWORD}" not in str(told) and "${CLICKHOUSE_PASSWORD" not in str(told)
    root = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "reader.xml").getroot()
    user = root.find(f"users/{told['FUNNEL_CLICKHOUSE_USER']}")
    assert user is not None
    variable = user.find("password").get("from_env")  # type: ignore[union-attr]
    assert services()["clickhouse"]["environment"][variable] == told["FUNNEL_CLICKHOUSE_PASSWORD"]
    assert [grant.text for grant in user.findall("grants/query")] == [
        f"GRANT SELECT ON {told['FUNNEL_CLICKHOUSE_DATABASE']}.*"
    ]
    profile = root.find(f"profiles/{user.findtext('profile')}")
    assert profile is not None and profile.findtext("readonly") == "2"
    limits = {child.tag: child.text for child in profile if child.tag not in ("readonly", "constraints")}
    bounds = {child.tag: child.findtext("max") for child in profile.findall("constraints/*[max]")}
    assert limits == bounds == {name: str(most) for name, most in LIMITS.items()}


def test_the_clusters_id_is_one() -> None:
    assert len(base64.urlsafe_b64decode(services()["kafka"]["environment"]["CLUSTER_ID"] + "==")) == 16


def test_the_image_has_what_funnel_needs_and_no_more() -> None:
    """Its lock has the versions of ours, with hashes, and not the embedded engine."""
    pins = {
        name: set(re.findall(r"^([\w.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "deploy/requirements.lock")
    }
    image = pins["deploy/requirements.lock"]
    assert image < pins["requirements.lock"]
    assert not {pin for pin in image if pin.startswith(("chdb", "calfkit", "pytest"))}


def test_the_context_leaves_out_all_but_what_is_installed() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    assert kept == {"pyproject.toml", "README.md", "LICENSE", *PACKAGES}


PACKAGES = ("collector", "dashboard", "deploy", "schemas", "simulator", "sinks", "streams")


def read_only_prefix() -> list[str]:
    """The command that gives another one a read-only root; none on a machine that does not let us."""
    prefix = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
    if shutil.which("unshare") and _runs([*prefix, "true"]):
        return prefix
    return []


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


class Composed:
    """The services of docker-compose.yml over the embedded servers."""

    def __init__(self, running: Running, directory: Path) -> None:
        self.running = running
        self.directory = directory
        self.ports = {"collector": free_port(), "dashboard": free_port()}

    def environment(self, name: str, metrics: int) -> dict[str, str]:
        """The service's variables, with addresses and ClickHouse's account as they are here."""
        here = {
            name: value for name, value in self.running.stack.settings().items() if name.startswith(PREFIX)
        }
        wanted = environment(name)
        translated = {
            variable: here[variable]
            for variable in ("FUNNEL_KAFKA", *(f"FUNNEL_CLICKHOUSE_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD")))
            if variable in wanted or (variable == "FUNNEL_CLICKHOUSE_PORT" and "FUNNEL_CLICKHOUSE_HOST" in wanted)
        }  # fmt: skip
        if "FUNNEL_PORT" in wanted:
            translated["FUNNEL_PORT"] = str(self.ports[name])
        if "FUNNEL_PROBE_URL" in wanted:
            translated["FUNNEL_PROBE_URL"] = f"http://127.0.0.1:{self.ports['collector']}"
        if name == "dashboard":
            translated["FUNNEL_DASHBOARD_PORT"] = str(self.ports[name])
        if wanted.get("FUNNEL_CLICKHOUSE_USER") == "reader":
            translated["FUNNEL_CLICKHOUSE_USER"] = here["FUNNEL_DASHBOARD_CLICKHOUSE_USER"]
            translated["FUNNEL_CLICKHOUSE_PASSWORD"] = here["FUNNEL_DASHBOARD_CLICKHOUSE_PASSWORD"]
        if "FUNNEL_SPOOL_DIR" in wanted:
            # In place of the volume: what is writable in there.
            translated["FUNNEL_SPOOL_DIR"] = "/tmp/spool"
        system = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return {**wanted, **translated, **system, "FUNNEL_METRICS_PORT": str(metrics)}

    def child(self, name: str, number: int = 0) -> tuple[Child, str]:
        """A container of the service, not started yet, and where its metrics are."""
        port = free_port()
        command = [*read_only_prefix(), sys.executable, "-m", "deploy.cli", *services()[name]["command"]]
        log = self.directory / f"{name}-{number}.log"
        return Child(name, command, log, self.environment(name, port)), f"http://127.0.0.1:{port}/metrics"


def is_healthy(name: str, inside: int, port: int, tries: int = 10) -> bool:
    """Run the service's health check until it is content; ``port`` stands for the container's own."""
    [_, command, *arguments] = services()[name]["healthcheck"]["test"]
    assert command == "python"
    arguments = [argument.replace(f":{inside}/", f":{port}/") for argument in arguments]
    return any(_runs([sys.executable, *arguments]) or time.sleep(1) for _ in range(tries))


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    running = Running(tmp_path / "servers")
    try:
        running.stack.start_servers()
        yield Composed(running, tmp_path)
    finally:
        running.stack.stop()


def test_events_arrive_through_the_services_as_they_stand_there(composed: Composed) -> None:
    init, _ = composed.child("init")
    done = subprocess.run(
        init.command, check=False, env=init.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    url = f"http://127.0.0.1:{composed.ports['collector']}"
    collector, _ = composed.child("collector")
    dashboard, page_metrics = composed.child("dashboard")
    probe, seen = composed.child("probe")
    workers = [
        composed.child("worker", number) for number in range(services()["worker"]["deploy"]["replicas"])
    ]
    try:
        collector.start(lambda: answers(url + "/readyz"), 60.0)
        for worker, metrics in workers:
            worker.start(lambda metrics=metrics: owns_partitions(metrics), 120.0)  # type: ignore[misc]
        assert is_healthy("collector", 8080, composed.ports["collector"])
        assert all(
            is_healthy("worker", 9100, int(metrics.split(":")[2].split("/")[0])) for _, metrics in workers
        )
        assert not is_healthy("worker", 9100, free_port(), tries=1)
        events = [
            {"kind": "click", "visitor_id": f"customer-{number}", "campaign": "spring"}
            for number in range(20)
        ]
        with httpx.Client(base_url=url, trust_env=False) as client:
            bearer = {"Authorization": f"Bearer {SECRETS['FUNNEL_TOKENS']}"}
            assert client.post("/events", json={"events": events}, headers=bearer).is_success
        values = read_settings(
            {
                name: value
                for name, value in composed.environment("worker", 1).items()
                if name.startswith(PREFIX)
            }
        )
        drain(values)
        connection = connect(clickhouse_settings(values))
        assert connection.query("SELECT sum(clicks) FROM funnel_hour") == [(20,)]
        connection.close()
        page = f"http://127.0.0.1:{composed.ports['dashboard']}"
        dashboard.start(lambda: answers(page + "/healthz"), 60.0)
        assert is_healthy("dashboard", 8090, composed.ports["dashboard"])
        assert clicks_shown(page) == 20
        assert "funnel_dashboard_answers_total" in httpx.get(page_metrics, trust_env=False).text
        probe.start(lambda: "funnel_probe_round_trip_seconds_count 1.0" in scraped(seen), 60.0)
        assert is_healthy("probe", 9100, int(seen.split(":")[2].split("/")[0]))
    finally:
        for child in (probe, dashboard, collector, *(worker for worker, _ in workers)):
            assert child.stop(40.0) in (0, None), child.log.read_text()


def scraped(metrics: str) -> str:
    """What a process says of itself; nothing before it does."""
    try:
        return httpx.get(metrics, trust_env=False).text
    except httpx.HTTPError:
        return ""


def clicks_shown(page: str) -> int:
    """Log in to the live page and read how many clicks it shows."""
    with httpx.Client(base_url=page, trust_env=False) as client:
        assert client.get("/api/overview").status_code == 401
        entered = client.post("/login", data={"password": SECRETS["FUNNEL_DASHBOARD_PASSWORD"]})
        assert entered.status_code == 303
        return int(client.get("/api/overview?range=1h").json()["totals"]["clicks"])
