"""What the schema ids in a batch stand for, where a Schema Registry gives them: each id is asked for once."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tenacity import RetryError, Retrying

from schemas.remote import Found, SchemaRegistry
from streams.errors import OwnershipLost
from streams.steps.batch import RawBatch
from streams.steps.decode import schema_ids
from streams.steps.given import GivenIds, given_ids

MOST_IDS = 10_000
"""Ids remembered; beyond that the one not seen for longest is forgotten, and asked for again when it comes."""
MOST_COMBINATIONS = 100
"""Parsed sets of schemas remembered: batches of a topic have few different ones."""


@dataclass(slots=True)
class Resolver:
    """The registry with what it has said. For one thread.

    ``ours``: the id of our newest schema per topic. ``patiently`` repeats a call while the registry is away.
    """

    registry: SchemaRegistry
    ours: Mapping[str, int]
    patiently: Retrying
    _known: OrderedDict[int, Found | None] = field(default_factory=OrderedDict)
    _given: dict[tuple[str, frozenset[int]], GivenIds] = field(default_factory=dict)

    def given(self, batch: RawBatch) -> GivenIds:
        """Return what the ids in ``batch`` stand for in its topic. Raises OwnershipLost where the worker stops while the registry is away."""
        found = {number: self._found(number) for number in sorted(schema_ids(batch))}
        schemas = {number: one.schema for number, one in found.items() if one and batch.topic in one.topics}
        key = batch.topic, frozenset(schemas)
        if key not in self._given:
            if len(self._given) >= MOST_COMBINATIONS:
                self._given.clear()
            self._given[key] = given_ids(batch.topic, schemas)
        return self._given[key]

    def _found(self, schema_id: int) -> Found | None:
        if schema_id not in self._known:
            try:
                self._known[schema_id] = self.patiently(self.registry.find, schema_id)
            except RetryError as error:
                raise OwnershipLost("stopped while waiting for the Schema Registry") from error
        self._known.move_to_end(schema_id)
        while len(self._known) > MOST_IDS:
            self._known.popitem(last=False)
        return self._known[schema_id]
