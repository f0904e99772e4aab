"""A unit: the record batches that become one flush, and what processing makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from streams.broker import Hop
from streams.steps.batch import RawBatch, after

Line = tuple[str, int]
"""A topic and a partition number: what one fence is kept for."""


def source_name(cluster_id: str, line: Line, topic_id: str = "") -> str:
    """Return the name of a source: cluster, the topic's id where there is one, topic and partition."""
    of_topic = f"{topic_id}/{line[0]}" if topic_id else line[0]
    return f"{cluster_id}/{of_topic}/{line[1]}"


@dataclass(slots=True)
class Tally:
    """What became of the records of one line in one flush."""

    first_offset: int
    last_offset: int
    last_time: int
    received: int = 0
    duplicates: int = 0
    rejects: int = 0

    @property
    def journaled(self) -> int:
        """Records that became a row of their own (forwarded ones included)."""
        return self.received - self.duplicates - self.rejects


@dataclass(slots=True)
class Unit:
    """One flush in the making: per topic its batches in order of arrival, and the tallies that its flush rows will state."""

    batches: dict[str, list[RawBatch]]
    tallies: dict[Line, Tally]

    def again(self) -> "Unit":
        """Return the same batches with tallies as they were before they were processed."""
        fresh = {
            line: Tally(tally.first_offset, tally.last_offset, tally.last_time, tally.received)
            for line, tally in self.tallies.items()
        }
        return Unit(self.batches, fresh)

    @property
    def rows(self) -> int:
        """Records received."""
        return sum(tally.received for tally in self.tallies.values())


@dataclass(slots=True)
class Outcome:
    """What a unit became: frames in order of kind, hops to send before, and the tallies."""

    frames: list[pl.DataFrame]
    hops: list[Hop]
    tallies: Mapping[Line, Tally]
    record_times: pl.Series
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Lines:
    """The next offset expected of each line: one sequential line per partition, whatever a rebalance replays."""

    next_offset: dict[Line, int]

    def unit(self, batches: Sequence[RawBatch]) -> Unit | None:
        """Return the unit that ``batches`` (one partition each, in order of arrival) make, None if all of it was seen before.

        Records below a line's next offset are dropped: they were taken already. A line that is not ours (any more) is dropped whole.
        """
        taken: dict[str, list[RawBatch]] = {}
        tallies: dict[Line, Tally] = {}
        for batch in batches:
            line = batch.topic, int(batch.partition[0])
            fresh = after(batch, self.next_offset[line]) if line in self.next_offset else None
            if fresh is None:
                continue
            last, time = int(fresh.offset[-1]), int(fresh.record_time[-1])
            tally = tallies.setdefault(line, Tally(self.next_offset[line], last, time))
            tally.last_offset, tally.last_time = last, time
            tally.received += len(fresh)
            self.next_offset[line] = last + 1
            taken.setdefault(batch.topic, []).append(fresh)
        if not taken:
            return None
        return Unit(taken, tallies)
