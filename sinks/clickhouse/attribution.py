"""The register of attribution models: a version, once credited under, never changes (docs/attribution.md)."""

from collections.abc import Mapping

from schemas.attribution import Models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import ModelChanged

TABLE = "attribution_models"
_COLUMNS = ("model", "model_version", "purpose", "settings")


def register_models(connection: Connection, models: Models) -> None:
    """Register the versions that are new. Raises ModelChanged where one is registered with other settings, before anything is written."""
    registered = _registered(connection)
    _check(models, registered)
    new = [model for model in models if model.key not in registered]
    if new:
        rows = [(*model.key, model.purpose, model.content) for model in new]
        connection.insert_rows(TABLE, _COLUMNS, rows)
        # Another worker may have registered its own meanwhile.
        _check(models, _registered(connection))


def _registered(connection: Connection) -> Mapping[tuple[str, int], set[str]]:
    sql = f"SELECT toString(model), model_version, groupUniqArray(settings) FROM {TABLE} GROUP BY model, model_version"
    return {(str(name), int(version)): set(settings) for name, version, settings in connection.query(sql)}


def _check(models: Models, registered: Mapping[tuple[str, int], set[str]]) -> None:
    for model in models:
        if registered.get(model.key, {model.content}) != {model.content}:
            raise ModelChanged(*model.key)
