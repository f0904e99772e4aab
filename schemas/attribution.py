"""Attribution models as an operator describes them: one JSON file, checked field by field (its form: docs/attribution.md)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

HOUR_MS = 3_600_000
RULES = ("first", "last", "linear", "position", "time_decay")
TOUCH_KINDS = ("click", "lead", "impression")
PURPOSES = ("analysis", "payout")
DIRECT = ("counted", "last_resort", "ignored")
CHANNELS = (
    *("affiliate", "email", "display", "paid_search", "paid_social", "paid_other"),
    *("organic_search", "organic_social", "referral", "other", "direct"),
)
MOST_HOURS = 10 * 366 * 24
MOST_MODELS = 64
MOST_SKEW_SECONDS = 600
NAMED_LATE_MS = MOST_SKEW_SECONDS * 1000
"""How long after a conversion (ms) the click or lead that it names may be and still lead to its visitor, under every model: whose click it
was does not depend on anybody's clock. Whether it earns, each model says by its ``skew``."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_REQUIRED = ("model", "version", "rule", "lookback_hours")
_OPTIONAL = ("purpose", "channels", "direct", "skew_seconds")
_OF_RULE = {"position": ("first_percent", "last_percent"), "time_decay": ("half_life_hours",)}


@dataclass(frozen=True, slots=True)
class Model:
    """One version of one model. Times in ms.

    ``lookback``: touch kind → how long before the conversion such a touch may lie; a kind that is not named earns nothing.
    ``channels``: those whose touches count; None: all. ``first``, ``last``: per cent. Fields that the rule does not use are 0. ``skew``: how long
    after the conversion a touch may lie, by clocks that differ.
    """

    name: str
    version: int
    rule: str
    lookback: tuple[tuple[str, int], ...]
    purpose: str = "analysis"
    channels: tuple[str, ...] | None = None
    direct: str = "counted"
    first: int = 0
    last: int = 0
    half_life: int = 0
    skew: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What a credit row says of it."""
        return self.name, self.version

    @property
    def content(self) -> str:
        """What decides over credits, in one spelling: the same text, the same model."""
        described = {name: getattr(self, name) for name in self.__slots__ if name not in ("name", "version")}
        # Versions that were registered before there was such a thing say nothing of it.
        if not self.skew:
            del described["skew"]
        return json.dumps(described | {"lookback": dict(self.lookback)}, sort_keys=True)


Models = tuple[Model, ...]


def longest_lookback(models: Models) -> int:
    """Return how long before a conversion (ms) a touch of any kind may lie and earn under some model."""
    return max(longest for model in models for _, longest in model.lookback)


def longest_skew(models: Models) -> int:
    """Return how long after a conversion (ms) a touch may lie and earn under some model."""
    return max(model.skew for model in models)


def counts(models: Models, kind: str) -> bool:
    """Return whether touches of ``kind`` may earn under some model."""
    return any(kind == name for model in models for name, _ in model.lookback)


@cache
def default_models() -> Models:
    """Return the models of the checked-in file."""
    text = (resources.files("schemas.reference") / "attribution.json").read_text(encoding="utf-8")
    return parse_models(json.loads(text))


def load_models(path: Path) -> Models:
    """Return the models of a JSON file. Raises ValueError, which names the field and what is wrong with it; OSError."""
    try:
        return parse_models(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_models(content: object) -> Models:
    """Return the models that parsed JSON describes. Raises ValueError, which names the field."""
    if not isinstance(content, dict) or content.keys() != {"models"}:
        raise ValueError("is not an object with the one field models")
    entries = content["models"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_MODELS:
        raise ValueError(f"models: must be a list of 1 to {MOST_MODELS}")
    models = tuple(_model(f"models[{place}]", entry) for place, entry in enumerate(entries))
    for place, model in enumerate(models):
        if model.key in [before.key for before in models[:place]]:
            raise ValueError(f"models[{place}].version: {model.name} has a version {model.version} already")
        if model.purpose == "payout" and "payout" in [before.purpose for before in models[:place]]:
            raise ValueError(f"models[{place}].purpose: only one model can decide who is paid")
    return models


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: is there twice in one object")
    return dict(pairs)


def _model(where: str, entry: object) -> Model:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: is not an object")
    rule = _one_of(where, "rule", entry.get("rule"), RULES)
    needed = (*_REQUIRED, *_OF_RULE.get(rule, ()))
    for name in sorted(entry.keys() - {*needed, *_OPTIONAL}):
        raise ValueError(f"{where}.{name}: there is no such field under the rule {rule}")
    for name in needed:
        if name not in entry:
            raise ValueError(f"{where}.{name}: is missing")
    name = entry["model"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{where}.model: must be up to 64 of a-z, 0-9 and _, a letter first")
    first, last = _percents(where, entry) if rule == "position" else (0, 0)
    half_life = (
        _whole(where, "half_life_hours", entry["half_life_hours"], MOST_HOURS) if rule == "time_decay" else 0
    )
    return Model(
        name,
        _whole(where, "version", entry["version"], 65_535),
        rule,
        _lookback(where, entry["lookback_hours"]),
        _one_of(where, "purpose", entry.get("purpose", "analysis"), PURPOSES),
        _channels(where, entry.get("channels")),
        _one_of(where, "direct", entry.get("direct", "counted"), DIRECT),
        first,
        last,
        half_life * HOUR_MS,
        _whole(where, "skew_seconds", entry.get("skew_seconds", 0), MOST_SKEW_SECONDS, 0) * 1000,
    )


def _percents(where: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    first = _whole(where, "first_percent", entry["first_percent"], 99)
    last = _whole(where, "last_percent", entry["last_percent"], 99)
    if first + last > 100:
        raise ValueError(f"{where}.last_percent: with first_percent it is more than 100")
    return first, last


def _lookback(where: str, given: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{where}.lookback_hours: must be an object of hours by touch kind, not empty")
    for kind in given:
        _one_of(f"{where}.lookback_hours", kind, kind, TOUCH_KINDS)
    within = f"{where}.lookback_hours"
    hours = {kind: _whole(within, kind, given[kind], MOST_HOURS) for kind in TOUCH_KINDS if kind in given}
    return tuple((kind, number * HOUR_MS) for kind, number in hours.items())


def _channels(where: str, given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        raise ValueError(f"{where}.channels: must be a list of channels, not empty")
    return tuple(sorted({_one_of(where, "channels", channel, CHANNELS) for channel in given}))


def _one_of(where: str, name: str, given: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(given, str) or given not in allowed:
        raise ValueError(f"{where}.{name}: must be one of {', '.join(allowed)}")
    return given


def _whole(where: str, name: str, given: object, most: int, least: int = 1) -> int:
    # To Python, true is a number.
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
        raise ValueError(f"{where}.{name}: must be a whole number from {least} to {most}")
    return given
