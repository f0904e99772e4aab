"""The generator: the same seed gives the same traffic, and every mess that is asked for occurs."""

from collections import Counter
from collections.abc import Sequence

import pytest

from schemas.ids import is_minted
from schemas.topics import TOPIC_OF_KIND
from simulator.catalog import BOTS, user_agents
from simulator.fixtures import records
from simulator.generate import generate
from simulator.identities import Identities
from simulator.items import Item, prepared
from simulator.malformed import Malformed, spoiled, violations
from simulator.mess import Mess
from simulator.oracle.count import RANKS
from simulator.oracle.reject import Reject, read
from tests.unit.simulator.logs import NOON

EVENTS = 6000


def items(events: int = EVENTS, mess: Mess | None = None, seed: int = 7, run: str = "run") -> Sequence[Item]:
    return list(generate(seed, events, NOON, Mess() if mess is None else mess, run=run))


@pytest.fixture(scope="module")
def messy() -> Sequence[Item]:
    return items()


def test_same_seed_and_run_give_the_same_items(messy: Sequence[Item]) -> None:
    assert items() == messy
    assert items(seed=8) != messy


def test_another_run_changes_ids_and_nothing_else(messy: Sequence[Item]) -> None:
    other = items(run="another")
    ids = {item.record["event_id"].lower() for item in messy if item.record}
    assert not ids & {item.record["event_id"].lower() for item in other if item.record}
    for mine, theirs in zip(messy, other, strict=True):
        assert (mine.kind, mine.time, mine.mess) == (theirs.kind, theirs.time, theirs.mess)
        for name in ("occurred_at", "campaign", "user_agent", "status", "value", "ip"):
            # A duplicate's id may come in capitals, or be another: that is content too, but ids are not compared.
            assert mine.record.get(name) == theirs.record.get(name)


@pytest.mark.parametrize("events", [1, 3, 60, 41_000])
def test_as_many_as_asked_for(events: int) -> None:
    assert sum(1 for _ in generate(1, events, NOON, Mess(), run="run")) == events


def test_mix_and_size() -> None:
    made = list(records(20_000, 4, NOON, run="run"))
    topics = Counter(record.topic for record in made)
    for topic, share in (("impressions", 0.70), ("clicks", 0.22), ("leads", 0.05), ("conversions", 0.03)):
        assert topics[topic] / len(made) == pytest.approx(share, rel=0.15)
    assert sum(len(record.value or b"") for record in made) / len(made) == pytest.approx(326, rel=0.03)
    assert {record.partition for record in made} == {0, 1, 2, 3}


def test_every_mess_occurs(messy: Sequence[Item]) -> None:
    found = Counter(item.mess.split(" ")[0] for item in messy)
    assert found.keys() == {"", "duplicate", "conflict", "malformed", "misrouted", "disorder", "late"}
    assert found["duplicate"] == EVENTS * 0.05
    assert {item.mess for item in messy if item.mess.startswith("malformed")} >= {
        f"malformed {reason}" for reason in ("framing", "undecodable", "missing", "too_long", "event_id")
    }
    agents = {item.record["user_agent"] for item in messy if item.kind == "impression" and item.record}
    assert agents & set(BOTS)
    assert len(agents & set(user_agents())) > 40
    visitors = {item.record["visitor_id"] for item in messy if item.kind == "click" and item.record}
    assert any(not is_minted(visitor) for visitor in visitors)
    assert any(record["value"] is None for record in conversions(messy))
    assert any(not (r["click_id"] or r["lead_id"] or r["visitor_id"]) for r in conversions(messy))
    assert {record["status"] for record in conversions(messy)} == set(RANKS)


def conversions(made: Sequence[Item]) -> list[dict[str, object]]:
    return [dict(item.record) for item in made if item.kind == "conversion" and item.record]


def test_some_statuses_arrive_in_another_order(messy: Sequence[Item]) -> None:
    arrivals: dict[object, list[object]] = {}
    for item in messy:
        if item.kind == "conversion" and item.record and item.mess == "":
            arrivals.setdefault(item.record["transaction_id"], []).append(item.record["status_at"])
    assert any(times != sorted(times, key=int) for times in arrivals.values())  # type: ignore[call-overload]


def test_some_conversions_are_stamped_before_their_click(messy: Sequence[Item]) -> None:
    """Within the minute that the models tolerate, and some beyond it."""
    clicks = {
        item.record["click_id"]: item.record["occurred_at"]
        for item in items(30_000)
        if item.kind == "click" and item.record
    }
    after = [
        clicks[record["click_id"]] - record["occurred_at"]
        for record in conversions(items(30_000))
        if record["click_id"] in clicks
    ]
    assert {0 < late <= 60_000 for late in after if late > 0} == {True, False}


def test_without_mess_everything_is_new_valid_and_well_keyed() -> None:
    made = items(2000, Mess.none())
    assert all(item.mess == "" and item.direct is None and not item.has_twin for item in made)
    assert len({item.record["event_id"] for item in made}) == len(made)
    transactions = [record["transaction_id"] for record in conversions(made)]
    assert transactions and len(set(transactions)) == len(transactions)


def test_only_what_is_malformed_is_rejected(messy: Sequence[Item]) -> None:
    """Judged by the oracle's reading of the rules, with the record time that the item would have."""
    for item in messy:
        verdict = read(TOPIC_OF_KIND[item.kind], prepared(item, 4).value, item.time)
        reason = verdict.reason if isinstance(verdict, Reject) else ""
        assert item.mess == f"malformed {reason}" if reason else not item.mess.startswith("malformed")


@pytest.mark.parametrize("violation", violations(NOON), ids=lambda v: f"{v.kind}-{v.reason}-{v.detail}")
def test_a_violation_breaks_the_rule_it_names_first(violation: Malformed) -> None:
    verdict = read(TOPIC_OF_KIND[violation.kind], spoiled(violation, Identities("seed"), NOON), NOON)
    assert isinstance(verdict, Reject)
    assert (verdict.reason, verdict.detail) == (violation.reason, violation.detail)


def test_every_reason_has_a_violation() -> None:
    reasons = {"framing", "unknown_schema", "undecodable", "event_id", "missing", "too_long", "time"}
    assert {violation.reason for violation in violations(NOON)} == reasons | {
        "status",
        "amount",
        "currency",
        "hop",
    }


def test_a_rate_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="late"):
        Mess(late=1.5)
