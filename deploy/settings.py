"""FUNNEL_* variables: the one place where the environment is read.

Every variable is in `SETTINGS` with its type, default and meaning; an unknown or malformed one is refused by name.
"""

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collector.cors import check_origin
from collector.links import load_links
from collector.partners import load_partners
from collector.settings import CollectorSettings
from dashboard.settings import DashboardSettings
from schemas.attribution import Models, default_models, load_models
from schemas.bounds import MOST_AHEAD_SECONDS, MOST_UNITS, Bounds
from schemas.remote import RegistrySettings, check_url
from sinks.clickhouse.settings import ClickHouseSettings
from streams.settings import DAY_MS, WorkerSettings

PREFIX = "FUNNEL_"
TEST_PREFIX = "FUNNEL_TEST_"
"""Variables for the test suite; no process of the product looks at them."""
FILE_SUFFIX = "_FILE"
"""What a secret's variable ends in where it names a file that holds the secret, as systemd and orchestrators hand them over."""


class SettingsError(ValueError):
    """A variable is unknown or malformed. ``variable`` names it."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where the front door is; seconds between two probes, and after how many one has failed."""

    url: str
    seconds: float
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: how it is read (``parse`` raises ValueError), its default as text, and what it means."""

    name: str
    kind: str
    parse: Callable[[str], Any]
    default: str
    meaning: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return PREFIX + self.name.upper()


def _text(name: str, default: str, meaning: str, secret: bool = False) -> Setting:
    return Setting(name, "text", str, default, meaning, secret)


def _number(name: str, default: int, meaning: str, least: int = 0, most: int = 10**12) -> Setting:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}")
        return value

    return Setting(name, "whole number", parse, str(default), meaning)


def _seconds(name: str, default: float, meaning: str) -> Setting:
    def parse(text: str) -> float:
        value = float(text)
        if not 0 < value < 10**9:
            raise ValueError("must be above 0")
        return value

    return Setting(name, "seconds", parse, str(default), meaning)


def _rate(name: str, default: float, meaning: str) -> Setting:
    def parse(text: str) -> float:
        value = float(text)
        if not 0 <= value < 10**9:
            raise ValueError("must be 0 or more")
        return value

    return Setting(name, "number a second", parse, str(default), meaning)


def _flag(name: str, default: bool, meaning: str) -> Setting:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}

    def parse(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError("must be 1 or 0")
        return words[text.lower()]

    return Setting(name, "1 or 0", parse, "1" if default else "0", meaning)


def _port(name: str, default: int, meaning: str, least: int = 1) -> Setting:
    return _number(name, default, meaning, least, 65535)


def _file(name: str, meaning: str) -> Setting:
    def parse(text: str) -> str:
        if text and not Path(text).is_file():
            raise ValueError("there is no such file")
        return text

    return Setting(name, "file", parse, "", meaning)


def _servers(name: str, default: str, meaning: str) -> Setting:
    def parse(text: str) -> str:
        for server in text.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit():
                raise ValueError(f"{server!r} is not host:port")
        return text

    return Setting(name, "host:port, by commas", parse, default, meaning)


def _url(name: str, meaning: str) -> Setting:
    return Setting(name, "URL", check_url, "", meaning)


def _networks(name: str, meaning: str) -> Setting:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())

    return Setting(name, "networks, by commas", parse, "", meaning)


def _origins(name: str, meaning: str) -> Setting:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(check_origin(part.strip()) for part in text.split(",") if part.strip())

    return Setting(name, "list of origins, by commas", parse, "", meaning)


def _list(name: str, meaning: str, secret: bool = False) -> Setting:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Setting(name, "list, by commas", parse, "", meaning, secret)


SETTINGS: tuple[Setting, ...] = (
    _text("data_dir", ".funnel", "Where `funnel up` keeps data, logs and generated secrets."),
    _servers("kafka", "127.0.0.1:9092", "Kafka's bootstrap servers."),
    _number("partitions", 4, "Partitions of each topic when `funnel init` creates it.", 1),
    _number("replication", 1, "Replicas of each topic.", 1),
    _number("min_insync_replicas", 1, "Replicas that must have a record before it is acknowledged.", 1),
    _number("retention_hours", 168, "How long Kafka keeps records.", 1),
    _text("clickhouse_host", "127.0.0.1", "ClickHouse's host."),
    _port("clickhouse_port", 9000, "ClickHouse's port of the native protocol."),
    _port("clickhouse_http_port", 8123, "Port where `funnel up` serves ClickHouse's HTTP interface."),
    _text("clickhouse_user", "default", "ClickHouse's user."),
    _text("clickhouse_password", "", "Its password.", secret=True),
    _text("clickhouse_database", "default", "Database of all tables."),
    _flag("clickhouse_secure", False, "Talk TLS to ClickHouse."),
    _flag("clickhouse_compression", False, "Compress with LZ4 on the way to ClickHouse."),
    _flag("clickhouse_replicated", False, "Create tables with Replicated engines."),
    _text("clickhouse_cluster", "", "Cluster for ON CLUSTER; empty for a single server."),
    _list(
        "clickhouse_replicas", "Other replicas of the worker's shard (host:port), which get the owners too."
    ),
    _number(
        "journal_retention_days",
        0,
        "Days that the journal keeps impressions, rejects, forwards and postbacks (0: for ever); `funnel init` applies it.",
    ),
    _text("host", "127.0.0.1", "Address the collector listens on."),
    _port("port", 8080, "Port the collector listens on."),
    _text("metrics_host", "127.0.0.1", "Address where /metrics is served."),
    _port("metrics_port", 0, "Port where /metrics is served (0: any, which the process logs).", 0),
    _list("tokens", "Bearer tokens of POST /events; without one that door is shut.", secret=True),
    _text(
        "email_key",
        "",
        "Key of the hashes of e-mail addresses and telephone numbers; without it events with one are refused.",
        secret=True,
    ),
    _text("phone_region", "", "Country (such as DE) whose telephone numbers may come without country code."),
    _list("query_parameters", "Query parameters that recorded URLs keep, beside those funnel knows."),
    _list("link_keys", "Keys that may have signed redirect targets.", secret=True),
    _text("links_file", "", "JSON file of configured redirect targets by name."),
    _text("partners_file", "", "JSON file of the partners that may send postbacks, with their secrets."),
    _number("postback_tolerance_seconds", 300, "How far a postback's signed time may be from ours.", 1, 3600),
    _networks("trusted_proxies", "Networks (CIDR) whose X-Forwarded-For is believed."),
    _origins("origins", "Origins (https://shop.example) whose pages may read the collector's answers."),
    _flag("cookie_secure", True, "Set the visitor cookie for HTTPS only."),
    _number("cookie_days", 365, "Days that a browser keeps the visitor cookie.", 1, 400),
    _flag("http2", False, "Speak HTTP/2 beside HTTP/1.1; then connections that stay silent are not closed."),
    _file("tls_cert", "Certificate chain (PEM) of the collector; with FUNNEL_TLS_KEY it talks HTTPS."),
    _file("tls_key", "Private key (PEM, without a password) of that certificate."),
    _seconds("read_seconds", 10.0, "How long the head of a request, and its body, may take to arrive."),
    _rate("rate_per_address", 200, "Requests a second that the collector takes from one address (0: any)."),
    _rate(
        "rate_per_key", 200, "Requests a second with one token of POST /events, or of one partner (0: any)."
    ),
    _seconds("ack_wait_seconds", 5.0, "How long the collector waits for the broker before it answers 503."),
    _text(
        "spool_dir",
        "",
        "Folder where the collector keeps events while the broker is away, of its own for each; empty: it answers 503.",
    ),
    _number("spool_max_bytes", 1 << 30, "Most that the spool takes on disk; full, it answers 503.", 1 << 20),
    _url(
        "schema_registry_url",
        "Schema Registry (Confluent's REST interface) that gives the schema ids; empty: the checked-in ids hold.",
    ),
    _text("schema_registry_user", "", "User of the Schema Registry; empty: none is asked for."),
    _text("schema_registry_password", "", "Its password.", secret=True),
    _number(
        "amount_limit",
        MOST_UNITS,
        "The most that an amount may be, in whole currency units; the same for collectors and workers.",
        1,
        MOST_UNITS,
    ),
    _number(
        "future_tolerance_seconds",
        3600,
        "How far an event's time may lie ahead of when it was received; the same for collectors and workers.",
        0,
        MOST_AHEAD_SECONDS,
    ),
    _text("group", "funnel", "Consumer group of the workers."),
    _seconds("session_timeout_seconds", 6.0, "Kafka session timeout of a worker."),
    _seconds(
        "stop_seconds",
        20.0,
        "How long a worker lets a flush in flight land before it gives its partitions up, at a rebalance or when it is stopped.",
    ),
    _number(
        "stall_seconds",
        600,
        "Seconds without progress, while the log grows, after which a worker ends itself; 0: never.",
        0,
    ),
    _seconds(
        "ready_seconds",
        15.0,
        "How long Kafka or ClickHouse may be silent before a worker says it is not ready.",
    ),
    _number("flush_rows", 50_000, "Records at which a flush is due.", 1),
    _number("flush_ms", 500, "Milliseconds after its first record at which a flush is due.", 1),
    _number(
        "align_slack_ms",
        2_000,
        "Milliseconds of record time by which a partition may be read ahead of those behind it.",
        0,
    ),
    _number("dedup_window_hours", 24, "Within how many hours of record time an id is a duplicate.", 1),
    _number("hot_window_hours", 24, "How many hours of touches and transactions stay in memory.", 1),
    _number("person_limit", 20, "Visitors that one person may have; with more, each stands for itself.", 1),
    _file("attribution_file", "JSON file of attribution models; empty: those that come with funnel."),
    _number("max_ids", 100_000_000, "Bound on remembered ids per partition of a topic.", 1000),
    _text(
        "dashboard_host",
        "127.0.0.1",
        "Address that the live page listens on; any but loopback needs a password.",
    ),
    _port("dashboard_port", 8090, "Port of the live page."),
    _text("dashboard_password", "", "Password of the live page; empty: none is asked for.", secret=True),
    _flag(
        "dashboard_cookie_secure",
        True,
        "Whether its cookie needs HTTPS, which a proxy in front has to speak.",
    ),
    _text(
        "dashboard_clickhouse_user",
        "",
        "Read-only user that it asks ClickHouse as; empty: as clickhouse_user.",
    ),
    _text("dashboard_clickhouse_password", "", "That user's password.", secret=True),
    _seconds("dashboard_lag_seconds", 30.0, "From which delay of the numbers on the live page says so."),
    _seconds("dashboard_silent_seconds", 300.0, "After how long without events the live page says so."),
    _text("probe_url", "http://127.0.0.1:8080", "Front door that the synthetic probe sends through."),
    _seconds("probe_seconds", 60.0, "Between two synthetic probes."),
    _seconds("probe_patience_seconds", 30.0, "After how long without its event a probe has failed."),
    _file("geo_country_mmdb", "MMDB file that knows countries; empty: country stays empty."),
    _file("geo_asn_mmdb", "MMDB file that knows network owners; empty: network stays empty."),
    _flag(
        "accept_log_loss",
        False,
        "Go on from the log's start where the journal's fence lies outside the log, or the topic was recreated.",
    ),
)


def read_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return all settings by name. Raises SettingsError for an unknown or malformed variable."""
    known = {setting.variable for setting in SETTINGS}
    known |= {setting.variable + FILE_SUFFIX for setting in SETTINGS if setting.secret}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and not variable.startswith(TEST_PREFIX) and variable not in known:
            raise SettingsError(variable, "there is no such setting (see `funnel settings`)")
    values = {setting.name: _read(setting, environ) for setting in SETTINGS}
    if values["min_insync_replicas"] > values["replication"]:
        raise SettingsError(
            "FUNNEL_MIN_INSYNC_REPLICAS", "is more than FUNNEL_REPLICATION: nothing could be sent"
        )
    _check_retention(values)
    if bool(values["tls_cert"]) != bool(values["tls_key"]):
        missing = "FUNNEL_TLS_KEY" if values["tls_cert"] else "FUNNEL_TLS_CERT"
        raise SettingsError(missing, "is missing beside the other: a certificate and its key go together")
    return values


def _check_retention(values: Mapping[str, Any]) -> None:
    """Rows that duplicates are told by, or that Kafka still has the records of, must not go."""
    needed = {name: values[name] for name in ("dedup_window_hours", "hot_window_hours", "retention_hours")}
    longest = max(needed, key=needed.__getitem__)
    # The window reaches an hour further back: record times may run backwards by so much.
    if 0 < values["journal_retention_days"] * 24 <= needed[longest]:
        raise SettingsError(
            "FUNNEL_JOURNAL_RETENTION_DAYS",
            f"must be more than FUNNEL_{longest.upper()} ({needed[longest]} h), or 0",
        )


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = _given(setting, environ)
    try:
        return setting.parse(text)
    except ValueError as error:
        # A URL may carry a password, which is one thing that may be wrong with it.
        shown = "its value" if setting.secret or setting.kind == "URL" else repr(text)
        raise SettingsError(setting.variable, f"{shown} is not a {setting.kind}: {error}") from None


def _given(setting: Setting, environ: Mapping[str, str]) -> str:
    """Return a setting's text: the variable's, of a secret what is in the file that is named instead, or the default."""
    pointer = setting.variable + FILE_SUFFIX
    if not setting.secret or pointer not in environ:
        return environ.get(setting.variable, setting.default)
    if setting.variable in environ:
        raise SettingsError(pointer, f"stands beside {setting.variable}: set one of them")
    try:
        text = Path(environ[pointer]).read_text("utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        raise SettingsError(pointer, f"cannot be read: {error}") from None
    if not text:
        raise SettingsError(pointer, "is an empty file")
    return text


def collector_settings(values: Mapping[str, Any]) -> CollectorSettings:
    """Return what the collector can be told. Raises SettingsError where a file that it names cannot be used."""
    try:
        links = load_links(Path(values["links_file"])) if values["links_file"] else {}
    except (OSError, ValueError) as error:
        raise SettingsError("FUNNEL_LINKS_FILE", str(error)) from None
    try:
        partners = load_partners(Path(values["partners_file"])) if values["partners_file"] else {}
    except (OSError, ValueError) as error:
        raise SettingsError("FUNNEL_PARTNERS_FILE", str(error)) from None
    _check_certificate(values["tls_cert"], values["tls_key"])
    return CollectorSettings(
        bootstrap=values["kafka"],
        host=values["host"],
        port=values["port"],
        metrics_host=values["metrics_host"],
        metrics_port=values["metrics_port"],
        tokens=values["tokens"],
        email_key=values["email_key"],
        phone_region=values["phone_region"].upper(),
        query_parameters=tuple(name.lower() for name in values["query_parameters"]),
        link_keys=values["link_keys"],
        links=links,
        partners=partners,
        postback_tolerance_seconds=values["postback_tolerance_seconds"],
        trusted_proxies=values["trusted_proxies"],
        origins=values["origins"],
        cookie_secure=values["cookie_secure"],
        cookie_days=values["cookie_days"],
        http2=values["http2"],
        tls_cert=values["tls_cert"],
        tls_key=values["tls_key"],
        ack_wait_seconds=values["ack_wait_seconds"],
        read_seconds=values["read_seconds"],
        rate_per_address=values["rate_per_address"],
        rate_per_key=values["rate_per_key"],
        spool_dir=values["spool_dir"],
        spool_max_bytes=values["spool_max_bytes"],
        bounds=event_bounds(values),
        registry=registry_settings(values),
    )


def dashboard_settings(values: Mapping[str, Any]) -> DashboardSettings:
    """Return what the live page can be told. Raises SettingsError where it would be open to others."""
    clickhouse = clickhouse_settings(values)
    if values["dashboard_clickhouse_user"]:
        user, password = values["dashboard_clickhouse_user"], values["dashboard_clickhouse_password"]
        clickhouse = replace(clickhouse, user=user, password=password)
    try:
        return DashboardSettings(
            host=values["dashboard_host"],
            port=values["dashboard_port"],
            password=values["dashboard_password"],
            clickhouse=clickhouse,
            cookie_secure=values["dashboard_cookie_secure"],
            person_limit=values["person_limit"],
            lag_seconds=values["dashboard_lag_seconds"],
            silent_seconds=values["dashboard_silent_seconds"],
            metrics_host=values["metrics_host"],
            metrics_port=values["metrics_port"],
        )
    except ValueError as error:
        raise SettingsError("FUNNEL_DASHBOARD_PASSWORD", str(error)) from None


def registry_settings(values: Mapping[str, Any]) -> RegistrySettings:
    """Return where the Schema Registry is, if there is one."""
    names = ("url", "user", "password")
    return RegistrySettings(**{name: values[f"schema_registry_{name}"] for name in names})


def _check_certificate(cert: str, key: str) -> None:
    """Say beforehand what the server would only say when the first browser comes."""
    try:
        if cert:
            # A key with a password would make OpenSSL ask for it on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError("FUNNEL_TLS_CERT", f"does not go with FUNNEL_TLS_KEY: {error}") from None


def clickhouse_settings(values: Mapping[str, Any]) -> ClickHouseSettings:
    """Return where ClickHouse is."""
    return ClickHouseSettings(
        host=values["clickhouse_host"],
        port=values["clickhouse_port"],
        user=values["clickhouse_user"],
        password=values["clickhouse_password"],
        database=values["clickhouse_database"],
        secure=values["clickhouse_secure"],
        compression=values["clickhouse_compression"],
        replicated=values["clickhouse_replicated"],
        cluster=values["clickhouse_cluster"],
        replicas=values["clickhouse_replicas"],
        retention_days=values["journal_retention_days"],
    )


def event_bounds(values: Mapping[str, Any]) -> Bounds:
    """Return what amounts and times of events are held against, at the door and in the stream."""
    return Bounds(values["amount_limit"], values["future_tolerance_seconds"])


def probe_settings(values: Mapping[str, Any]) -> ProbeSettings:
    """Return what the synthetic probe can be told."""
    return ProbeSettings(
        values["probe_url"].rstrip("/"), values["probe_seconds"], values["probe_patience_seconds"]
    )


def attribution_models(values: Mapping[str, Any]) -> Models:
    """Return the models credited under. Raises SettingsError where the file that describes them cannot be used."""
    if not values["attribution_file"]:
        return default_models()
    try:
        return load_models(Path(values["attribution_file"]))
    except (OSError, ValueError) as error:
        raise SettingsError("FUNNEL_ATTRIBUTION_FILE", str(error)) from None


def worker_settings(values: Mapping[str, Any]) -> WorkerSettings:
    """Return what a worker can be told."""
    hour = DAY_MS // 24
    return WorkerSettings(
        bootstrap=values["kafka"],
        group=values["group"],
        session_timeout_seconds=values["session_timeout_seconds"],
        stop_seconds=values["stop_seconds"],
        stall_seconds=float(values["stall_seconds"]),
        ready_seconds=values["ready_seconds"],
        flush_rows=values["flush_rows"],
        flush_ms=values["flush_ms"],
        align_slack_ms=values["align_slack_ms"],
        dedup_window_ms=values["dedup_window_hours"] * hour,
        hot_window_ms=values["hot_window_hours"] * hour,
        models=attribution_models(values),
        person_limit=values["person_limit"],
        bounds=event_bounds(values),
        max_ids=values["max_ids"],
        metrics_host=values["metrics_host"],
        metrics_port=values["metrics_port"],
        geo_country_mmdb=values["geo_country_mmdb"],
        geo_asn_mmdb=values["geo_asn_mmdb"],
        accept_log_loss=values["accept_log_loss"],
        registry=registry_settings(values),
    )
