"""The file of attribution models, field by field."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.attribution import (
    HOUR_MS,
    counts,
    default_models,
    load_models,
    longest_lookback,
    longest_skew,
    parse_models,
)

LINEAR = {"model": "linear", "version": 1, "rule": "linear", "lookback_hours": {"click": 24}}


def test_the_models_that_come_with_funnel() -> None:
    models = {model.name: model for model in default_models()}
    assert [name for name, model in models.items() if model.purpose == "payout"] == ["payout"]
    assert (models["position_based"].first, models["position_based"].last) == (40, 40)
    assert models["time_decay"].half_life == 7 * 24 * HOUR_MS
    assert longest_lookback(default_models()) == 30 * 24 * HOUR_MS
    assert counts(default_models(), "impression")
    assert not counts(parse_models({"models": [LINEAR]}), "impression")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "Linear"}, "models[0].model: "),
        ({"version": 0}, "models[0].version: "),
        ({"version": True}, "models[0].version: "),
        ({"version": 1.5}, "models[0].version: "),
        ({"rule": "middle"}, "models[0].rule: "),
        ({"rule": ["linear"]}, "models[0].rule: "),
        ({"rule": "time_decay"}, "models[0].half_life_hours: is missing"),
        ({"rule": "position", "first_percent": 60, "last_percent": 41}, "models[0].last_percent: "),
        ({"half_life_hours": 3}, "models[0].half_life_hours: there is no such field under the rule linear"),
        ({"lookback": 3}, "models[0].lookback: there is no such field"),
        ({"lookback_hours": {}}, "models[0].lookback_hours: "),
        ({"lookback_hours": {"visit": 3}}, "models[0].lookback_hours.visit: "),
        ({"lookback_hours": {"click": -3}}, "models[0].lookback_hours.click: "),
        ({"channels": []}, "models[0].channels: "),
        ({"channels": ["email", "pigeon"]}, "models[0].channels: "),
        ({"direct": "no"}, "models[0].direct: "),
        ({"purpose": "fun"}, "models[0].purpose: "),
        ({"skew_seconds": -1}, "models[0].skew_seconds: must be a whole number from 0 to 600"),
        ({"skew_seconds": 601}, "models[0].skew_seconds: must be a whole number from 0 to 600"),
        ({"skew_seconds": True}, "models[0].skew_seconds: "),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"models": [LINEAR | change]}))
    with pytest.raises(ValueError, match="models") as raised:
        load_models(file)
    assert named in str(raised.value)
    assert str(file) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "the one field models"),
        ('{"models": []}', "models: must be a list"),
        ('{"models": [3]}', "models[0]: is not an object"),
        ('{"models": [], "models": []}', "models: is there twice"),
        ("{", "Expecting"),
    ],
)
def test_what_is_no_list_of_models(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(ValueError, match="models") as raised:
        load_models(tmp_path / "models.json")
    assert named in str(raised.value)


def test_versions_are_told_apart_and_one_model_pays() -> None:
    with pytest.raises(ValueError, match=r"models\[1\]\.version"):
        parse_models({"models": [LINEAR, LINEAR]})
    paying = {**LINEAR, "purpose": "payout"}
    with pytest.raises(ValueError, match=r"models\[1\]\.purpose"):
        parse_models({"models": [paying, paying | {"version": 2}]})


CHANGES: tuple[dict[str, Any], ...] = (
    *({"direct": "ignored"}, {"channels": ["email"]}, {"lookback_hours": {"click": 8}}),
    {"skew_seconds": 1},
)


def test_a_version_that_says_nothing_of_skew_is_what_it_was() -> None:
    """Its content stands in the table of an installation: another text would be another model, and no worker would start."""
    [silent] = parse_models({"models": [LINEAR]})
    [spelled] = parse_models({"models": [LINEAR | {"skew_seconds": 0}]})
    assert silent.content == spelled.content
    assert silent.content == (
        '{"channels": null, "direct": "counted", "first": 0, "half_life": 0, "last": 0, '
        '"lookback": {"click": 86400000}, "purpose": "analysis", "rule": "linear"}'
    )
    [tolerant] = parse_models({"models": [LINEAR | {"skew_seconds": 90}]})
    assert (tolerant.skew, silent.skew) == (90_000, 0)
    assert longest_skew((silent, tolerant)) == 90_000


def test_content_is_the_same_however_it_is_written() -> None:
    """Order of fields, channels and kinds, and defaults spelled out, change nothing; any setting does."""
    plain = {**LINEAR, "channels": ["email", "affiliate"], "lookback_hours": {"impression": 2, "click": 9}}
    spelled = {
        **{"direct": "counted", "purpose": "analysis", "lookback_hours": {"click": 9, "impression": 2}},
        **{"channels": ["affiliate", "email"], "rule": "linear", "version": 7, "model": "other"},
    }
    [one], [other] = (parse_models({"models": [entry]}) for entry in (plain, spelled))
    assert one.content == other.content
    for change in CHANGES:
        [changed] = parse_models({"models": [plain | change]})
        assert changed.content != one.content
