"""`funnel link` and `funnel postback`: what is printed works, and what would become of a postback is said."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from deploy.cli import funnel
from tests.unit.collector.support import Collector

SECRET, TOKEN = "a-secret-of-sixteen", "a-token-of-sixteen-too"
PARTNERS = {
    "acme": {
        "fields": {"transaction_id": "{order}", "status": "{state}"},
        "secrets": ["retired-secret-16", SECRET],
    },
    "simple": {
        "fields": {"transaction_id": "{order}", "status": "approved"},
        "tokens": [TOKEN],
        "addresses": ["203.0.113.0/24"],
    },
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    partners, links = tmp_path / "partners.json", tmp_path / "links.json"
    partners.write_text(json.dumps(PARTNERS))
    links.write_text(json.dumps({"shop": "https://shop.example/?c={campaign}"}))
    monkeypatch.setenv("FUNNEL_PARTNERS_FILE", str(partners))
    monkeypatch.setenv("FUNNEL_LINKS_FILE", str(links))
    monkeypatch.setenv("FUNNEL_LINK_KEYS", "link-key")

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(funnel, arguments)

    return call


def test_a_link_that_was_printed_is_followed(run: Any) -> None:
    printed = run(
        "link", "https://shop.example/p?id=7", "campaign=spring sale", "affiliate=a17"
    ).output.strip()
    assert printed.startswith("http://127.0.0.1:8080/c?to=")
    collector = Collector()
    answer = collector.call("GET", printed.removeprefix("http://127.0.0.1:8080"))
    assert answer.headers["location"].startswith("https://shop.example/p?id=7&funnel_click=")
    assert (collector.event["campaign"], collector.event["affiliate"]) == ("spring sale", "a17")


def test_a_link_with_an_end(run: Any) -> None:
    printed = run("link", "https://shop.example/p", "--days", "30").output.strip()
    query = parse_qs(urlsplit(printed).query)
    assert 29.9 < (int(query["exp"][0]) - time.time()) / 86_400 <= 30
    collector = Collector()
    answer = collector.call("GET", printed.removeprefix("http://127.0.0.1:8080"))
    assert answer.headers["location"].startswith("https://shop.example/p?funnel_click=")


def test_a_configured_target_has_a_short_link(run: Any) -> None:
    assert run("link", "shop", "--base", "https://t.example/").output == "https://t.example/c/shop\n"
    assert run("link", "shop", "campaign=a b").output == "http://127.0.0.1:8080/c/shop?campaign=a%20b\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no configured link"),
        (["javascript:alert(1)"], "no configured link"),
        (["shop", "colour=red"], "'colour' is not a parameter of a link"),
        (["shop", "--days", "30"], "taken out of the links file"),
        (["shop", "exp=7"], "'exp' is not a parameter of a link"),
        (["shop", "visitor=7"], "'visitor' is not a parameter of a link"),
        (["shop", "campaign"], "'campaign' is not name=value"),
    ],
)
def test_a_link_that_could_not_work_is_refused(run: Any, arguments: list[str], said: str) -> None:
    result = run("link", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_url_to_hand_out_names_the_partner_s_parameters(run: Any) -> None:
    assert run("postback", "url", "acme", "--base", "https://t.example").output == (
        "https://t.example/postback?partner=acme&order={order}&state={state}&ts={unix time}&sig={signature}\n"
    )
    assert run("postback", "url", "simple").output.endswith("&order={order}&token={token}\n")


def test_a_dry_run_says_what_would_become_of_it(run: Any) -> None:
    result = run("postback", "test", "acme", "order=O-7", "state=approved")
    assert result.exit_code == 0
    request, answer, conversion, row = result.output.splitlines()
    assert request.startswith("GET /postback?partner=acme&order=O-7&state=approved&ts=")
    assert answer.startswith('200 {"status": "accepted"')
    assert json.loads(conversion.removeprefix("conversions: "))["transaction_id"] == "O-7"
    assert json.loads(row.removeprefix("postbacks: "))["verdict"] == "accepted"
    assert SECRET not in result.output


def test_a_dry_run_that_is_refused_says_why_and_fails(run: Any) -> None:
    result = run("postback", "test", "acme", "order=O-7", "state=perhaps")
    assert result.exit_code == 1
    assert '400 {"error": {"field": "status"' in result.output
    assert '"reason": "status"' in result.output
    result = run("postback", "test", "simple", "order=O-7", "--token", "--address", "192.0.2.1")
    assert result.exit_code == 1 and '403 {"error": {"field": "address"' in result.output
    assert TOKEN not in result.output
    assert (
        run("postback", "test", "simple", "order=O-7", "--token", "--address", "203.0.113.1").exit_code == 0
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nobody"], "known: acme, simple"), (["simple"], "--token"), (["acme", "--token"], "by signature")],
)
def test_what_cannot_be_tried_is_said(run: Any, arguments: list[str], said: str) -> None:
    result = run("postback", "test", *arguments)
    assert result.exit_code == 2
    assert said in result.output
