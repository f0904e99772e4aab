"""Partners whose servers report conversions: how each names things, and how it proves who it is."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from collector.text import IDENTIFIER_BYTES
from collector.values import STATUSES

FIELDS = (
    *("transaction_id", "status", "click_id", "lead_id", "visitor_id", "goal", "value", "payout", "currency"),
    *("occurred_at", "status_at", "campaign", "affiliate", "offer", "creative"),
    *("sub1", "sub2", "sub3", "sub4", "sub5"),
)
RESERVED = ("partner", "token", "ts", "sig")
"""Parameters of ours, which no partner can use for its own ends."""
_ACTIVE = 2
_SHORTEST_SECRET = 16
_MACRO = re.compile(r"\{([^{}]+)\}")
_KEYS = frozenset(("fields", "statuses", "secrets", "tokens", "addresses"))


@dataclass(frozen=True, slots=True)
class Partner:
    """One partner. Secrets do not show in ``repr``.

    ``fields``: per field of a conversion a template, whose macros ``{name}`` are parameters of the partner's. ``statuses``: the partner's
    words (lower case) for ours. ``secrets`` sign its postbacks; ``tokens``, believed from ``addresses`` only, are for partners that cannot sign.
    At most two of each are active, the old and the new one.
    """

    name: str
    fields: Mapping[str, str]
    statuses: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    tokens: tuple[str, ...] = field(default=(), repr=False)
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()

    def parameters(self) -> frozenset[str]:
        """Return the names of the partner's parameters that its templates read."""
        return frozenset(name for template in self.fields.values() for name in _MACRO.findall(template))


def expand(partner: Partner, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a conversion that ``parameters`` describe. One whose template lacks a parameter, or has an empty one, is left out."""
    expanded: dict[str, str] = {}
    for name, template in partner.fields.items():
        if all(parameters.get(macro) for macro in _MACRO.findall(template)):
            value = _MACRO.sub(lambda macro: parameters[macro[1]], template)
            expanded[name] = partner.statuses.get(value.strip().lower(), value) if name == "status" else value
    return expanded


def load_partners(path: Path) -> dict[str, Partner]:
    """Return the partners of a JSON file by name (its form: docs/sending.md).

    Raises ValueError, which names the partner and what is wrong with it, never a secret; OSError.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object of partners by name")
    return {name: _partner(name, described) for name, described in content.items()}


def _partner(name: str, described: object) -> Partner:
    if not name or len(name.encode()) > IDENTIFIER_BYTES or not name.isprintable():
        raise ValueError(f"partner {name!r}: the name is empty, too long or not printable")
    if not isinstance(described, dict) or described.keys() - _KEYS:
        raise ValueError(f"partner {name!r}: is not an object with {', '.join(sorted(_KEYS))} alone")
    partner = Partner(
        name,
        _fields(name, described.get("fields")),
        _statuses(name, described.get("statuses", {})),
        _secrets(name, "secrets", described.get("secrets", [])),
        _secrets(name, "tokens", described.get("tokens", [])),
        _addresses(name, described.get("addresses", [])),
    )
    if not partner.secrets and not partner.tokens:
        raise ValueError(f"partner {name!r}: needs secrets, or tokens and addresses")
    if bool(partner.tokens) != bool(partner.addresses):
        raise ValueError(f"partner {name!r}: tokens and addresses go together")
    return partner


def _fields(name: str, given: object) -> dict[str, str]:
    templates = _texts(name, "fields", given)
    unknown = next((known for known in templates if known not in FIELDS), None)
    if unknown is not None:
        raise ValueError(f"partner {name!r}: {unknown!r} is not a field of a conversion")
    for required in ("transaction_id", "status"):
        if not templates.get(required):
            raise ValueError(f"partner {name!r}: fields need a template for {required}")
    for template in templates.values():
        reserved = next((macro for macro in _MACRO.findall(template) if macro in RESERVED), None)
        if reserved is not None:
            raise ValueError(f"partner {name!r}: the parameter {reserved!r} is ours and stands for no field")
    return templates


def _statuses(name: str, given: object) -> dict[str, str]:
    words = _texts(name, "statuses", given)
    wrong = next((status for status in words.values() if status not in STATUSES), None)
    if wrong is not None:
        raise ValueError(f"partner {name!r}: {wrong!r} is not one of {', '.join(STATUSES)}")
    return {word.strip().lower(): status for word, status in words.items()}


def _texts(name: str, key: str, given: object) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ValueError(f"partner {name!r}: {key} is not an object of texts")
    return given


def _secrets(name: str, key: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
        raise ValueError(f"partner {name!r}: {key} is not a list of texts")
    if len(given) > _ACTIVE:
        raise ValueError(f"partner {name!r}: {key} has more than {_ACTIVE}, the old and the new one")
    if any(len(value) < _SHORTEST_SECRET for value in given):
        raise ValueError(f"partner {name!r}: one of {key} is shorter than {_SHORTEST_SECRET} characters")
    return tuple(given)


def _addresses(name: str, given: object) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(map(ip_network, _listed(given)))
    except ValueError as error:
        raise ValueError(f"partner {name!r}: addresses: {error}") from None


def _listed(given: object) -> Sequence[str]:
    if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
        raise ValueError("is not a list of networks")
    return given
