"""Warming up leaves nothing to compile and nothing behind."""

from streams.steps import route, scan, urls, uuids
from streams.steps.enrich import Lookups
from streams.steps.warm import warm_up


def test_every_kernel_is_there_afterwards() -> None:
    warm_up(Lookups.open("", ""))
    for kernel in (
        scan.scan,
        urls._locate,
        urls._lower_hosts,
        uuids._parse,
        route._minted_routes,
        route._murmur2,
    ):
        assert kernel.signatures
