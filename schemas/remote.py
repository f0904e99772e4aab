"""A Schema Registry (Confluent's REST interface) that gives the ids, in the place of the checked-in ones.

Exceptions: RegistryError ─┬─ RegistryAway     no answer, or none that can be relied on: ask again
                           └─ RegistryRefused  it says no: asking again changes nothing
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from schemas.registry import SUBJECT_SUFFIX, latest_schema

SUBJECT_NOT_FOUND, SCHEMA_NOT_FOUND = 40401, 40403
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
log = logging.getLogger(__name__)
_NO_PROXY = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}
_FINAL = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Where a Schema Registry is; without a ``url`` the checked-in ids hold. ``user`` and ``password`` are for basic authentication."""

    url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 10.0


class RegistryError(Exception):
    """A question to the Schema Registry failed. ``what`` was asked."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"Schema Registry: {what}: {problem}")
        self.what = what
        self.problem = problem


class RegistryAway(RegistryError):
    """The registry did not answer, or not as a registry does."""


class RegistryRefused(RegistryError):
    """The registry says no: it does not take the schema, or it does not know who asks."""


class Found(NamedTuple):
    """What an id stands for: the schema as Python data, and the topics whose subject has it."""

    schema: Mapping[str, Any]
    topics: frozenset[str]


class SchemaRegistry:
    """A client. Thread-safe; every method raises RegistryError."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._client = httpx.Client(
            base_url=settings.url.rstrip("/"),
            auth=(settings.user, settings.password) if settings.user else None,
            timeout=settings.timeout_seconds,
            headers={"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE},
            mounts=_NO_PROXY,
        )

    def register(self, topic: str) -> int:
        """Return the id of our newest schema of ``topic`` under its subject, where it is registered unless it is there."""
        subject = quote(topic + SUBJECT_SUFFIX, safe="")
        schema = {"schema": latest_schema(topic).text}
        answer = self._ask("POST", f"/subjects/{subject}", schema)
        if answer is None:
            answer = self._ask("POST", f"/subjects/{subject}/versions", schema)
        return _whole_number(f"subject {topic}{SUBJECT_SUFFIX}", answer, "id")

    def find(self, schema_id: int) -> Found | None:
        """Return what ``schema_id`` stands for, None where the registry has no Avro record of that id."""
        answer = self._ask("GET", f"/schemas/ids/{schema_id}")
        versions = self._ask("GET", f"/schemas/ids/{schema_id}/versions") if answer else None
        if not isinstance(answer, dict) or answer.get("schemaType", "AVRO") != "AVRO":
            return None
        try:
            schema = json.loads(answer["schema"])
            subjects = [str(version["subject"]) for version in versions or ()]
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryAway(f"schema id {schema_id}", f"an answer without {error}") from error
        if not isinstance(schema, dict) or schema.get("type") != "record":
            return None
        topics = {one.removesuffix(SUBJECT_SUFFIX) for one in subjects if one.endswith(SUBJECT_SUFFIX)}
        return Found(schema, frozenset(topics))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that is answered, None where the registry says that there is no such subject or schema."""
        what = f"{method} {path}"
        try:
            response = self._client.request(method, path, json=content)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryAway(what, str(error) or type(error).__name__) from error
        if response.is_success:
            return answer
        code = answer.get("error_code") if isinstance(answer, dict) else None
        # Only a registry says so: any other 404 is that of a wrong URL.
        if code in (SUBJECT_NOT_FOUND, SCHEMA_NOT_FOUND):
            return None
        problem = f"{response.status_code} {str(answer)[:300]}"
        raise (RegistryRefused if response.status_code in _FINAL else RegistryAway)(what, problem)


def registered(settings: RegistrySettings, topics: Sequence[str]) -> dict[str, int]:
    """Return the id of our newest schema per topic; wait while the registry is away. Raises RegistryRefused."""

    def note(state: RetryCallState) -> None:
        log.warning("%s, trying again", state.outcome and state.outcome.exception())

    registry = SchemaRegistry(settings)
    patiently = Retrying(
        retry=retry_if_exception_type(RegistryAway),
        wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
        before_sleep=note,
    )
    try:
        return {topic: patiently(registry.register, topic) for topic in topics}
    finally:
        registry.close()


def check_url(text: str) -> str:
    """Return ``text`` if it is empty or the URL of a registry. Raises ValueError."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("may not carry a password: there are settings for user and password")
    return text


def _whole_number(what: str, answer: Any, name: str) -> int:
    if not isinstance(answer, dict) or type(answer.get(name)) is not int:
        raise RegistryAway(what, f"an answer without {name}")
    return int(answer[name])
