"""Aligned intake: which of the buffered fetches to take next.

On a backlog the topics drain at different speeds, and conversions overtake their clicks. So what is older by record time is taken
first, and what has run ahead waits: until the others have caught up, are at their high watermark, or the hold's time limit is over.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

K = TypeVar("K", bound=Hashable)


NO_LIMIT = 2**62
MOST_STEPS = 256
"""In one look at the buffers. Records that are far apart in time make small steps, and heartbeats wait for the end of the look."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How far (ms of record time) a partition may run ahead of the oldest one, and how long (ms) it is held at most."""

    slack_ms: int
    hold_ms: int


@dataclass(frozen=True, slots=True)
class Head:
    """One assigned partition as the intake sees it.

    ``first_time`` is the record time (ms) of the oldest buffered record, None where nothing is buffered; ``reached`` is the record time
    (ms) up to which the partition was taken, 0 before the first record; ``behind`` tells that the log holds, or may hold, more than
    was taken.
    """

    first_time: int | None
    reached: int
    behind: bool


@dataclass(frozen=True, slots=True)
class Buffer:
    """What is buffered of one assigned partition.

    ``times`` int64[n] are the buffered records' record times (ms) in offset order, possibly none; ``reached`` is as in `Head`; ``behind``
    tells that the log holds, or may hold, more than what is buffered.
    """

    times: npt.NDArray[np.int64]
    reached: int
    behind: bool

    def head(self, taken: int) -> Head:
        """Return the head once the first ``taken`` buffered records are gone."""
        reached = int(self.times[taken - 1]) if taken else self.reached
        if taken < len(self.times):
            return Head(int(self.times[taken]), reached, True)
        return Head(None, reached, self.behind)

    def until(self, taken: int, limit: int) -> int:
        """Return how many records are gone once those from ``taken`` on are taken up to record time ``limit``; the first one always is."""
        later = np.flatnonzero(self.times[taken + 1 :] > limit)
        return taken + 1 + int(later[0]) if len(later) else len(self.times)


@dataclass(slots=True)
class Holds:
    """Since when (monotonic ms) each partition is held back."""

    since: dict[Hashable, float] = field(default_factory=dict)


def due(
    buffers: Mapping[K, Buffer], alignment: Alignment, holds: Holds, now_ms: float, enough: int
) -> dict[K, int]:
    """Return how many buffered records of each partition to take now, from the first one on.

    Steps of `takeable`, at least one, are repeated until ``enough`` records are taken or nothing more may be: one take of thousands of records costs
    little more than one of a few.
    """
    taken = dict.fromkeys(buffers, 0)
    for _ in range(MOST_STEPS):
        heads = {key: buffer.head(taken[key]) for key, buffer in buffers.items()}
        limits = takeable(heads, alignment, holds, now_ms)
        if not limits:
            break
        for key, limit in limits.items():
            taken[key] = buffers[key].until(taken[key], limit)
        if sum(taken.values()) >= enough:
            break
    return {key: count for key, count in taken.items() if count}


def takeable(heads: Mapping[K, Head], alignment: Alignment, holds: Holds, now_ms: float) -> dict[K, int]:
    """Return up to which record time (ms) each partition's buffered records may be taken now, and note in ``holds`` which ones wait.

    A partition that is behind but has nothing buffered holds the others back by the time it has reached; one at its high watermark
    never does.
    """
    waited_for = sorted((_next_time(head), place) for place, head in enumerate(heads.values()) if head.behind)
    taken: dict[K, int] = {}
    for place, (key, head) in enumerate(heads.items()):
        if head.first_time is None:
            continue
        # Nobody waits for itself.
        oldest = next((time for time, other in waited_for[:2] if other != place), None)
        limit = NO_LIMIT if oldest is None else oldest + alignment.slack_ms
        if head.first_time <= limit:
            taken[key] = limit
        elif now_ms - holds.since.setdefault(key, now_ms) >= alignment.hold_ms:
            taken[key] = head.first_time + alignment.slack_ms
        else:
            continue
        holds.since.pop(key, None)
    return taken


def _next_time(head: Head) -> int:
    """The oldest record time that is still to come from a partition."""
    return head.first_time if head.first_time is not None else head.reached
