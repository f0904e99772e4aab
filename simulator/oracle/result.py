"""What the oracle finds: for every record what became of it, and the final numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from schemas.attribution import Models, default_models
from simulator.log import Line, Log, Span, source_of
from simulator.oracle.count import State, Transaction
from simulator.oracle.credit import Credit
from simulator.oracle.enrich import Enrichment
from simulator.oracle.given import Given
from simulator.oracle.reject import Reject
from simulator.oracle.rollup import Rollup
from simulator.oracle.status import Statuses


class Fate(IntEnum):
    """What became of a record."""

    JOURNALED = 0
    FORWARDED = 1
    DUPLICATE = 2
    REJECTED = 3


@dataclass(slots=True)
class SourceResult:
    """What became of the records of one line. ``fates`` has one per record of ``span``; the mappings are by offset."""

    line: Line
    name: str
    span: Span
    fates: bytearray = field(default_factory=bytearray)
    rejects: dict[int, Reject] = field(default_factory=dict)
    enrichments: dict[int, Enrichment] = field(default_factory=dict)

    def count(self, *fates: Fate) -> int:
        """Return how many records had one of ``fates``."""
        return sum(self.fates.count(fate) for fate in fates)


@dataclass(slots=True)
class Result:
    """Everything that follows from a log.

    ``holders``: for every id in the log (lower case) the id of the row that stands for it: its own, or where it is a duplicate that of the
    accepted one. ``standing``: revision, moved, recognised value and payout of the request in force per transaction and route, as the
    counting workers sent them. ``lost_forwards``: forwarded records that did not arrive. ``models``: those credited
    under. ``statuses``: the rollup by status. ``given``: a Schema Registry's ids, where it gives them.
    """

    cluster_id: str
    sources: Mapping[str, SourceResult]
    transactions: dict[Transaction, State]
    credits: Sequence[Credit]
    rollup: Rollup
    holders: dict[str, str]
    standing: dict[tuple[str, str, str], tuple[int, bool, str, int, int]]
    lost_forwards: list[str]
    models: Models = field(default_factory=default_models)
    given: Mapping[int, Given] | None = None
    statuses: Statuses = field(default_factory=dict)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of all sources of these topics begin with, whatever the partition."""
        return tuple(sorted({name.rpartition("/")[0] + "/" for name in self.sources}))


def sources_of(log: Log, lines: Mapping[Line, Span]) -> dict[str, SourceResult]:
    """Return an empty result per source."""
    names = {line: source_of(log.cluster_id, line, log.topic_ids.get(line[0], "")) for line in lines}
    return {names[line]: SourceResult(line, names[line], span) for line, span in lines.items()}
