"""The proof: what the oracle computed from the log against what ClickHouse holds."""

from collections.abc import Callable, Mapping
from itertools import chain

from simulator.checks.acknowledged import acknowledged_check
from simulator.checks.ledger import ledger_checks
from simulator.checks.money import money_checks
from simulator.checks.reading import Reader, Tables
from simulator.checks.rollup import rollup_checks
from simulator.checks.rows import row_checks
from simulator.checks.status import status_checks
from simulator.oracle.result import Result
from simulator.report import Report


def verify(
    result: Result,
    reader: Reader,
    acknowledged: Mapping[str, str],
    *,
    progress: Callable[[int], None] = lambda rows: None,
) -> Report:
    """Return the report on this cluster's sources. Nothing may still be on its way: drained, flushed and derived.

    ``reader`` runs a query and returns its rows. ``acknowledged``: event id → kind. ``progress`` is told how many journal rows
    have been compared.
    """
    tables = Tables(reader, result.prefixes)
    ids: set[str] = set()
    checks = list(
        chain(
            ledger_checks(result, tables),
            row_checks(result, tables, ids, progress),
            money_checks(result, tables),
            rollup_checks(result, tables),
            status_checks(result, tables),
        )
    )
    return Report([acknowledged_check(result, acknowledged, ids), *checks])
