"""Aligned intake: which of the buffered fetches to take next.

On a backlog the topics drain at different speeds, and conversions overtake their clicks. So what is older by record time is taken
first, and what has run ahead waits: until the others have caught up, are at their high watermark, or the hold's time limit is over.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


NO_LIMIT = 2**62


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


@dataclass(slots=True)
class Holds:
    """Since when (monotonic ms) each partition is held back."""

    since: dict[Hashable, float] = field(default_factory=dict)


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
