"""What the amounts and times of events are held against: an operator may set it (docs/rules.md, section 2)."""

from typing import NamedTuple

MOST_UNITS = 10**9
"""Currency units: an amount's sums over all that is journaled still fit into 64 bits of micros."""
MOST_AHEAD_SECONDS = 24 * 3600
MICROS = 10**6


class Bounds(NamedTuple):
    """The most that an amount may be, in whole currency units; how many seconds an event's time may lie ahead of when it was received."""

    amount_limit: int = MOST_UNITS
    future_tolerance_seconds: int = 3600

    @property
    def micros(self) -> int:
        """The most that an amount may be, in micros."""
        return self.amount_limit * MICROS

    @property
    def ahead_ms(self) -> int:
        """How far an event's time may lie ahead, in ms."""
        return self.future_tolerance_seconds * 1000


DEFAULTS = Bounds()
WIDEST = Bounds(MOST_UNITS, MOST_AHEAD_SECONDS)
"""What hops are held against: their senders judged the events that they follow from, maybe under other bounds than are set now."""
