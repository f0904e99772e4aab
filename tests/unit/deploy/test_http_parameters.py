"""What the HTTP front reads out of a request's parameters and headers."""

import base64

import pytest
from multidict import CIMultiDict

from deploy.embedded.clickhouse.errors import ServerError
from deploy.embedded.clickhouse.http.parameters import SessionWanted, Wanted, read_wanted


def read(method: str = "POST", headers: dict[str, str] | None = None, **given: str) -> Wanted:
    return read_wanted(method, given.items(), CIMultiDict(headers or {}))


def code_of(**request: str) -> int:
    with pytest.raises(ServerError) as caught:
        read(**request)
    return caught.value.code


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_names_are_told_apart():
    wanted = read(
        query="SELECT {x:UInt8}",
        database="d",
        default_format="CSV",
        param_x="1",
        max_threads="2",
        query_id="q",
    )
    assert (wanted.text, wanted.database, wanted.format, wanted.query_id) == (
        "SELECT {x:UInt8}",
        "d",
        "CSV",
        "q",
    )
    assert wanted.parameters == {"x": "1"}
    assert wanted.settings == {"max_threads": "2"}


@pytest.mark.parametrize(("method", "readonly"), [("GET", "2"), ("HEAD", "2"), ("POST", None)])
def test_what_can_be_a_link_only_reads(method, readonly):
    assert read(method).settings.get("readonly") == readonly
    assert read(method, readonly="1").settings["readonly"] == "1"


def test_headers_stand_in_for_parameters():
    wanted = read(headers={"x-clickhouse-database": "d", "x-clickhouse-format": "CSV"})
    assert (wanted.database, wanted.format) == ("d", "CSV")


@pytest.mark.parametrize(
    ("request_", "credentials"),
    [
        ({}, ("default", "")),
        ({"headers": {"X-ClickHouse-User": "u", "X-ClickHouse-Key": "p:q"}}, ("u", "p:q")),
        ({"headers": {"x-clickhouse-key": "p"}}, ("default", "p")),
        ({"headers": basic("u", "pä:q")}, ("u", "pä:q")),
        ({"user": "u", "password": "p"}, ("u", "p")),
        ({"password": "p"}, ("default", "p")),
    ],
)
def test_credentials_come_in_three_ways(request_, credentials):
    wanted = read(**request_)
    assert (wanted.user, wanted.password) == credentials
    assert "p:q" not in repr(wanted)


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": {"X-ClickHouse-User": "u", **basic("u", "p")}},
        {"headers": {"X-ClickHouse-User": "u"}, "user": "u"},
        {"headers": basic("u", "p"), "password": "p"},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"Authorization": "Basic ***"}},
    ],
)
def test_ambiguous_or_malformed_credentials_are_refused(request_):
    assert code_of(**request_) == 516


def test_sessions():
    assert read().session is None
    assert read(session_id="s").session == SessionWanted("s", False, 60, False)
    wanted = read(session_id="s", session_check="1", session_timeout="5", close_session="1")
    assert wanted.session == SessionWanted("s", True, 5, True)


@pytest.mark.parametrize("timeout", ["x", "-1", "3601", "٣"])
def test_session_timeouts_are_checked(timeout):
    assert code_of(session_id="s", session_timeout=timeout) == 374


@pytest.mark.parametrize("name", ["role", "quota_key", "stacktrace"])
def test_what_is_not_supported_is_refused_by_name(name):
    with pytest.raises(ServerError, match=name) as caught:
        read(**{name: "x"})
    assert caught.value.code == 48


@pytest.mark.parametrize(
    "given",
    [
        {"compress": "2"},
        {"wait_end_of_query": "yes"},
        {"buffer_size": "-1"},
        {"client_protocol_version": "x"},
    ],
)
def test_malformed_values_are_refused(given):
    assert code_of(**given) == 36
