"""What can go wrong between a request and its records.

Exception
├── FieldError     a value breaks a rule: 400, or an error of one item of a batch
├── Refusal        the request as a whole is refused, with its own HTTP status
├── Unavailable    neither the broker nor the spool has it: 503, try again
│   └── Undeliverable  the broker refuses this very record, and always will
└── SpoolError     the spool's directory cannot be used: the collector does not start
"""


class FieldError(Exception):
    """``field`` of a request or item breaks a rule; ``reason`` is a short word out of a fixed set, fit for a
    metric's label."""

    def __init__(self, field: str, message: str, reason: str = "invalid") -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.reason = reason


class Refusal(Exception):
    """The request is refused with HTTP ``status``; ``headers`` go with the answer."""

    def __init__(
        self,
        status: int,
        field: str,
        message: str,
        reason: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(f"{status} {field}: {message}")
        self.status = status
        self.field = field
        self.message = message
        self.reason = reason
        self.headers = headers


class Unavailable(Exception):
    """A record was not acknowledged in time or could not be queued. Whether it arrives all the same is
    unknown."""


class Undeliverable(Unavailable):
    """The broker refuses the record for what it is, so sending it again is of no use."""


class SpoolError(Exception):
    """The spool in ``directory`` cannot be used."""

    def __init__(self, directory: object, problem: str) -> None:
        super().__init__(f"the spool {directory}: {problem}")
        self.directory = directory
        self.problem = problem
