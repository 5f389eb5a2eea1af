"""The charts of the report, drawn with Bokeh; only the report imports this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    DataRange1d,
    FixedTicker,
    HoverTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.plotting import figure

from concurcrawl.tools.compare import phases, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bokeh.models.renderers import DataRenderer

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.phases import Lane
    from concurcrawl.tracing.record import Record

#: Colours that the colour-blind tell apart, on white and on black.
#: M. Okabe, K. Ito, "Color Universal Design", 2008.
COLOURS = {
    "serial": "#9a8c00",
    "concurrent": "#0072b2",
    "async": "#009e73",
    "parallel": "#d55e00",
    "hybrid": "#cc79a7",
}
_OTHER = "#888888"
PHASES = (
    ("waiting for the first byte", "asked", "first", "#56b4e9"),
    ("body", "first", "transferred", "#0072b2"),
    ("work: callback, pipelines", "transferred", "done", "#e69f00"),
)
#: Requests of a mode that its timeline shows: those that began first.
MOST_BARS = 2000
_LANE_PIXELS = 11
_CLICKS = "pan,box_zoom,reset"


class Shown(NamedTuple):
    """A run that is drawn.

    Attributes:
        name: Its mode, or another name.
        started_s: When it began, in seconds since the epoch.
        records: All of its requests.
    """

    name: str
    started_s: float
    records: Sequence[Record]


def speedup(outcome: ComparisonResult) -> figure | None:
    """Return a bar for each mode with the interval of its speed-up."""
    rows = [row for row in reversed(outcome.rows) if row.speedup is not None]
    if not rows:
        return None
    names = [row.mode for row in rows]
    gains = [row.speedup or 0.0 for row in rows]
    lows = [row.speedup_low or gain for row, gain in zip(rows, gains, strict=True)]
    highs = [row.speedup_high or gain for row, gain in zip(rows, gains, strict=True)]
    source = ColumnDataSource(
        {
            "mode": names,
            "gain": gains,
            "low": lows,
            "high": highs,
            "label": [f"  {gain:.1f}{words.TIMES}" for gain in gains],
            "colour": [COLOURS.get(name, _OTHER) for name in names],
        }
    )
    plot = _figure(
        y_range=names,
        height=60 + 34 * len(names),
        x_axis_label="times as fast as serial",
    )
    plot.x_range = Range1d(start=0, end=max(highs) * 1.2)
    plot.hbar(y="mode", right="gain", height=0.7, color="colour", source=source)
    plot.segment(
        x0="low",
        x1="high",
        y0="mode",
        y1="mode",
        source=source,
        line_width=3,
        line_color=_OTHER,
        name="ink",
    )
    plot.text(
        x="high",
        y="mode",
        text="label",
        source=source,
        text_baseline="middle",
        name="ink",
        text_color=_OTHER,
    )
    plot.line(x=[1, 1], y=[names[0], names[-1]], line_dash="dotted", color=_OTHER)
    plot.add_tools(
        HoverTool(tooltips=[("@mode", "@gain{0.00} (@low{0.00} to @high{0.00})")])
    )
    plot.ygrid.visible = False
    return plot


def timeline(
    shown: Sequence[Shown],
) -> tuple[figure, int] | None:
    """Return a timeline of each run's requests, by lane, and their number."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "y",
            "asked",
            "first",
            "transferred",
            "done",
            "url",
            "lane",
            "details",
        )
    }
    centres: list[tuple[float, str]] = []
    borders: list[float] = []
    top = 0
    for mode, started_s, found in shown:
        lanes = phases.lanes(phases.beginning(found, MOST_BARS))
        for n, lane in enumerate(lanes):
            _add(columns, lane, mode, started_s, -(top + n))
        centres.append((-(top + (len(lanes) - 1) / 2), mode))
        top += len(lanes)
        borders.append(-(top - 0.5))
    if not columns["y"]:
        return None
    end_s = max(columns["done"])
    plot = _figure(
        height=90 + _LANE_PIXELS * max(top, 6),
        x_range=Range1d(
            start=0, end=end_s * 1.01, bounds=(0, end_s * 1.01), min_interval=0.002
        ),
        y_range=Range1d(start=-top + 0.4, end=0.6),
        x_axis_label="seconds since the start",
        tools="xpan,xbox_zoom,reset",
        active_drag="xbox_zoom",
    )
    # Active by default, it would zoom while a reader scrolls past the chart.
    wheel = WheelZoomTool(dimensions="width", modifiers="ctrl")
    plot.add_tools(wheel)
    plot.toolbar.active_scroll = wheel
    source = ColumnDataSource(
        {
            name: np.array(values, dtype=np.float32)
            if name in ("y", "asked", "first", "transferred", "done")
            else values
            for name, values in columns.items()
        }
    )
    bars: list[DataRenderer] = [
        plot.hbar(
            y="y",
            left=left,
            right=right,
            height=0.8,
            color=colour,
            line_width=0,
            source=source,
        )
        for _, left, right, colour in PHASES
    ]
    tooltips = [("", "@url"), ("", "@lane"), ("", "@details")]
    plot.add_tools(HoverTool(renderers=bars, tooltips=tooltips))
    plot.segment(
        x0=0,
        x1=end_s * 1.01,
        y0=borders[:-1],
        y1=borders[:-1],
        line_color=_OTHER,
    )
    plot.yaxis.ticker = FixedTicker(ticks=[place for place, _ in centres])
    plot.yaxis.major_label_overrides = dict(centres)
    plot.yaxis.major_tick_line_color = None
    plot.ygrid.visible = False
    plot.name = "timeline"
    return plot, len(columns["y"])


def in_flight(shown: Sequence[Shown], slots: Mapping[str, int]) -> figure | None:
    """Return the requests in flight over time, and the limit of each that has one."""
    plot = _over_time(shown, phases.in_flight, "requests in flight")
    if plot is None:
        return None
    end_s = max(record.done_s - run_s for _, run_s, found in shown for record in found)
    for limit in {slots.get(mode, 0) for mode, _, _ in shown} - {0}:
        plot.line(x=[0, end_s], y=[limit, limit], line_dash="dashed", color=_OTHER)
    return plot


def throughput(shown: Sequence[Shown]) -> figure | None:
    """Return the pages per second over time."""
    return _over_time(shown, phases.throughput, "pages per second")


def _over_time(
    shown: Sequence[Shown],
    steps_of: Callable[[Sequence[Record]], Sequence[tuple[float, float]]],
    label: str,
) -> figure | None:
    """Return a line of steps for each mode; None without any."""
    if not shown:
        return None
    plot = _figure(
        height=300,
        x_axis_label="seconds since the start",
        y_axis_label=label,
        tools=_CLICKS,
    )
    for mode, started_s, found in shown:
        steps = steps_of(found)
        plot.step(
            x=np.array([when_s - started_s for when_s, _ in steps], dtype=np.float32),
            y=np.array([value for _, value in steps], dtype=np.float32),
            mode="after",
            color=COLOURS.get(mode, _OTHER),
            line_width=2,
            legend_label=mode,
        )
    plot.y_range = DataRange1d(start=0)
    _legend(plot)
    return plot


def sweep(outcome: ComparisonResult) -> figure | None:
    """Return the measured rate of each level and the fitted curve."""
    if not outcome.curves:
        return None
    plot = _figure(
        height=340,
        x_axis_label="at a time",
        y_axis_label="pages per second",
        tools=_CLICKS,
    )
    for curve in outcome.curves:
        colour = COLOURS.get(curve.mode, _OTHER)
        levels = [level for level, _ in curve.points]
        rates = [rate for _, rate in curve.points]
        plot.scatter(
            x=levels,
            y=[rate.value for rate in rates],
            size=9,
            color=colour,
            legend_label=curve.mode,
        )
        plot.segment(
            x0=levels,
            x1=levels,
            color=colour,
            line_width=2,
            y0=[rate.value if rate.low is None else rate.low for rate in rates],
            y1=[rate.value if rate.high is None else rate.high for rate in rates],
        )
        if curve.fit is not None:
            many = np.linspace(1, levels[-1], 120)
            plot.line(
                x=many,
                y=[curve.fit.throughput(float(n)) for n in many],
                color=colour,
                line_width=2,
                legend_label=curve.mode,
            )
    plot.y_range = DataRange1d(start=0)
    _legend(plot)
    return plot


def typical(
    outcome: ComparisonResult, records: Mapping[str, Sequence[Record]]
) -> list[Shown]:
    """Return for each mode the run with the median wall time."""
    return [
        Shown(row.mode, run.started_s, found)
        for row in outcome.rows
        if (run := words.typical(outcome.runs, row.mode)) is not None
        and (found := records.get(run.folder, ()))
    ]


def _add(
    columns: dict[str, list[Any]], lane: Lane, mode: str, started_s: float, y: int
) -> None:
    for record in lane.records:
        transferred_s = phases.end_of_transfer(record)
        first_s = transferred_s if record.first_byte_s is None else record.first_byte_s
        columns["y"].append(y)
        columns["asked"].append(record.asked_s - started_s)
        columns["first"].append(first_s - started_s)
        columns["transferred"].append(transferred_s - started_s)
        columns["done"].append(record.done_s - started_s)
        columns["url"].append(record.url)
        columns["lane"].append(f"{mode} · {lane.name}")
        columns["details"].append(
            f"{record.error or record.status}, {record.size_bytes / 1000:.0f} kB: "
            f"waiting {(first_s - record.asked_s) * 1000:.0f} ms, "
            f"body {(transferred_s - first_s) * 1000:.0f} ms, "
            f"work {(record.done_s - transferred_s) * 1000:.0f} ms "
            f"(callback CPU {record.callback_cpu_s * 1000:.0f} ms)"
        )


def _figure(**options: Any) -> figure:
    options = {"tools": "", **options}
    plot = figure(sizing_mode="stretch_width", min_width=200, **options)
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    if not options["tools"]:
        plot.toolbar_location = None
    elif "active_drag" not in options:
        plot.toolbar.active_drag = None  # a phone scrolls past
    return plot


def _legend(plot: figure) -> None:
    """Put the legend above the chart, where it hides nothing."""
    plot.add_layout(plot.legend[0], "above")
    plot.legend.orientation = "horizontal"
    plot.legend.click_policy = "hide"
    plot.legend.label_text_font_size = "12px"
    plot.legend.spacing = 4
    plot.legend.glyph_width = 14
