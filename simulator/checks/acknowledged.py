"""Every event that the collector or the broker acknowledged is there (P1)."""

from collections.abc import Mapping, Set

from simulator.oracle.result import Result
from simulator.report import Check, Differences


def acknowledged_check(result: Result, acknowledged: Mapping[str, str], ids: Set[str]) -> Check:
    """Look for each of ``acknowledged`` (id → kind) in the log, and for the row that stands for it among ``ids``.

    That row is the event's own, or a reject's, or where it is a duplicate that of the event it repeats.
    """
    found = Differences()
    for event_id, kind in acknowledged.items():
        holder = result.holders.get(event_id.lower())
        if holder is None:
            found.add(f"{kind} {event_id}: not in the log")
        elif holder not in ids:
            found.add(f"{kind} {event_id}: in the log, but {holder} is not in the journal")
    return found.check("acknowledged events kept", len(acknowledged), len(acknowledged) - found.count)
