"""A collector in memory, and what came out of it."""

import asyncio
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from collector.app import create_app
from collector.producer import MemoryProducer, SentRecord
from collector.settings import CollectorSettings
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.metrics import CollectorMetrics
from schemas.registry import schema_by_id

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TOKEN = "sesame"
LINK_KEY = "link-key"
SETTINGS: dict[str, Any] = {
    "bootstrap": "nowhere",
    "tokens": ("other", TOKEN),
    "email_key": "pepper",
    "query_parameters": ("sku", "lang", "id"),
    "link_keys": ("retired-key", LINK_KEY),
    "links": {"shop": "https://shop.example/buy?lang=en#top"},
}
VISITOR = "abcd" + "e" * 26


class Collector:
    """The application over a producer in memory. ``call`` answers as a server would."""

    def __init__(
        self, peer: str = "198.51.100.77", producer: MemoryProducer | None = None, **settings: Any
    ) -> None:
        self.producer = producer or MemoryProducer()
        self.registry = CollectorRegistry()
        self.app = create_app(
            CollectorSettings(**(SETTINGS | settings)),
            self.producer,
            CollectorMetrics.create(self.registry),
            lambda: NOW,
        )
        self.peer = peer

    def call(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        return asyncio.run(self._call(method, url, **arguments))

    async def _call(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(self.peer, 4711))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.request(method, url, **arguments)

    def get(self, path: str, params: dict[str, str] | None = None, **arguments: Any) -> httpx.Response:
        return self.call("GET", path, params=params, **arguments)

    def post(self, content: object, token: str = TOKEN) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        if isinstance(content, bytes | str):
            return self.call("POST", "/events", content=content, headers=headers)
        return self.call("POST", "/events", json=content, headers=headers)

    @property
    def sent(self) -> list[tuple[SentRecord, dict[str, Any]]]:
        """The records, each with its decoded content."""
        return [(record, decode(record)) for record in self.producer.records]

    @property
    def event(self) -> dict[str, Any]:
        """The content of the only record."""
        ((_, content),) = self.sent
        return content


def decode(record: SentRecord) -> dict[str, Any]:
    """Return a record's content; its schema must be one of its topic."""
    schema_id = schema_id_of(record.value)
    assert schema_id is not None
    schema = schema_by_id(schema_id)
    assert schema is not None
    assert schema.topic == record.topic
    return decode_body(schema_id, record.value)


def field_of(response: httpx.Response) -> str:
    """Return the field that a 400 names."""
    assert response.status_code == 400, response.text
    return str(response.json()["error"]["field"])
