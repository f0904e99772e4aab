"""Which version of an attribution model readers look at: one per model is in force, so that versions never add up.

It is the one applied last (`funnel attribution apply`); where none was applied, the first that was registered: the others lack conversions.
"""

from sinks.clickhouse.client import Connection
from sinks.clickhouse.sql import literal

_OTHERS = "SELECT v.model, v.model_version FROM {}attribution_versions AS v WHERE NOT v.in_force"


def in_force(alias: str, database: str = "") -> str:
    """Return the condition that a row of the journal or of a rollup is of no version that is not in force. True of rows without a model.

    ``database``: what stands before names of tables, such as ``db.``.
    """
    # What was derived before models had versions has version 0.
    return f"({alias}.model, greatest({alias}.model_version, 1)) NOT IN ({_OTHERS.format(database)})"


def put_in_force(connection: Connection, model: str, version: int) -> None:
    """Make a registered version the one that is in force. The register keeps when that was."""
    connection.execute(
        "INSERT INTO attribution_models (model, model_version, purpose, settings, registered_at, applied_at) "
        "SELECT model, model_version, purpose, settings, min(registered_at), now64(3) FROM attribution_models "
        f"WHERE model = {literal(model)} AND model_version = {version} GROUP BY ALL"
    )


def version_in_force(connection: Connection, model: str) -> int:
    """Return the version of ``model`` that readers see, 1 where none is registered."""
    sql = f"SELECT model_version FROM attribution_versions WHERE model = {literal(model)} AND in_force"
    return next((int(version) for [version] in connection.query(sql)), 1)
