"""Duplicates, conflicts and forwarded records, as the oracle sees them."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import mint
from simulator.log import Record
from simulator.oracle.compute import compute
from simulator.oracle.repeat import DAY_MS, TouchIds, Verdict
from simulator.oracle.result import Fate, Result
from tests.unit.simulator.logs import DAY, HOUR, MINUTE, NOON, Sent, event, event_id, log_of

VISITOR = mint("abcd")


def impression(name: str, at: int, **fields: object) -> Sent:
    return event("impression", name, NOON, **{"visitor_id": VISITOR, "time": at, **fields})


def fates(topic: str, *sent: Sent) -> tuple[Result, list[Fate]]:
    result = compute(log_of(sent))
    return result, [Fate(fate) for fate in result.sources[f"c/{topic}/0"].fates]


def test_window_counts_from_the_accepted_record_only() -> None:
    """
    hours    0      20          24          25
             new    duplicate   duplicate   new: 25 h after the accepted one, though 1 h after a duplicate
    """
    _, found = fates("impressions", *(impression("i", NOON + hour * HOUR) for hour in (0, 20, 24, 25)))
    assert found == [Fate.JOURNALED, Fate.DUPLICATE, Fate.DUPLICATE, Fate.JOURNALED]


def test_what_differs_between_two_sendings_is_not_content() -> None:
    again = impression("i", NOON + MINUTE, ip="10.0.0.0", user_agent="curl/8", event_id=event_id("i").upper())
    result, found = fates("impressions", impression("i", NOON), again)
    assert found == [Fate.JOURNALED, Fate.DUPLICATE]
    assert result.holders == {event_id("i"): event_id("i")}


def test_other_content_under_one_id_is_a_conflict() -> None:
    other = impression("i", NOON + MINUTE, campaign="other")
    result, found = fates("impressions", impression("i", NOON), other, impression("i", NOON + HOUR))
    assert found == [Fate.JOURNALED, Fate.REJECTED, Fate.DUPLICATE]
    assert result.sources["c/impressions/0"].rejects[1].reason == "conflict"


def test_conversions_are_duplicates_by_transaction_status_and_its_time_for_ever() -> None:
    """
    days     0          0          40                                 40
             approved   rejected   approved again, under another id   approved, of an hour later
    """
    first = event("conversion", "a", NOON)
    rejected = event("conversion", "r", NOON, status="rejected")
    again = event("conversion", "b", NOON, time=NOON + 40 * DAY)
    later = event("conversion", "d", NOON, status_at=NOON + HOUR, time=NOON + 40 * DAY)
    result, found = fates("conversions", first, rejected, again, later)
    assert found == [Fate.JOURNALED, Fate.JOURNALED, Fate.DUPLICATE, Fate.JOURNALED]
    assert result.holders[event_id("b")] == event_id("a"), (
        "the row that stands for a repeated conversion is the first's"
    )


def test_a_record_in_the_wrong_partition_is_forwarded_and_counted_where_it_arrives() -> None:
    log = log_of([impression("i", NOON)], partitions=2)
    line, span = next((line, span) for line, span in log.lines.items() if span.records)
    record = span.records[0]
    astray = line[0], 1 - line[1]
    there = log.lines[line]._replace(records=[record], end=1)
    strayed = log.lines[astray]._replace(records=[Record(0, NOON, b"zzzz", record.value)], end=1)
    result = compute(log._replace(lines={**log.lines, line: there, astray: strayed}))
    assert list(result.sources[f"c/impressions/{astray[1]}"].fates) == [Fate.FORWARDED]
    assert list(result.sources[f"c/impressions/{line[1]}"].fates) == [Fate.JOURNALED]
    assert result.lost_forwards == []
    lost = compute(
        log._replace(lines={**log.lines, line: there._replace(records=[], end=0), astray: strayed})
    )
    assert len(lost.lost_forwards) == 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4 * DAY_MS), st.integers(0, 1)), max_size=40))
def test_window_by_definition(records: list[tuple[str, int, int]]) -> None:
    """Against the definition: look back at all accepted records of the id, newest acceptance first."""
    ids, accepted = TouchIds(), list[tuple[str, int, int]]()
    for name, time, content in records:
        last = next((entry for entry in reversed(accepted) if entry[0] == name), None)
        verdict = ids.verdict(name, time, content)
        if last is None or time - last[1] > DAY_MS:
            assert verdict == Verdict.NEW
            accepted.append((name, time, content))
        else:
            assert verdict == (Verdict.DUPLICATE if last[2] == content else Verdict.CONFLICT)


def test_every_reject_keeps_an_id_that_could_be_read() -> None:
    bad = event("conversion", "x", NOON, status="refunded")
    result, found = fates("conversions", bad)
    assert found == [Fate.REJECTED]
    assert result.sources["c/conversions/0"].rejects[0] == ("status", "status", str(uuid.UUID(event_id("x"))))
