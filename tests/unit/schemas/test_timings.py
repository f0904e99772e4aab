from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from schemas.timings import Timings

BUCKETS = (0.001, 0.25, 1.0)


@given(st.lists(st.tuples(st.sampled_from(["pixel", "click"]), st.floats(0, 4))))
def test_a_scrape_shows_what_prometheus_own_histogram_shows(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings = Timings("t_seconds", "Text.", "endpoint", buckets=BUCKETS, registry=ours)
    histogram = Histogram("t_seconds", "Text.", ["endpoint"], buckets=BUCKETS, registry=theirs)
    for endpoint, seconds in observed:
        timings.labels(endpoint).observe(seconds)
        histogram.labels(endpoint).observe(seconds)
    assert generate_latest(ours) == _without_created(generate_latest(theirs))


def test_without_a_label_there_is_one_row_from_the_start() -> None:
    registry = CollectorRegistry()
    timings = Timings("t_seconds", "Text.", buckets=BUCKETS, registry=registry)
    assert registry.get_sample_value("t_seconds_count") == 0
    timings.labels().observe(0.25)
    assert registry.get_sample_value("t_seconds_bucket", {"le": "0.25"}) == 1
    assert registry.get_sample_value("t_seconds_sum") == 0.25


def _without_created(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if b"_created" not in line)
