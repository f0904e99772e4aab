"""`funnel explain` over a journal made by hand.

visitor v   view ---- click c ---------------------- sale names c
ledger                          +nobody    −nobody +c (the click came late)
"""

import json
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from deploy import explain_command
from schemas.attribution import default_models
from schemas.ids import mint, route_of
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.explain import explain
from sinks.clickhouse.journal import Journal
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

TOPICS = ("impressions", "clicks", "conversions", "credit-requests")
VISITOR, CLICK = mint("abcd"), mint("abcd")
NOBODY = {"touch_hi": 0, "touch_lo": 0, "touch_kind": "", "channel": "unattributed"}


@pytest.fixture
def journal(emptied: Connection) -> Connection:
    journal, make = Journal(emptied, "group"), Flushes(5)
    journal.take_ownership([source(topic) for topic in TOPICS], TOKEN)
    register_models(emptied, default_models())
    named = {"transaction_id": "t-1", "click_id": CLICK, "occurred_at": NOW}
    other = {"transaction_id": "t-2", "click_id": mint("abcd")}
    view = make.touch("impression", visitor=VISITOR, occurred_at=NOW - 9000)
    # By its clock it was after the conversion that names it, which leads to it all the same.
    late = make.touch("click", visitor=VISITOR, click_id=CLICK, occurred_at=NOW + 5000)
    touch = {"touch_hi": late["event_hi"], "touch_lo": late["event_lo"], "touch_kind": "click"}
    first = {"transaction_id": "t-1", "model_version": 2}
    steps: tuple[list[dict[str, Any]], ...] = (
        [
            view,
            make.conversion("approved", **named),
            make.count(1, "approved", 50, **named),
            make.conversion("pending", **other),
            make.count(1, "pending", 9, **other),
            make.request("abcd", 1, **named),
            {**make.credit(1, "last_click", "abcd", 50, **first), **NOBODY},
        ],
        [
            late,
            {**make.credit(-1, "last_click", "abcd", 50, **first), **NOBODY},
            {**make.credit(1, "last_click", "abcd", 50, **first), **touch},
        ],
    )
    for place, rows in enumerate(steps):
        block = journal.pack(make.flush(rows, ingested=NOW + place))
        journal.insert(block, str(place), [source(topic) for topic in TOPICS], TOKEN)
    return emptied


@pytest.fixture(params=[(256, 2_000), (0, 2_000), (0, 0)], ids=["read whole", "by places", "crowded"])
def crowding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows a route has, the answer is the same."""
    for name, most in zip(("MOST_READ", "MOST_PLACES"), request.param, strict=True):
        monkeypatch.setattr(f"sinks.clickhouse.journal_rows.{name}", most)


@pytest.mark.usefixtures("crowding")
@pytest.mark.parametrize("by", ["click", "visitor", "transaction", "event of the click", "event of the sale"])
def test_whatever_names_it_leads_to_the_whole_story(journal: Connection, by: str) -> None:
    kinds = dict(journal.query("SELECT toString(kind), toString(event_id) FROM journal WHERE kind = 'click'"))
    [[sale]] = journal.query(
        "SELECT toString(event_id) FROM journal WHERE kind = 'conversion' AND transaction_id = 't-1'"
    )
    named = {"click": CLICK, "visitor": VISITOR, "transaction": "t-1", "event of the click": kinds["click"]}
    found = explain(journal, (named | {"event of the sale": sale})[by])
    assert len(found["touches"]) == {"visitor": 2, "transaction": 0, "event of the sale": 0}.get(by, 1)
    [transaction] = found["transactions"]
    assert (transaction["partner"], transaction["transaction_id"]) == ("p", "t-1")
    assert transaction["state"]["value"] == 50
    assert [row["event_id"] for row in transaction["conversions"]] == [sale]
    identity = {"route": "abcd", "visitor_id": VISITOR, "by": "click_id", "person": VISITOR, "links": []}
    assert transaction["identity"] == identity
    assert [row["kind"] for row in transaction["journey"]] == ["impression", "click"]
    [model] = transaction["credits"]
    assert (model["model"], model["model_version"], model["settings"]["rule"]) == ("last_click", 2, "last")
    [credit] = model["credits"]
    assert (credit["touch_id"], credit["weight"], credit["value"]) == (kinds["click"], 10**9, 50)
    assert [row["sign"] for row in transaction["ledger"]] == [1, -1, 1]
    assert len(transaction["requests"]) == 1


@pytest.mark.usefixtures("crowding")
@pytest.mark.parametrize("by", ["network's id", "transaction", "phone", "laptop"])
def test_a_networks_id_and_two_devices(emptied: Connection, by: str) -> None:
    """
    phone (p)    click gclid-1 -- lead
    laptop (l)                           lead of the same person        sale names gclid-1: by way of p's route, p is the person
    """
    journal, make = Journal(emptied, "group"), Flushes(6)
    sources = [source(topic) for topic in (*TOPICS, "leads", "links")]
    journal.take_ownership(sources, TOKEN)
    phone, laptop = sorted((mint("pppp"), mint("llll")))
    home = route_of("gclid-1")
    click = make.touch("click", visitor=phone, external_id="gclid-1", occurred_at=NOW - 9000)
    lead = make.touch("lead", visitor=laptop, occurred_at=NOW - 5000)
    named = {"transaction_id": "t-9", "click_id": "gclid-1", "occurred_at": NOW}
    earned = {"touch_hi": lead["event_hi"], "touch_lo": lead["event_lo"], "touch_kind": "lead"}
    sent_on = {"person": phone, "origin": phone, "visitor_id": phone, "click_id": ""}
    rows = [
        click,
        lead,
        link("alias", home, phone, click, identity_key="gclid-1", touch_kind="click"),
        link("pair", laptop[:4], laptop, lead, winner=phone),
        link("touch", phone[:4], phone, lead, origin=laptop, touch_kind="lead"),
        make.conversion("approved", **named),
        make.count(1, "approved", 50, **named),
        make.request(home, 1, **named),
        make.request(phone[:4], 1, **{**named, **sent_on}),
        {**make.credit(1, "last_touch", phone[:4], 50, **named, person=phone), **earned},
    ]
    journal.insert(journal.pack(make.flush(rows)), "0", sources, TOKEN)
    found = explain(
        emptied, {"network's id": "gclid-1", "transaction": "t-9", "phone": phone, "laptop": laptop}[by]
    )
    [sale] = found["transactions"]
    identity = sale["identity"]
    assert (identity["visitor_id"], identity["by"], identity["person"]) == (phone, "click_id", phone)
    assert [row["identity_key"] for row in identity["links"]] == ["gclid-1"]
    assert [row["visitor_id"] for row in sale["journey"]] == [phone, laptop]
    assert [row["person"] for row in sale["requests"]] in (["", phone], [phone, ""])
    assert [row["touch_kind"] for row in sale["ledger"]] == ["lead"]
    shown = Console(width=200, record=True)
    shown.print(explain_command.tree(found))
    assert f"click id gclid-1 leads to visitor {phone}" in shown.export_text()


def link(purpose: str, route: str, visitor: str, touch: Any, **values: Any) -> dict[str, Any]:
    """A row of a hop."""
    return {
        "kind": "link",
        "_source": source("links"),
        "purpose": purpose,
        "route": route,
        "visitor_id": visitor,
        "occurred_at": touch["occurred_at"],
        "touch_hi": touch["event_hi"],
        "touch_lo": touch["event_lo"],
        **values,
    }


def test_as_a_tree_and_as_json(journal: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=200)
    console.print(explain_command.tree(explain(journal, "t-1")))
    text = console.export_text()
    for part in (VISITOR, "found by click id", "last_click 2: last", "100.00 %", "[c1/clicks/0/0]"):
        assert part in text
    monkeypatch.setattr("sinks.clickhouse.client.connect", lambda _: Unclosed(journal))
    monkeypatch.setattr(explain_command, "clickhouse_settings", lambda _: None)
    run = CliRunner().invoke(explain_command.explain, ["t-1", "--format", "json"], obj={"person_limit": 20})
    assert run.exception is None, run.exception
    assert json.loads(run.output)["transactions"][0]["state"]["status"] == "approved"
    unknown = CliRunner().invoke(explain_command.explain, ["nothing"], obj={"person_limit": 20})
    assert (unknown.exit_code, "the journal knows no" in unknown.output) == (1, True)


def test_what_was_kept_and_what_was_not_of_an_event(emptied: Connection) -> None:
    """clicks/0:  kept | +2 duplicates, conflict | a day and more later: +5 duplicates, which are no concern of it."""
    journal, make = Journal(emptied, "group"), Flushes(6)
    journal.take_ownership([source("clicks")], TOKEN)
    kept = make.touch("click", visitor=VISITOR)
    ids = {name: kept[name] for name in ("event_hi", "event_lo", "_source", "route")}
    conflict = {"kind": "reject", "reason": "conflict", "detail": "", **ids}
    later = {"_record_time": NOW + 90_000_000}
    flushes = (
        ([kept], 0),
        ([conflict], 2),
        ([make.touch("click") | later], 0),
        ([make.touch("click") | later], 5),
    )
    for place, (rows, duplicates) in enumerate(flushes):
        frame = make.flush(rows, ingested=NOW + place, duplicates=duplicates)
        frame = frame.with_columns(_record_time=pl.lit(rows[0].get("_record_time", NOW)))
        journal.insert(journal.pack(frame), str(place), [source("clicks")], TOKEN)
    [decision] = explain(emptied, VISITOR)["deduplication"]
    assert (decision["kept"]["source"], decision["kept"]["offset"]) == (source("clicks"), 0)
    assert [row["offset"] for row in decision["conflicts"]] == [1]
    assert decision["duplicates_at_most"] == 2


class Unclosed:
    """The fixture's connection, which the command may not close."""

    def __init__(self, connection: Connection) -> None:
        self.query_named = connection.query_named

    def close(self) -> None:
        pass
