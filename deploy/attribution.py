"""`funnel attribution`: the versions of attribution models, and applying one to everything that is journaled.

The order makes every step repeatable: nobody else may write, the credits that are missing land, the rollups take the version over, and only then is
it in force. Interrupted, the same command finishes it; until then readers see the version that was in force before.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from deploy.offline import Members, OfflineError, refuse_live_workers
from schemas.attribution import Model, Models, counts
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import TABLE, Journal
from sinks.clickhouse.rebuild import journaled_sources, missing_rows, restate_version
from sinks.clickhouse.rollup import Rollup
from sinks.clickhouse.sql import literal
from sinks.clickhouse.versions import put_in_force
from streams.applying import missing_credits

TOUCHES_AT_ONCE = 1_000_000
"""About so many touches and conversions are in memory at a time: some 200 bytes each."""
BLOCK = 200_000
"""Rows of one insert."""


class Version(NamedTuple):
    """A registered version: whether it is in force and in the models file, its credits that stand, and those issued and taken back so far."""

    model: str
    version: int
    purpose: str
    in_force: bool
    in_file: bool
    standing: int
    rows: int
    registered_at: datetime
    applied_at: datetime | None


def versions(connection: Connection, models: Models) -> list[Version]:
    """Return the registered versions by model."""
    known = {model.key for model in models}
    # A touch may be credited anew, so that credits of both signs are the rows and their sum is what stands.
    rows = connection.query(
        "SELECT toString(v.model), v.model_version, toString(v.purpose), v.in_force, c.standing, c.n, v.registered_at, v.applied_at "
        "FROM attribution_versions AS v LEFT JOIN (SELECT j.model AS model, j.model_version AS model_version, count() AS n, "
        f"sum(j.sign) AS standing FROM {TABLE} AS j WHERE j.kind = 'credit' GROUP BY ALL) AS c "
        "ON c.model = v.model AND c.model_version = v.model_version ORDER BY 1, 2"
    )
    return [
        Version(
            str(name),
            int(version),
            str(purpose),
            bool(in_force),
            (str(name), int(version)) in known,
            int(standing),
            int(count),
            registered,
            applied if applied.year > 1970 else None,
        )
        for name, version, purpose, in_force, standing, count, registered, applied in rows
    ]


def chosen(models: Models, name: str, version: int | None) -> Model:
    """Return the model of that name in the file, of that version or the highest. Raises OfflineError."""
    found = [model for model in models if model.name == name and version in (None, model.version)]
    if not found:
        wanted = name if version is None else f"{name} {version}"
        known = ", ".join(f"{model.name} {model.version}" for model in models)
        raise OfflineError(
            f"{wanted} is not in the models file (FUNNEL_ATTRIBUTION_FILE); there are: {known}"
        )
    return max(found, key=lambda model: model.version)


class Application:
    """One version over one journal."""

    def __init__(self, values: Mapping[str, Any], connection: Connection, model: Model) -> None:
        self._values = values
        self._connection = connection
        self._journal = Journal(connection, values["group"])
        self._model = model
        self._token = secrets.randbits(63) | 1

    @property
    def parts(self) -> int:
        """How many parts the routes are cut into, so that one of them fits memory."""
        sql = f"SELECT count() FROM {TABLE} WHERE kind IN ('impression', 'click', 'lead', 'request')"
        return int(self._connection.query(sql)[0][0]) // TOUCHES_AT_ONCE + 1

    def check(self, accept_loss: bool) -> None:
        """Raise OfflineError where the journal has let impressions go that the model looks at, unless that is accepted."""
        if accept_loss or not counts((self._model,), "impression"):
            return
        if missing := missing_rows(self._connection):
            raise OfflineError(
                f"the journal no longer holds {missing:,} records that its flush rows account for (FUNNEL_JOURNAL_RETENTION_DAYS), "
                f"impressions among them: {self._model.name} would not credit these. --accept-loss takes that."
            )

    def missing(self, part: int, parts: int) -> Iterator[pl.DataFrame]:
        """Yield the rows that are missing of a part of the routes."""
        history, limit = History(self._connection), self._values["person_limit"]
        return missing_credits(history, self._model, limit, part, parts)

    def stop_workers(self, members: Members) -> None:
        """Make sure that nobody else writes, and register the version. Raises OfflineError, ModelChanged."""
        refuse_live_workers(self._values, members)
        self._journal.take_ownership(journaled_sources(self._connection), self._token)
        register_models(self._connection, (self._model,))

    def land(self, rows: pl.DataFrame) -> None:
        """Insert rows. Raises NotOwner where a worker has come back."""
        sources = sorted(set(rows["_source"].to_list()))
        # Later than every flush, whatever the clocks of workers were: what is known when must not depend on them.
        now = max(int(time.time() * 1000), self._journal.newest_ingestion(sources) + 1)
        rows = rows.with_columns(
            _ingested_at=pl.lit(now, dtype=pl.Int64), _owner=pl.lit(self._token, dtype=pl.UInt64)
        )
        for block in rows.iter_slices(BLOCK):
            self._journal.insert(self._journal.pack(block), uuid.uuid4().hex, sources, self._token)

    def restate(self, rollup: Rollup) -> None:
        """Let a rollup take the version's credits over."""
        restate_version(self._journal, rollup, *self._model.key, self._token)

    def put_in_force(self) -> None:
        """Let readers see this version. Raises OfflineError where a worker has come back meanwhile."""
        for source in journaled_sources(self._connection):
            owner = self._connection.query(f"SELECT joinGet('owners', 'token', {literal(source)})")[0][0]
            if owner != self._token:
                raise OfflineError(
                    f"a worker has taken over {source} meanwhile: stop all workers and run the same command again"
                )
        put_in_force(self._connection, *self._model.key)


class Applied(NamedTuple):
    """What was missing, or would be written: credits issued and taken back."""

    issued: int
    taken_back: int


def apply_version(
    one: Application, dry_run: bool, progress: Callable[[str, int], None] = lambda what, steps: None
) -> Applied:
    """Write what the version lacks and put it in force, or with ``dry_run`` only count. ``progress`` is told what is done, and of how many steps.

    Workers have been stopped, unless it is a dry run.
    """
    issued = taken_back = 0
    parts = one.parts
    for part in range(parts):
        for rows in one.missing(part, parts):
            positive = int((rows["sign"] > 0).sum())
            issued, taken_back = issued + positive, taken_back + rows.height - positive
            if not dry_run:
                one.land(rows)
        progress("crediting", parts)
    if not dry_run:
        for rollup in ROLLUPS:
            one.restate(rollup)
            progress("rollups", len(ROLLUPS))
        one.put_in_force()
    return Applied(issued, taken_back)
