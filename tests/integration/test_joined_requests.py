"""Credit requests of joined visitors, in any order: one partition has the credits of a conversion, and all of them.

route    R1              R2                      R3
visitor  a1, the owner   b2 belongs to a1        c3 belongs to a1
"""

from typing import Any

import polars as pl
import pytest

from schemas.attribution import default_models
from schemas.ids import mint
from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, LEADS, LINKS
from simulator.log import Log, Span
from simulator.oracle.compute import Rules, compute
from streams.unit import Line
from tests.integration.test_processor_against_oracle import CLUSTER, LIMIT, PARTITIONS, Model, assert_agrees
from tests.unit.simulator.logs import HOUR, NOON, Sent, event, log_of

A1, B2, B4, C3, Z0 = (mint(route) for route in ("aaaa", "kkkk", "kkkk", "zzzz", "aaab"))
B2, B4 = sorted((B2, B4))
CLICK, LEAD = mint("zzzz"), mint("kkkk")


def lead(name: str, visitor: str, address: str, lead_id: str = "") -> Sent:
    ids = {"visitor_id": visitor, "lead_id": lead_id or mint(visitor[:4])}
    return event("lead", name, NOON, **ids, email_hash=address)


def click(name: str, visitor: str, at: int, click_id: str = "") -> Sent:
    return event("click", name, at, visitor_id=visitor, click_id=click_id or mint(visitor[:4]))


def sale(name: str, **fields: Any) -> Sent:
    return event("conversion", name, NOON + 2 * HOUR, **{"value": 10_000_000, **fields})


JOINED = [lead(name, visitor, "x") for name, visitor in (("la", A1), ("lb", B2), ("lc", C3))]
TWINS = [
    *(lead(name, visitor, "x") for name, visitor in (("la", A1), ("lb", B2))),
    *(lead(name, visitor, "y") for name, visitor in (("lz", Z0), ("ld", B4))),
    *(click(name, visitor, NOON + HOUR, "kkkk" + "e" * 26) for name, visitor in (("one", B2), ("two", B4))),
    sale("s", click_id="kkkk" + "e" * 26),
]
CASES = {
    # The first report names b2, one of an earlier status_at c3: the request moves from R2 to R3, and both lead to a1.
    "moved between visitors of one owner": [
        *JOINED,
        click("a", A1, NOON + HOUR),
        sale("s1", visitor_id=B2, status="pending"),
        sale("s2", visitor_id=C3, status="approved", status_at=NOON + HOUR),
    ],
    # A later report names a click that nobody ever saw; the lead named before is on the former route only.
    "moved away from the lead that it was found by": [
        *JOINED,
        click("a", A1, NOON + HOUR),
        lead("named", B2, "x", LEAD),
        sale("s1", lead_id=LEAD, visitor_id=C3, status="pending"),
        sale("s2", click_id=CLICK, status_at=NOON + 3 * HOUR),
    ],
    # One click id, one millisecond, two visitors of one route, who belong to two owners.
    "two clicks of one id and moment": TWINS,
    # The same, and the owners turn out to be one person: what they were told is sent on.
    "two clicks, and their owners are joined": [*TWINS, lead("both", A1, "y")],
}


class Given(Model):
    """A log that holds what is given instead of what is generated."""

    def __init__(self, seed: int, sent: list[Sent]) -> None:
        super().__init__(seed, 0, default_models())
        self.chance.shuffle(sent)
        self.slow = self.chance.choice((CLICKS, LEADS, CONVERSIONS, CREDIT_REQUESTS, LINKS))
        for (topic, number), span in log_of(sent, PARTITIONS).lines.items():
            for record in span.records:
                self.append(topic, number, record.key, record.value, record.time)

    def chosen(self, waiting: list[Line]) -> list[Line]:
        """One line at a time; another one for each seed hangs back."""
        others = [line for line in waiting if line[0] != self.slow]
        return [self.chance.choice(others if others and self.chance.random() < 0.95 else waiting)]

    def rows(self, kind: str) -> pl.DataFrame:
        none = dict.fromkeys(("_source", "reason", "detail"), pl.String)
        return super().rows(kind) if self.frames[kind] else pl.DataFrame(schema=none | {"_offset": pl.Int64})


@pytest.mark.parametrize("case", CASES)
def test_every_number_agrees_in_any_order(case: str) -> None:
    for seed in range(60):
        model = Given(seed, list(CASES[case]))
        model.run(1)
        spans = {line: Span(0, len(records), records) for line, records in model.log.items()}
        expected = compute(Log(CLUSTER, PARTITIONS, spans), Rules(person_limit=LIMIT))
        assert any(credit.touch_kind for credit in expected.credits), "somebody earns"
        assert_agrees(model, expected)
