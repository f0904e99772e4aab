"""Coarser rollups are what one makes of the same rows with longer buckets."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.oracle.enrich import Enrichment
from simulator.oracle.rollup import DAY, HOUR, MINUTE_MS, Rollup
from tests.unit.simulator.logs import NOON

TOUCHES = st.lists(
    st.tuples(
        st.sampled_from(("impression", "click", "lead")),
        st.integers(NOON, NOON + 3 * DAY * 1000),
        st.sampled_from(("spring", "autumn")),
        st.sampled_from(("v1", "v2", "v3")),
    ),
    max_size=40,
)
ENRICHED = Enrichment("direct", "", "", "", "", "", 0)
Touches = list[tuple[str, int, str, str]]


def rollup_of(touches: Touches, milliseconds: int = 1) -> Rollup:
    """The rollup of touches whose times are cut to ``milliseconds``."""
    rollup = Rollup()
    for kind, at, campaign, visitor in touches:
        record = {
            "occurred_at": at // milliseconds * milliseconds,
            "campaign": campaign,
            "affiliate": "",
            "offer": "",
            "visitor_id": visitor,
        }
        rollup.add_touch(kind, record, ENRICHED)
    return rollup


@given(TOUCHES, st.sampled_from((HOUR, DAY)))
def test_a_coarser_rollup_is_that_of_coarser_times(touches: Touches, seconds: int) -> None:
    coarse = rollup_of(touches).coarser(seconds)
    wanted = rollup_of(touches, seconds * 1000)
    assert coarse.sums == wanted.sums
    assert coarse.visitors == wanted.visitors
    assert coarse.all_visitors == wanted.all_visitors


@given(TOUCHES)
def test_days_are_the_same_from_minutes_and_from_hours(touches: Touches) -> None:
    minutes = rollup_of(touches, MINUTE_MS)
    assert minutes.coarser(HOUR).coarser(DAY).visitors == minutes.coarser(DAY).visitors
    assert minutes.coarser(HOUR).coarser(DAY).sums == minutes.coarser(DAY).sums
