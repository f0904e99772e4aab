"""docs/rules.md, section 4: duplicates and conflicts, per partition of a topic and in order of offset."""

from collections.abc import Hashable, Mapping
from enum import IntEnum
from typing import Any

DAY_MS = 24 * 3600 * 1000
_NOT_CONTENT = frozenset(("received_at", "ip", "user_agent", "event_id"))


class Verdict(IntEnum):
    """What a valid record in its right partition is."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


def content_of(record: Mapping[str, Any]) -> int:
    """Return what two sendings of one event have in common, as a hash: a record need not be kept to be compared."""
    return hash(tuple(value for name, value in record.items() if name not in _NOT_CONTENT))


class TouchIds:
    """The ids of one partition of a touch topic."""

    def __init__(self, window_ms: int = DAY_MS) -> None:
        self._window = window_ms
        self._accepted: dict[str, tuple[int, int]] = {}

    def verdict(self, event_id: str, record_time: int, content: int) -> Verdict:
        """Judge the next record; one that is accepted is remembered with its record time, no other is."""
        known = self._accepted.get(event_id)
        if known is not None and record_time - known[0] <= self._window:
            return Verdict.DUPLICATE if known[1] == content else Verdict.CONFLICT
        self._accepted[event_id] = record_time, content
        return Verdict.NEW


class Identities:
    """The identities of one partition that are remembered for ever: a conversion's partner, transaction, status and time of the status."""

    def __init__(self) -> None:
        self._accepted: dict[Hashable, int] = {}

    def verdict(self, identity: Hashable, content: int) -> Verdict:
        """Judge the next record."""
        known = self._accepted.get(identity)
        if known is not None:
            return Verdict.DUPLICATE if known == content else Verdict.CONFLICT
        self._accepted[identity] = content
        return Verdict.NEW


class Revisions:
    """The highest revision, then step, then whether it takes back, per transaction, route, person and origin that one partition of credit
    requests has had."""

    def __init__(self) -> None:
        self._highest: dict[Hashable, tuple[int, int, bool]] = {}

    def verdict(self, key: Hashable, revision: tuple[int, int, bool]) -> Verdict:
        """Judge the next request."""
        if key in self._highest and revision <= self._highest[key]:
            return Verdict.DUPLICATE
        self._highest[key] = revision
        return Verdict.NEW
