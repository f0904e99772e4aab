"""A Schema Registry that knows the checked-in schemas under their ids, and takes a newer one in the middle of a run."""

import copy
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from schemas.registry import SUBJECT_SUFFIX, latest_schema, registered_schemas
from tests.integration.writable_registry import PASSWORD, USER, WritableRegistry, serve_writable_registry


class Contracts:
    """The registry, served between ``with`` and its end."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._registry: WritableRegistry | None = None

    def __enter__(self) -> Self:
        self._registry = self._open.enter_context(serve_writable_registry())
        for entry in registered_schemas():
            self._registry.content.schemas[entry.id] = (entry.topic + SUBJECT_SUFFIX, dict(entry.parsed))
            self._registry.content.extra[entry.id] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def settings(self) -> dict[str, Any]:
        """Where it is, as settings are named."""
        assert self._registry is not None
        return {
            "schema_registry_url": self._registry.url,
            "schema_registry_user": USER,
            "schema_registry_password": PASSWORD,
        }

    def variables(self) -> dict[str, str]:
        """The same for a process."""
        return {name.upper(): value for name, value in self.settings().items()}

    def renew(self, topic: str, field: str) -> tuple[int, dict[str, Any]]:
        """Register the topic's schema with one more field, text that may be left out; return its id and itself."""
        assert self._registry is not None
        schema = copy.deepcopy(dict(latest_schema(topic).parsed))
        schema["fields"].append({"name": field, "type": "string", "default": ""})
        return self._registry.content.add(topic + SUBJECT_SUFFIX, schema), schema
