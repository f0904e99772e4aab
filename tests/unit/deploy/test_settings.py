from pathlib import Path

import pytest

from deploy.settings import (
    SETTINGS,
    SettingsError,
    clickhouse_settings,
    collector_settings,
    read_settings,
    worker_settings,
)


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
            "FUNNEL_LOOKBACK_DAYS": "7",
            "FUNNEL_TOKENS": "one, two",
            "FUNNEL_CLICKHOUSE_SECURE": "yes",
            "FUNNEL_SPOOL_DIR": "/var/spool/funnel",
            "FUNNEL_SPOOL_MAX_BYTES": "2000000",
        }
    )
    assert worker_settings(values).bootstrap == "a:1,b:2"
    assert worker_settings(values).lookback_ms == 7 * 24 * 3_600_000
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
        ("FUNNEL_MIN_INSYNC_REPLICAS", "2"),
        ("FUNNEL_SCHEMA_REGISTRY_URL", "registry:8081"),
    ],
)
def test_an_unknown_or_malformed_variable_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings({variable: value})


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
