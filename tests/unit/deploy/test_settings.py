from pathlib import Path

import pytest
import trustme

from deploy.settings import (
    SETTINGS,
    SettingsError,
    clickhouse_settings,
    collector_settings,
    read_settings,
    worker_settings,
)
from schemas.bounds import DEFAULTS


def test_without_variables_everything_has_its_default() -> None:
    values = read_settings({"PATH": "/bin", "FUNNEL_TEST_CLICKHOUSE": "x"})
    assert values.keys() == {setting.name for setting in SETTINGS}
    assert worker_settings(values).flush_rows == 50_000
    assert clickhouse_settings(values).port == 9000
    assert collector_settings(values).host == "127.0.0.1"
    assert collector_settings(values).spool_dir == ""


def test_variables_reach_the_parts() -> None:
    values = read_settings(
        {
            "FUNNEL_KAFKA": "a:1,b:2",
            "FUNNEL_DEDUP_WINDOW_HOURS": "7",
            "FUNNEL_TOKENS": "one, two",
            "FUNNEL_CLICKHOUSE_SECURE": "yes",
            "FUNNEL_SPOOL_DIR": "/var/spool/funnel",
            "FUNNEL_SPOOL_MAX_BYTES": "2000000",
        }
    )
    assert worker_settings(values).bootstrap == "a:1,b:2"
    assert worker_settings(values).dedup_window_ms == 7 * 3_600_000
    assert collector_settings(values).tokens == ("one", "two")
    assert clickhouse_settings(values).secure
    assert collector_settings(values).spool_dir == "/var/spool/funnel"
    assert collector_settings(values).spool_max_bytes == 2_000_000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FUNNEL_PARTITONS", "4"),
        ("FUNNEL_PARTITIONS", "four"),
        ("FUNNEL_PARTITIONS", "0"),
        ("FUNNEL_COOKIE_SECURE", "perhaps"),
        ("FUNNEL_ACK_WAIT_SECONDS", "-1"),
        ("FUNNEL_PORT", "70000"),
        ("FUNNEL_SPOOL_MAX_BYTES", "1000"),
        ("FUNNEL_KAFKA", "localhost"),
        ("FUNNEL_KAFKA", "localhost:9092,other"),
        ("FUNNEL_TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"),
        ("FUNNEL_GEO_COUNTRY_MMDB", "/nowhere/country.mmdb"),
        ("FUNNEL_ATTRIBUTION_FILE", "/nowhere/models.json"),
        ("FUNNEL_MIN_INSYNC_REPLICAS", "2"),
        ("FUNNEL_SCHEMA_REGISTRY_URL", "registry:8081"),
        ("FUNNEL_ORIGINS", "https://shop.example,shop.example"),
        ("FUNNEL_ORIGINS", "*"),
        ("FUNNEL_COOKIE_DAYS", "0"),
        ("FUNNEL_COOKIE_DAYS", "401"),
        ("FUNNEL_TLS_CERT", "/nowhere/cert.pem"),
        ("FUNNEL_AMOUNT_LIMIT", "0"),
        ("FUNNEL_AMOUNT_LIMIT", "99.50"),
        ("FUNNEL_AMOUNT_LIMIT", "1000000001"),
        ("FUNNEL_FUTURE_TOLERANCE_SECONDS", "-1"),
        ("FUNNEL_FUTURE_TOLERANCE_SECONDS", "86401"),
        ("FUNNEL_FUTURE_TOLERANCE_SECONDS", "an hour"),
    ],
)
def test_an_unknown_or_malformed_variable_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings({variable: value})


def test_door_and_stream_have_the_same_bounds() -> None:
    values = read_settings({"FUNNEL_AMOUNT_LIMIT": "500", "FUNNEL_FUTURE_TOLERANCE_SECONDS": "60"})
    assert collector_settings(values).bounds == worker_settings(values).bounds == (500, 60)
    assert collector_settings(read_settings({})).bounds == DEFAULTS == (10**9, 3600)


def test_the_browsers_settings_reach_the_collector() -> None:
    variables = {
        "FUNNEL_ORIGINS": "https://shop.example, http://localhost:8000",
        "FUNNEL_COOKIE_DAYS": "30",
        "FUNNEL_HTTP2": "1",
    }
    settings = collector_settings(read_settings(variables))
    assert settings.origins == ("https://shop.example", "http://localhost:8000")
    assert (settings.cookie_days, settings.http2) == (30, True)


@pytest.mark.parametrize(
    ("given", "missing"), [("FUNNEL_TLS_CERT", "FUNNEL_TLS_KEY"), ("FUNNEL_TLS_KEY", "FUNNEL_TLS_CERT")]
)
def test_a_certificate_and_its_key_go_together(given: str, missing: str, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    with pytest.raises(SettingsError, match=missing):
        read_settings({given: str(file)})


@pytest.fixture
def issued(tmp_path: Path) -> dict[str, str]:
    """The settings of a certificate and its key."""
    leaf = trustme.CA().issue_cert("track.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    return {"FUNNEL_TLS_CERT": str(tmp_path / "cert.pem"), "FUNNEL_TLS_KEY": str(tmp_path / "key.pem")}


def test_a_certificate_reaches_the_collector(issued: dict[str, str]) -> None:
    settings = collector_settings(read_settings(issued))
    assert {"FUNNEL_TLS_CERT": settings.tls_cert, "FUNNEL_TLS_KEY": settings.tls_key} == issued


@pytest.mark.parametrize("other", ["", "no key", "another's"])
def test_a_key_that_is_not_the_certificates_is_refused_by_name(
    other: str, issued: dict[str, str], tmp_path: Path
) -> None:
    strange = tmp_path / "strange.pem"
    strange.write_text(other)
    if other == "another's":
        trustme.CA().issue_cert("evil.example").private_key_pem.write_to_path(strange)
    with pytest.raises(SettingsError, match="FUNNEL_TLS_CERT"):
        collector_settings(read_settings({**issued, "FUNNEL_TLS_KEY": str(strange)}))


def test_a_links_file_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="FUNNEL_LINKS_FILE"):
        collector_settings(read_settings({"FUNNEL_LINKS_FILE": str(Path("/nowhere/links.json"))}))


def test_secrets_do_not_show() -> None:
    secrets = {setting.variable: "s3cret-value" for setting in SETTINGS if setting.secret}
    values = read_settings(secrets)
    shown = repr((collector_settings(values), clickhouse_settings(values), worker_settings(values)))
    assert "s3cret-value" not in shown


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="FUNNEL_SCHEMA_REGISTRY_URL") as caught:
        read_settings({"FUNNEL_SCHEMA_REGISTRY_URL": "https://user:s3cret@registry.example"})
    assert "s3cret" not in str(caught.value)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of a file\n")
    named = {"FUNNEL_CLICKHOUSE_PASSWORD_FILE": str(file)}
    assert read_settings(named)["clickhouse_password"] == "of a file"
    with pytest.raises(SettingsError, match="FUNNEL_CLICKHOUSE_PASSWORD_FILE: stands beside") as failure:
        read_settings({**named, "FUNNEL_CLICKHOUSE_PASSWORD": "given"})
    assert "given" not in str(failure.value)


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"\xff\xfe"], ids=["missing", "empty", "a line's end", "no text"]
)
def test_a_file_without_a_secret_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="FUNNEL_TOKENS_FILE"):
        read_settings({"FUNNEL_TOKENS_FILE": str(file)})


def test_only_secrets_may_be_in_files() -> None:
    with pytest.raises(SettingsError, match="there is no such setting"):
        read_settings({"FUNNEL_KAFKA_FILE": "/etc/hostname"})
    named = {setting.variable for setting in SETTINGS}
    assert not {setting.variable + "_FILE" for setting in SETTINGS if setting.secret} & named
