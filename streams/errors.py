"""What makes a worker stop.

WorkerError
├── LogLossError      the log begins after the fence
├── OutsideLogError   the log has no such offset
├── RollupAheadError  a rollup holds what the journal does not
├── RecreatedTopicError   the journal's sources are of a former topic of the same name
├── SplitError        what the group gave it is not the same partitions of all topics
├── TopicsError       the topics do not have the same number of partitions (streams/broker.py)
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


class RecreatedTopicError(WorkerError):
    """The journal covers a topic of this name that is there no more: another one has taken its place."""

    def __init__(self, topic: str, present: str, former: list[str]) -> None:
        super().__init__(
            f"{topic}: the topic was recreated: the journal covers the one with the id {' and '.join(former)}, the cluster has {present}. "
            "What the former one held and the journal does not is lost. Set FUNNEL_ACCEPT_LOG_LOSS=1 to read the new one from its start."
        )
        self.topic, self.present, self.former = topic, present, former


class SplitError(WorkerError):
    """The group gave a worker partitions whose counterparts of other topics it did not get."""

    def __init__(self, lines: list[tuple[str, int]]) -> None:
        named = ", ".join(f"{topic}/{number}" for topic, number in lines)
        super().__init__(
            f"assigned {named}: not the same partitions of every topic, as happens while topics are being changed. Start again once all have the "
            "same number of partitions."
        )
        self.lines = lines


class OwnershipLost(WorkerError):
    """Another worker has taken over; what was in flight is abandoned."""
