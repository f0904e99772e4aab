"""Reading the metrics of processes and adding them up."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Series(NamedTuple):
    """One time series: a sample's name and its labels, sorted."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


Samples = Mapping[Series, float]


@functools.cache
def _client() -> httpx.Client:
    """One for all: making one reads the certificates of all authorities, some 30 ms of a core that those who are asked may need."""
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def ask(url: str, seconds: float = 2.0) -> httpx.Response:
    """Return a process' answer, each by a connection of its own. Raises httpx.HTTPError."""
    return _client().get(url, timeout=seconds)


def scrape(urls: Sequence[str], seconds: float = 2.0) -> tuple[Samples, int]:
    """Return the sums of all samples over the processes at ``urls``, and how many of them answered."""
    samples: dict[Series, float] = defaultdict(float)
    answered = 0
    for url in urls:
        try:
            text = ask(url, seconds).raise_for_status().text
        except httpx.HTTPError:
            continue
        answered += 1
        for series, value in parse(text).items():
            samples[series] += value
    return samples, answered


def parse(text: str) -> Samples:
    """Return the samples of one process' answer. Raises ValueError."""
    return {
        Series(sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str) -> float:
    """Return the sum of all series called ``name``."""
    return sum(value for series, value in samples.items() if series.name == name)


def by_label(samples: Samples, name: str, label: str) -> dict[str, float]:
    """Return the sums of the series called ``name`` per value of ``label``, in order of value."""
    sums: dict[str, float] = defaultdict(float)
    for series, value in samples.items():
        if series.name == name:
            sums[dict(series.labels).get(label, "")] += value
    return dict(sorted(sums.items()))


def quantile(samples: Samples, histogram: str, share: float) -> float:
    """Return an upper bound of a histogram's quantile over all its labels: the edge of the bucket it lies in; 0 without observations."""
    edges = by_label(samples, f"{histogram}_bucket", "le")
    buckets = sorted((float(edge), count) for edge, count in edges.items())
    observed = buckets[-1][1] if buckets else 0.0
    return next((edge for edge, count in buckets if observed and count >= share * observed), 0.0)
