"""docs/rules.md, section 8: which visitors are one person."""

from collections.abc import Mapping, Sequence
from typing import Any

KEYS = (("email", "email_hash"), ("phone", "phone_hash"))
LONGEST = 256
USER = "user "


class Persons:
    """Visitors by the identity keys that their leads name. A person of more than ``limit`` visitors is none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._visitors_of: dict[str, set[str]] = {}
        self._keys_of: dict[str, set[str]] = {}

    def add_lead(self, fields: Mapping[str, Any]) -> None:
        """Take in an accepted lead."""
        if fields["consent"] == "denied":
            return
        for kind, column in KEYS:
            key = f"{kind} {fields[column]}"
            if fields[column] != "" and len(key.encode()) <= LONGEST:
                self._join(key, fields["visitor_id"])

    def add_login(self, fields: Mapping[str, Any]) -> None:
        """Take in an accepted claim of a user id; those of other keys follow from leads."""
        if fields["purpose"] == "claim" and fields["identity_key"].startswith(USER):
            self._join(fields["identity_key"], fields["visitor_id"])

    def _join(self, key: str, visitor: str) -> None:
        self._visitors_of.setdefault(key, set()).add(visitor)
        self._keys_of.setdefault(visitor, set()).add(key)

    def visitors_with(self, visitor_id: str) -> Sequence[str]:
        """Return all visitors of the person that a visitor belongs to, the smallest first; the visitor alone where they are too many."""
        found, waiting = {visitor_id}, [visitor_id]
        while waiting:
            for key in self._keys_of.get(waiting.pop(), ()):
                news = self._visitors_of[key] - found
                found |= news
                waiting += news
        return sorted(found) if len(found) <= self._limit else [visitor_id]
