"""The users of one server: its owner, who may do everything, and perhaps a reader, who may only look."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.errors import AUTHENTICATION_FAILED, ServerError

READER = "reader"


@dataclass(frozen=True, slots=True)
class User:
    """A name with its password; `reads_only`: everything goes through the guard."""

    name: str
    password: str = field(repr=False)
    reads_only: bool = False


class Users:
    """Who there is. Names are unique."""

    def __init__(self, users: Iterable[User]) -> None:
        self._by_name = {user.name: user for user in users}

    def authenticate(self, name: str, password: str) -> User:
        """The user of that name. Raises ServerError, the same for a wrong name and a wrong password."""
        given = password.encode(errors="surrogateescape")
        user = self._by_name.get(name)
        known = user.password.encode() if user else b""
        if not hmac.compare_digest(given, known) or user is None:
            raise ServerError(
                AUTHENTICATION_FAILED,
                f"{name}: Authentication failed: password is incorrect, "
                "or there is no user with such name. (AUTHENTICATION_FAILED)",
            )
        return user
