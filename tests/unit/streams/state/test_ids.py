"""An id is a duplicate if it was accepted at most W before:

W = 10    accept(0) --- 10: duplicate --- 11: accepted anew --- 21: duplicate of the one at 11
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.state.ids import CONFLICT, DUPLICATE, NEW, SeenIds

WINDOW = 10


def seen(max_ids: int = 10**6, slack: int = 100) -> SeenIds:
    return SeenIds(WINDOW, slack, max_ids)


def check(ids: SeenIds, rows: list[tuple[int, int, int]]) -> list[int]:
    keys, times, contents = zip(*rows, strict=True)
    return ids.check(
        np.array(keys, dtype=np.uint64), np.array(times, dtype=np.int64), np.array(contents, dtype=np.uint64)
    ).tolist()


def test_the_window_is_measured_from_the_accepted_record() -> None:
    rows = [(1, 0, 7), (1, 10, 7), (1, 11, 7), (1, 21, 7)]
    assert check(seen(), rows) == [NEW, DUPLICATE, NEW, DUPLICATE]


def test_other_content_is_a_conflict() -> None:
    assert check(seen(), [(1, 0, 7), (1, 1, 8), (1, 2, 7)]) == [NEW, CONFLICT, DUPLICATE]


def reference(rows: list[tuple[int, int, int]]) -> list[int]:
    accepted: dict[int, tuple[int, int]] = {}
    verdicts = []
    for key, time, content in rows:
        known = accepted.get(key)
        if known is not None and time - known[0] <= WINDOW:
            verdicts.append(DUPLICATE if known[1] == content else CONFLICT)
        else:
            accepted[key] = time, content
            verdicts.append(NEW)
    return verdicts


# Some whose places are the table's last, so that looking for others goes on at its start.
KEYS = st.integers(1, 30) | st.integers(2**64 - 30, 2**64 - 1)


@given(
    st.lists(st.tuples(KEYS, st.integers(0, 60), st.integers(0, 1)), min_size=1, max_size=200),
    st.integers(1, 50),
)
def test_in_batches_of_any_size_it_equals_a_dictionary(rows: list[tuple[int, int, int]], size: int) -> None:
    ids = seen()
    found = [
        verdict for start in range(0, len(rows), size) for verdict in check(ids, rows[start : start + size])
    ]
    assert found == reference(rows)


def test_it_forgets_what_the_window_and_the_slack_no_longer_cover_and_nothing_else() -> None:
    ids = SeenIds(WINDOW, 5, 10**6)
    check(ids, [(key, 0, 0) for key in range(1, 1000)])
    check(ids, [(key, 1000, 0) for key in range(1000, 4000)])
    check(ids, [(key, 1001, 0) for key in range(4000, 9000)])
    assert ids.count == 8000
    assert ids.forgotten_early == 0
    assert check(ids, [(key, 1005, 0) for key in range(1000, 9000)]) == [DUPLICATE] * 8000


def test_a_bound_on_ids_is_kept_and_what_it_costs_is_counted() -> None:
    ids = seen(max_ids=3000)
    for start in range(0, 20_000, 500):
        check(ids, [(key + 1, start // 10_000, 0) for key in range(start, start + 500)])
    assert ids.count <= 3500 + 1024
    assert ids.forgotten_early > 0
