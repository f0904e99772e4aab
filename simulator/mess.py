"""How untidy the traffic is: one rate per kind of mess, all of which can be off."""

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Mess:
    """Rates between 0 and 1.

    Of all items: ``duplicates`` (same id, same content), ``conflicts`` (same id, other content), ``malformed`` (one of every rule's violations),
    ``misrouted`` (a wrong key), ``disorder`` (arrives minutes to hours after later events). Of visits: ``bots``. Of visitors: ``foreign`` (ids
    that others minted). Of clicks with an advertising network's id: ``unfilled`` (a text that many carry instead). Of leads: ``devices`` (the
    same person as an earlier one, on another device), ``shared`` (an address that many type in). Of transactions: ``restated`` (more than one
    status), ``shuffled`` (statuses arrive in another order), ``revalued`` (a status is reported again with other amounts, such as after a partial
    refund), ``illegal`` (statuses that do not follow from each other), ``late`` (a touch arrives after its conversion), ``orphans`` (nothing
    leads to a click), ``networks`` (the network's id leads to it), ``skewed`` (by the partner's
    clock the conversion was before its click). Of status updates: ``bare`` (no click id, no value).
    """

    duplicates: float = 0.05
    conflicts: float = 0.002
    malformed: float = 0.005
    misrouted: float = 0.002
    disorder: float = 0.03
    bots: float = 0.04
    foreign: float = 0.05
    restated: float = 0.5
    shuffled: float = 0.15
    revalued: float = 0.15
    illegal: float = 0.05
    late: float = 0.1
    orphans: float = 0.1
    bare: float = 0.3
    devices: float = 0.15
    shared: float = 0.02
    networks: float = 0.2
    unfilled: float = 0.03
    skewed: float = 0.03

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name}: not between 0 and 1")
        if self.duplicates + self.conflicts + self.malformed + self.misrouted > 0.8:
            raise ValueError(
                "duplicates, conflicts, malformed and misrouted: together above 0.8 of all items"
            )

    @classmethod
    def none(cls) -> Self:
        """Return tidy traffic."""
        return cls(**dict.fromkeys((field.name for field in fields(cls)), 0.0))
