"""What makes a worker stop.

WorkerError
├── LogLossError      the log begins after the fence
├── OutsideLogError   the log has no such offset
├── RollupAheadError  a rollup holds what the journal does not
└── OwnershipLost     another worker owns a source now
"""


class WorkerError(Exception):
    """Something a worker refuses to guess about."""


class LogLossError(WorkerError):
    """The journal's fence of a source is outside the log that the broker offers."""

    def __init__(self, source: str, fence: int, start: int, end: int) -> None:
        super().__init__(
            f"{source}: the journal covers offsets up to {fence}, but the log begins at {start}: records {fence + 1} to {start - 1} "
            "were deleted before they were processed. Set FUNNEL_ACCEPT_LOG_LOSS=1 to go on from the log's start."
        )
        self.source, self.fence, self.start, self.end = source, fence, start, end


class OutsideLogError(WorkerError):
    """The log does not hold the offset where reading must go on."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"{topic}/{partition}: the journal covers offsets below {offset}, which the log does not hold: the topic was truncated or "
            "recreated under the same name. Set FUNNEL_ACCEPT_LOG_LOSS=1 to go on from the log's start."
        )
        self.topic, self.partition, self.offset = topic, partition, offset


class RollupAheadError(WorkerError):
    """A rollup has derived records of a source that the journal no longer covers."""

    def __init__(self, rollup: str, source: str, derived: int, fence: int) -> None:
        super().__init__(
            f"{source}: the rollup {rollup} goes up to offset {derived}, the journal to {fence}: a rewind was interrupted. Run `funnel rewind` "
            f"with the same cut again."
        )
        self.rollup, self.source, self.derived, self.fence = rollup, source, derived, fence


class OwnershipLost(WorkerError):
    """Another worker has taken over; what was in flight is abandoned."""
