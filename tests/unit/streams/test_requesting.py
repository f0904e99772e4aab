"""Credit requests are what `schemas` says of one at a time: the route of the journey, the id, the partition, the encoding."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import decode_body, encode
from schemas.ids import hop_id, journey_route, mint, transaction_route
from schemas.partitioning import partition_for
from schemas.registry import latest_schema
from schemas.topics import CREDIT_REQUESTS
from streams.broker import Hop
from streams.requesting import request_hops, wish
from streams.steps.count import TransactionState

PARTITIONS = 7
minted = mint("abcd")
ids = st.sampled_from(["", minted, mint("efgh"), minted + "\n", minted.upper(), "foreign", "é"])
states = st.builds(
    TransactionState,
    revision=st.integers(1, 9),
    status=st.sampled_from(["pending", "approved", "rejected", "reversed"]),
    occurred_at=st.integers(0, 2**41),
    value=st.integers(0, 10**15),
    payout=st.integers(0, 10**15),
    click_id=ids,
    lead_id=ids,
    visitor_id=ids,
    **dict.fromkeys(
        ("currency", "goal", "campaign", "affiliate", "offer"), st.sampled_from(["", "a", "ü\x00"])
    ),
    **dict.fromkeys(("channel", "country", "device"), st.just("")),
    bot=st.just(0),
)


def expected(state: TransactionState, route: str, moved: bool) -> Hop:
    record: dict[str, Any] = {
        "partner": "p",
        "transaction_id": "t",
        "revision": state.revision,
        "route": route,
        "moved": moved,
        "click_id": state.click_id,
        "lead_id": state.lead_id,
        "visitor_id": state.visitor_id,
        "occurred_at": state.occurred_at,
        "status": state.status,
        "value": state.recognised_value,
        "payout": state.recognised_payout,
        "currency": state.currency,
        "goal": state.goal,
        "campaign": state.campaign,
        "affiliate": state.affiliate,
        "offer": state.offer,
    }
    record["request_id"] = hop_id(*record.values())
    value = encode(CREDIT_REQUESTS, record | {"trigger_partition": 3, "trigger_offset": 12})
    return Hop(CREDIT_REQUESTS, partition_for(route.encode(), PARTITIONS), route.encode(), value, 99)


def journey(state: TransactionState) -> str:
    return journey_route("p", "t", state.click_id, state.lead_id, state.visitor_id)


@given(st.lists(st.tuples(states, st.none() | states), max_size=4))
def test_requests_go_to_the_journey_and_take_back_what_a_former_one_holds(
    changes: list[tuple[TransactionState, TransactionState | None]],
) -> None:
    wishes, hops = [], []
    for after, before in changes:
        for journey_of in (after, before):
            if journey_of is not None:
                wishes.append(wish((3, 12, 99), transaction_route("p", "t"), ("p", "t"), after, journey_of))
        hops.append(expected(after, journey(after), moved=False))
        if before is not None and journey(before) != journey(after):
            hops.append(expected(after, journey(before), moved=True))
    assert request_hops(wishes, PARTITIONS) == hops


def test_an_id_follows_from_the_content() -> None:
    state = TransactionState(
        1, "approved", 5, 7, 1, "EUR", minted, "", "", "", "", "", "", "", "", "", 0, 0, ""
    )
    (hop,) = request_hops([wish((0, 1, 2), "abcd", ("p", "t"), state, state)], PARTITIONS)
    (again,) = request_hops([wish((5, 6, 7), "abcd", ("p", "t"), state, state)], PARTITIONS)
    known = latest_schema(CREDIT_REQUESTS).id
    assert decode_body(known, hop.value)["request_id"] == decode_body(known, again.value)["request_id"]
