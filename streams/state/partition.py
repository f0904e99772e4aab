"""Everything remembered of one partition number across the co-partitioned topics."""

from dataclasses import dataclass, field

from schemas.attribution import Models, default_models
from schemas.topics import IDENTIFIED_TOPICS
from streams.settings import WorkerSettings
from streams.state.aliases import Aliases
from streams.state.ids import SeenIds
from streams.state.interned import Interned
from streams.state.links import DEFAULT_LIMIT, Links
from streams.state.requests import Requests
from streams.state.touches import Touches
from streams.state.transactions import Transactions

BACKWARD_MS = 3600 * 1000
"""How far record times may run backwards within a partition before an id could be forgotten early."""


@dataclass(slots=True)
class PartitionState:
    """Ids seen per topic of touches and of postbacks, touches, transactions counted here, requests credited here, ids of clicks and of leads that
    lead to other routes.

    ``cold_floor`` is the record time (ms) up to which facts may be in the journal only; None if the journal holds nothing older. ``warm`` are
    the routes whose older facts have been loaded since, ``unresolved`` those of requests in memory whose click or lead is not.
    ``models``: all that credit is given under.
    """

    ids: dict[str, SeenIds]
    models: Models = field(default_factory=default_models)
    touches: Touches = field(default_factory=Touches)
    transactions: Transactions = field(default_factory=Transactions)
    requests: Requests = field(default_factory=Requests)
    links: Links = field(default_factory=Links)
    aliases: dict[str, Aliases] = field(default_factory=lambda: aliases_of(DEFAULT_LIMIT))
    cold_floor: int | None = None
    warm: set[str] = field(default_factory=set)
    unresolved: set[str] = field(default_factory=set)
    newest: int = 0
    swept_at: int = 0

    def __post_init__(self) -> None:
        """Touches and credits share one numbering of texts: a credit takes over its touch's numbers."""
        self.requests.credits.interned = self.touches.interned

    @property
    def interned(self) -> Interned:
        """The numbering of texts."""
        return self.touches.interned

    def sweep(self, hot_window: int) -> None:
        """Forget what is older than ``hot_window`` (ms) once a tenth of it has gone by since the last time."""
        if self.swept_at == 0:
            self.swept_at = self.newest
        if self.newest - self.swept_at < hot_window // 10:
            return
        floor = self.newest - hot_window
        self.touches.expire(floor)
        self.transactions.expire(floor)
        self.requests.expire(floor)
        self.links.expire(floor)
        for aliases in self.aliases.values():
            aliases.expire(floor)
        self.warm.clear()
        self.cold_floor = max(floor, self.cold_floor or floor)
        self.swept_at = self.newest

    @property
    def nbytes(self) -> int:
        """Bytes held in columns (ids, touches, aliases, pairs, credits)."""
        return (
            self.touches.nbytes
            + self.requests.credits.nbytes
            + self.links.nbytes
            + sum(aliases.nbytes for aliases in self.aliases.values())
            + sum(seen.nbytes for seen in self.ids.values())
        )


def aliases_of(limit: int) -> dict[str, Aliases]:
    """Return that nothing is known of ids of clicks and of leads; ``limit``: visitors that may carry one."""
    return {"click": Aliases(limit), "lead": Aliases(limit)}


def empty_partition(settings: WorkerSettings, interned: Interned | None = None) -> PartitionState:
    """Return a partition that has seen nothing. ``interned``: the numbering of texts, where several partitions have one."""
    return PartitionState(
        {
            topic: SeenIds(settings.dedup_window_ms, BACKWARD_MS, settings.max_ids)
            for topic in IDENTIFIED_TOPICS
        },
        settings.models,
        touches=Touches(interned or Interned()),
        links=Links(settings.person_limit),
        aliases=aliases_of(settings.person_limit),
    )
