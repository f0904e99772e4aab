"""Records under the schema ids that a Schema Registry has given."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from collector.producer import Keeper, Producer, SentRecord
from schemas.framing import reframed


class RegisteredProducer(NamedTuple):
    """A Producer that hands records on to ``producer``, framed under the id in ``ids`` of their topic."""

    producer: Producer
    ids: Mapping[str, int]

    def send(self, record: SentRecord) -> asyncio.Future[None]:
        """See Producer."""
        return self.producer.send(record._replace(value=reframed(self.ids[record.topic], record.value)))

    async def ready(self) -> Keeper:
        """See Producer."""
        return await self.producer.ready()

    async def close(self) -> None:
        """See Producer."""
        await self.producer.close()
