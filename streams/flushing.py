"""Landing a flush: hops acknowledged, then one insert of one block, whatever happens in between."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from tenacity import RetryError

from schemas.metrics import WorkerMetrics
from sinks.clickhouse.errors import NotOwner, Refused, Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.pack import Block
from sinks.clickhouse.trial import Trial
from streams.assignment import Assignment
from streams.broker import HopError, HopSender, KafkaAway
from streams.errors import OwnershipLost, RecreatedTopicError
from streams.patience import patiently
from streams.refusing import DataRefused, refused_records
from streams.unit import Line, Outcome

log = logging.getLogger(__name__)


class Flusher:
    """Sends a unit's hops and inserts its rows. One thread uses it. ``topic_ids`` tells the ids that topics have now; without it nobody looks."""

    def __init__(
        self,
        journal: Journal,
        hops: HopSender,
        metrics: WorkerMetrics,
        now_ms: Callable[[], int],
        topic_ids: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self._journal = journal
        self._hops = hops
        self._metrics = metrics
        self._now_ms = now_ms
        self._topic_ids = topic_ids

    def land(self, assignment: Assignment, outcome: Outcome) -> None:
        """Return when every row of ``outcome`` is in the journal. Raises OwnershipLost where that can never be, and
        DataRefused where ClickHouse refuses rows of some records: nothing landed then. What else it refuses is raised as it is.
        RecreatedTopicError where the records may be those of another topic than their sources are named after.

        While Kafka or ClickHouse is away it waits, for as long as the assignment is ours.
        """
        try:
            self._check_topics(assignment)
            if outcome.hops:
                self._retrying(assignment, HopError, "hops")(self._hops.send, outcome.hops)
                self._metrics.hops.inc(len(outcome.hops))
            started = time.perf_counter()
            self._insert(assignment, outcome)
            self._metrics.insert_seconds.observe(time.perf_counter() - started)
        except NotOwner as error:
            raise OwnershipLost(str(error)) from error
        except RetryError as error:
            raise OwnershipLost("abandoned while waiting") from error

    def _check_topics(self, assignment: Assignment) -> None:
        """Ids never come back: one that a topic has after reading, it had all the time. Offsets alone would not tell, if the new log is as long."""
        if self._topic_ids is None or not any(assignment.topic_ids.values()):
            return
        present = self._retrying(assignment, KafkaAway, "metadata")(self._topic_ids)
        for topic, known in assignment.topic_ids.items():
            if present.get(topic) != known:
                raise RecreatedTopicError(topic, present.get(topic, "none"), [known])

    def _insert(self, assignment: Assignment, outcome: Outcome) -> None:
        started = time.thread_time()
        frames = [frame for frame in outcome.frames if frame.height]
        # A clock may be set back, or be another machine's: the order of a source's flushes must not depend on that.
        assignment.ingested_at = max(self._now_ms(), assignment.ingested_at + 1)
        frame = pl.concat(frames, how="diagonal").with_columns(
            _ingested_at=pl.lit(assignment.ingested_at, dtype=pl.Int64),
            _owner=pl.lit(assignment.token, dtype=pl.UInt64),
        )
        try:
            # The first pack asks the server for the table's columns.
            block = self._retrying(assignment, Unavailable, "pack")(self._journal.pack, frame)
            outcome.seconds["pack"] = time.thread_time() - started
            self._insert_block(assignment, outcome, block)
        except NotOwner:
            raise
        except Refused as error:
            self._blame_records(assignment, frame, error)
            raise

    def _insert_block(self, assignment: Assignment, outcome: Outcome, block: Block) -> None:
        sources = {assignment.sources[line]: tally.last_offset for line, tally in outcome.tallies.items()}
        deduplication = uuid.uuid4().hex
        failed = False

        def attempt() -> None:
            nonlocal failed
            # A lost answer is an unknown outcome: whatever still runs is ended first, then the fence tells whether it landed.
            if failed and self._landed(assignment, sources):
                return
            failed = True
            self._journal.insert(block, deduplication, list(assignment.sources.values()), assignment.token)

        self._retrying(assignment, Unavailable, "insert")(attempt)

    def _blame_records(self, assignment: Assignment, frame: pl.DataFrame, refused: Refused) -> None:
        """Raise DataRefused if single records are what ClickHouse refuses. Nothing lands meanwhile."""

        def search() -> dict[tuple[str, int], str]:
            with Trial(self._journal) as trial:

                def refusal(rows: pl.DataFrame) -> Refused | None:
                    if assignment.abandoned.is_set():
                        raise OwnershipLost("abandoned while looking for refused records")
                    # A search may take longer than a standstill may: each step is a sign of life, as each attempt is.
                    self._metrics.retries.labels(operation="trial").inc()
                    error = trial.refusal(rows)
                    if isinstance(error, NotOwner):
                        raise error
                    return error

                return refused_records(frame, refusal)

        lines = {source: line for line, source in assignment.sources.items()}
        records: dict[Line, dict[int, str]] = {}
        for (source, offset), reason in self._retrying(assignment, Unavailable, "trial")(search).items():
            records.setdefault(lines[source], {})[offset] = reason
        if records:
            raise DataRefused(records, refused) from refused

    def _landed(self, assignment: Assignment, sources: dict[str, int]) -> bool:
        self._journal.kill_running(list(assignment.sources.values()))
        fences = self._journal.fences(list(sources))
        return all(fences.get(source, -1) >= last for source, last in sources.items())

    def _retrying(self, assignment: Assignment, error: type[Exception], operation: str) -> Any:
        return patiently(error, operation, assignment.abandoned, self._metrics)
