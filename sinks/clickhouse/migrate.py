"""Migrations: numbered SQL files, applied once and in order, each recorded with its checksum.

A statement may be run again after a failure half way through a file, so every one of them is written to be idempotent.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template

from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import MigrationError
from sinks.clickhouse.settings import ClickHouseSettings

_RECORD = """
CREATE TABLE IF NOT EXISTS ${database}.migrations ${on_cluster}
(
    name String,
    checksum String COMMENT 'SHA-256 of the file',
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = ${MergeTree}
ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What tells an edited file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all migrations of this package, in order."""
    folder = resources.files("sinks.clickhouse") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files]


def apply_migrations(
    connection: Connection, settings: ClickHouseSettings, available: list[Migration] | None = None
) -> list[str]:
    """Create the database, apply what has not been applied, and return the names applied.

    Raises MigrationError, before anything is changed, where an applied migration was edited or is gone.
    """
    available = migrations() if available is None else available
    create_database(settings)
    names = {**placeholders(settings), "fewer_merges": fewer_merges(connection)}
    connection.execute(Template(_RECORD).substitute(names))
    rows = connection.query("SELECT name, any(checksum) FROM migrations GROUP BY name")
    recorded = {str(name): str(checksum) for name, checksum in rows}
    _check(available, recorded)
    pending = [migration for migration in available if migration.name not in recorded]
    for migration in pending:
        for statement in statements(migration.text):
            connection.execute(Template(statement).substitute(names))
        connection.insert_rows("migrations", ("name", "checksum"), [(migration.name, migration.checksum)])
    return [migration.name for migration in pending]


def create_database(settings: ClickHouseSettings) -> None:
    """Create the database of ``settings``. A connection to a database that does not exist is refused, so this one is to ``default``."""
    if settings.database == "default":
        return
    connection = Connection(settings, database="default")
    try:
        connection.execute(
            Template("CREATE DATABASE IF NOT EXISTS ${database} ${on_cluster}").substitute(
                placeholders(settings)
            )
        )
    finally:
        connection.close()


def placeholders(settings: ClickHouseSettings) -> dict[str, str]:
    """Return what ``${...}`` stands for in a migration: engines, cluster and database as the settings choose them."""
    replicated = "('/clickhouse/tables/{uuid}/{shard}', '{replica}')"
    engines = {
        name: f"Replicated{name}{replicated}" if settings.replicated else name
        for name in ("MergeTree", "AggregatingMergeTree", "ReplacingMergeTree")
    }
    return {
        **engines,
        "database": f"`{settings.database}`",
        "database_name": settings.database,
        "on_cluster": f"ON CLUSTER `{settings.cluster}`" if settings.cluster else "",
        "deduplication_window": "replicated_deduplication_window"
        if settings.replicated
        else "non_replicated_deduplication_window",
        # `apply_retention` sets it, and changes it later.
        "journal_ttl": "",
    }


def fewer_merges(connection: Connection) -> str:
    """Return the table setting by which a server that knows it waits for more parts before it merges them.

    Merging 5 parts at a time, as is the default, costs the server more than twice what inserting does.
    """
    known = connection.query(
        "SELECT count() FROM system.merge_tree_settings WHERE name = 'min_parts_to_merge_at_once'"
    )
    return ", min_parts_to_merge_at_once = 12" if known[0][0] else ""


def statements(text: str) -> Iterator[str]:
    """Yield the statements of ``text``, which semicolons end; those in strings, quoted names and comments do not."""
    start = place = 0
    while place < len(text):
        skipped = _skip(text, place)
        if skipped > place:
            place = skipped
        elif text[place] == ";":
            yield from _stripped(text[start:place])
            place += 1
            start = place
        else:
            place += 1
    yield from _stripped(text[start:])


def _skip(text: str, place: int) -> int:
    """Return the end of the string, quoted name or comment that begins at ``place``, or ``place``."""
    if text.startswith("--", place):
        end = text.find("\n", place)
        return len(text) if end < 0 else end
    if text.startswith("/*", place):
        end = text.find("*/", place + 2)
        return len(text) if end < 0 else end + 2
    quote = text[place]
    if quote not in "'\"`":
        return place
    end = place + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" else 1
    return end + 1


def _stripped(statement: str) -> Iterator[str]:
    """Yield ``statement`` unless it is nothing but blanks and comments."""
    place, bare = 0, False
    while place < len(statement) and not bare:
        comment = statement.startswith(("--", "/*"), place)
        bare = not comment and not statement[place].isspace()
        place = _skip(statement, place) if comment else place + 1
    if bare:
        yield statement.strip()


def _check(available: list[Migration], recorded: Mapping[str, str]) -> None:
    known = {migration.name: migration.checksum for migration in available}
    for name, checksum in sorted(recorded.items()):
        if name not in known:
            raise MigrationError(
                f"migration {name} was applied but is not known here: this funnel is older than its database"
            )
        if known[name] != checksum:
            raise MigrationError(
                f"migration {name} was edited after it was applied (SHA-256 {known[name][:12]}, applied {checksum[:12]}): add a new one instead"
            )
