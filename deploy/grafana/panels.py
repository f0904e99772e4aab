"""The pieces that dashboards are made of: questions to ClickHouse and to Prometheus, and the panels that show their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

CLICKHOUSE = DataSourceRef(type_val="grafana-clickhouse-datasource", uid="funnel-clickhouse")
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="funnel-prometheus")
"""The data sources by the ids under which they are provisioned."""

FULL, HALF, THIRD, SIXTH = 24, 12, 8, 4
"""Widths in columns of Grafana's grid."""
HIGH, LOW = 8, 4
"""Heights in rows of it."""
# The plug-in's own numbers for how an answer is read.
_TIME_SERIES, _TABLE = 0, 1


@dataclass(slots=True)
class Question(Builder[Dataquery], Dataquery):
    """A query in SQL, as the plug-in for ClickHouse takes it. The SDK has no type for that plug-in."""

    sql: str
    over_time: bool = False
    ref_id: str = "A"

    def build(self) -> Dataquery:
        """Return itself: it is what it builds."""
        return self

    def to_json(self) -> Mapping[str, object]:
        """Return it as the plug-in reads it."""
        return {
            "refId": self.ref_id,
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "queryType": "timeseries" if self.over_time else "table",
            "format": _TIME_SERIES if self.over_time else _TABLE,
            "rawSql": self.sql,
        }


class Line:
    """An expression for Prometheus and what its series are called: a text, or a label in braces."""

    def __init__(self, expr: str, legend: str = "") -> None:
        self.expr, self.legend = expr, legend

    def target(self, place: int, instant: bool = False) -> prometheus.Dataquery:
        """Return it as the target at ``place`` of a panel."""
        one = prometheus.Dataquery().expr(self.expr).ref_id(chr(ord("A") + place)).datasource(PROMETHEUS)
        one = one.legend_format(self.legend or "__auto")
        return one.instant().format(PromQueryFormat.TABLE) if instant else one.range()


def over_time(title: str, meaning: str, unit: str, *lines: Line | Question, bars: bool = False) -> Any:
    """Return a chart of lines over time; ``bars``: of bars instead. ``unit`` is one of Grafana's."""
    panel = timeseries.Panel().title(title).description(meaning).unit(unit).min(0).span(HALF).height(HIGH)
    panel = panel.datasource(CLICKHOUSE if isinstance(lines[0], Question) else PROMETHEUS)
    panel = panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel = panel.draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
    panel = panel.fill_opacity(60 if bars else 10).show_points(VisibilityMode.NEVER)
    for place, line in enumerate(lines):
        panel = panel.with_target(line if isinstance(line, Question) else line.target(place))
    return panel


def figure(
    title: str, meaning: str, unit: str, asked: Line | Question, wrong_above: float | None = None
) -> Any:
    """Return one number; above ``wrong_above`` it turns red."""
    panel = stat.Panel().title(title).description(meaning).unit(unit).span(SIXTH).height(LOW)
    if isinstance(asked, Question):
        panel = panel.datasource(CLICKHOUSE).with_target(asked)
    else:
        panel = panel.datasource(PROMETHEUS).with_target(asked.target(0))
    if wrong_above is not None:
        panel = panel.thresholds(_red_above(wrong_above))
    return panel


def rows(title: str, meaning: str, asked: Question, units: Mapping[str, str], width: int = FULL) -> Any:
    """Return a table; ``units`` by column."""
    panel = table.Panel().title(title).description(meaning).span(width).height(HIGH)
    panel = panel.datasource(CLICKHOUSE).with_target(asked)
    for column, unit in units.items():
        panel = panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def compared(title: str, meaning: str, unit: str, asked: Question) -> Any:
    """Return a bar for each row: a name, then a number."""
    panel = bargauge.Panel().title(title).description(meaning).unit(unit).min(0).span(HALF).height(HIGH)
    return (
        panel.datasource(CLICKHOUSE)
        .with_target(asked)
        .reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
    )


def board(
    uid: str, title: str, meaning: str, since: str, parts: Mapping[str, Sequence[Any]]
) -> dashboard.Dashboard:
    """Return a dashboard of the rows ``parts``, which shows the time from ``since`` until now and follows it."""
    one = dashboard.Dashboard(title).uid(uid).description(meaning).tags(["funnel"]).readonly()
    one = one.time(since, "now").refresh("10s").timezone("browser")
    for name, panels in parts.items():
        one = one.with_row(dashboard.Row(name))
        for panel in panels:
            one = one.with_panel(panel)
    return one


def _red_above(bound: float) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=bound, color="red")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
