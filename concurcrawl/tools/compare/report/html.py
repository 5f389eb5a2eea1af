"""The comparison as one page that needs nothing else: no network, no other file.

Bokeh draws the charts: of the libraries that are kept up and make a page of their own
its script is the smallest that zooms thousands of bars (1.3 MB; Plotly's is 4.8 MB).
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bokeh.embed import components
from bokeh.resources import Resources

from concurcrawl.tools.compare import charts, tutorial, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.model import Model
    from bokeh.plotting import figure

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tracing.record import Record

_BEST = ' class="best"'
#: No text of ours holds a comment, and none of others can: theirs is escaped.
_SCRIPTS = "<!--scripts-->"
_QUIET = 'Bokeh.logger.set_level("error");'
_HEAD = "Which mode wins, and why"
#: Nothing is loaded: even a slip in a library could not call anyone.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:"
)


def page(
    environment: Mapping[str, Any],
    outcomes: Sequence[ComparisonResult],
    records: Mapping[str, Sequence[Record]],
) -> str:
    """Return the page.

    Args:
        environment: Where it was made.
        outcomes: One for each experiment.
        records: Of each run, by its folder.
    """
    drawn = Charts()
    body = [
        f"<h1>{_HEAD}</h1>",
        _contents(outcomes),
        *(
            part
            for number, outcome in enumerate(outcomes, 1)
            for part in _experiment(number, outcome, records, drawn)
        ),
        '<section aria-labelledby="how"><h2 id="how">How it was measured</h2>',
        *(f"<p>{escape(words.how_measured(outcome))}</p>" for outcome in outcomes[:1]),
        "<h3>Where</h3>",
        table("Machine and libraries", words.environment_table(environment), "facts"),
        "</section>",
        '<section aria-labelledby="tutorial">',
        '<h2 id="tutorial">The tutorial\'s own table, read the same way</h2>',
        *(f"<p>{escape(sentence)}</p>" for sentence in tutorial.reading()),
        table("Made again here", words.tutorial_table(outcomes), "facts"),
        "</section>",
    ]
    return whole(_HEAD, body, drawn)


def whole(head: str, body: Sequence[str], drawn: Charts) -> str:
    """Return a page of the title *head* with *body* and the charts *drawn* in it."""
    return drawn.shown_in(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(head)}</title>",
            f"<style>{_resource('page.css')}</style>",
            "</head><body><main>",
            *body,
            "</main>",
            _SCRIPTS,
            "</body></html>",
            "",
        ]
    )


class Charts:
    """The charts of a page so far, by the id of the element that shows each."""

    def __init__(self) -> None:
        self._plots: dict[str, Model] = {}

    def put(
        self, plot: figure | None, head: str, about: str, *, is_timeline: bool = False
    ) -> str:
        """Return the element that will show *plot*; nothing for no plot."""
        if plot is None:
            return ""
        name = f"chart-{len(self._plots) + 1}"
        self._plots[name] = plot
        return (
            f'<h3 id="{name}-head">{escape(head)}</h3>'
            f'<figure aria-labelledby="{name}-head">'
            f'<figcaption id="{name}-about">{escape(about)}</figcaption>'
            f"{_key() + _lens(name) if is_timeline else ''}"
            f'<div id="{name}" data-chart role="img" aria-labelledby="{name}-head" '
            f'aria-describedby="{name}-about"><!--{name}--></div></figure>'
        )

    def shown_in(self, parts: Sequence[str]) -> str:
        """Return *parts* as a text, with the charts and what draws them in it."""
        text = "\n".join(parts)
        if not self._plots:
            return text.replace(_SCRIPTS, "")
        script, shown = components(self._plots, wrap_script=False)
        for name, element in shown.items():
            text = text.replace(f"<!--{name}-->", element)
        # The rest of what Bokeh would put there writes a line to the console.
        (library, *_) = Resources(mode="inline", components=["bokeh"]).js_raw
        ours = "\n".join(
            f"<script>{code}</script>"
            for code in (library, _QUIET, script, _resource("page.js"))
        )
        return text.replace(_SCRIPTS, ours)


def _contents(outcomes: Sequence[ComparisonResult]) -> str:
    links = [
        *(
            (f"experiment-{number}", outcome.experiment.title)
            for number, outcome in enumerate(outcomes, 1)
        ),
        ("how", "How it was measured"),
        ("tutorial", "The tutorial's own table"),
    ]
    items = "".join(
        f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in links
    )
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def _experiment(
    number: int,
    outcome: ComparisonResult,
    records: Mapping[str, Sequence[Record]],
    drawn: Charts,
) -> list[str]:
    name = f"experiment-{number}"
    return [
        f'<section aria-labelledby="{name}">',
        f'<h2 id="{name}">{escape(words.title(outcome.experiment))}</h2>',
        _verdict(outcome),
        _doubts(outcome),
        drawn.put(
            charts.speedup(outcome),
            "Speed-up",
            "How many times as fast as serial, in rounds made together; the line is "
            "the 95 % interval. The table below has the numbers.",
        ),
        "<h3>Figures</h3>",
        table(
            "How long each mode took. The fastest is green.",
            words.figures_table(outcome),
            best=_fastest(outcome),
        ),
        table(
            "What each mode cost, and whether it did the same work.",
            words.costs_table(outcome),
            best=_fastest(outcome),
        ),
        *_explained(outcome),
        *_over_time(outcome, records, drawn),
        drawn.put(
            charts.sweep(outcome),
            "Sweep",
            "Pages per second with more and more at a time; the curve is the Universal "
            "Scalability Law.",
        ),
        table("The sweep in numbers", words.sweep_table(outcome)),
        "</section>",
    ]


def _over_time(
    outcome: ComparisonResult, records: Mapping[str, Sequence[Record]], drawn: Charts
) -> list[str]:
    shown = charts.typical(outcome, records)
    timeline = charts.timeline(shown)
    plot, count = timeline or (None, 0)
    return [
        drawn.put(
            plot,
            "Timeline",
            f"What each thread and process did with {count} requests, one lane each, "
            "in the run of each mode that took the median time. Drag over a span to "
            "zoom (or use Ctrl and the wheel, or the buttons); point at a bar to read "
            "what it was." + _cut(outcome),
            is_timeline=True,
        ),
        drawn.put(
            charts.in_flight(shown, outcome.setup.slots),
            "In flight",
            "Requests that were sent and whose response the crawl has not yet taken "
            "note of, which a busy process does late; dashed: the limits of the modes. "
            f"{words.most_in_flight(outcome)}",
        ),
        drawn.put(
            charts.throughput(shown),
            "Throughput",
            "Pages per second, each run in up to forty parts of the same length.",
        ),
    ]


def _cut(outcome: ComparisonResult) -> str:
    if all(run.requests <= charts.MOST_BARS for run in outcome.runs):
        return ""
    return f" Of each run no more than its first {charts.MOST_BARS} requests are drawn."


def _explained(outcome: ComparisonResult) -> list[str]:
    parts = []
    if outcome.predictions:
        parts += [
            "<h3>Predicted and measured</h3>",
            (
                f"<p>{escape(words.page_cost(outcome) or '')} That tells what each "
                "mode should take: the pages are simulated on its slots and processes, "
                "and are never faster than the requests in flight, the CPU of each "
                "process, all cores and the test site allow. Start and end of the "
                "process are as measured; the right half of the table leaves them "
                "out.</p>"
            ),
            table("Model and measurement", words.model_table(outcome)),
        ]
    if outcome.karp_flatt is not None:
        parts.append(
            f'<p class="quiet">Karp and Flatt: by its speed-up '
            f"{outcome.karp_flatt:.1%} of parallel's work was done one after the "
            "other, start-up included.</p>"
        )
    if outcome.phases:
        parts += [
            "<h3>Where the time of a request goes</h3>",
            table(
                "Milliseconds per request: mean of all runs, percentiles of all",
                words.phases_table(outcome.phases),
            ),
            f'<p class="quiet">{escape(words.phases_note(outcome.phases))}</p>',
        ]
    return parts


def _verdict(outcome: ComparisonResult) -> str:
    sentences = "".join(f"<p>{escape(one)}</p>" for one in outcome.verdict)
    return f'<div class="verdict" role="note" aria-label="Verdict">{sentences}</div>'


def _doubts(outcome: ComparisonResult) -> str:
    failed = [
        f"{row.mode} failed: {row.reason}"
        for row in outcome.rows
        if row.status == "failed"
    ]
    sentences = "".join(
        f"<li>{escape(one)}</li>" for one in (*failed, *outcome.warnings)
    )
    if not sentences:
        return ""
    return (
        '<div class="doubts" role="note" aria-label="What to doubt">'
        f"<strong>Before you believe it</strong><ul>{sentences}</ul></div>"
    )


def _fastest(outcome: ComparisonResult) -> str | None:
    timed = [(row.wall_s, row.mode) for row in outcome.rows if row.wall_s is not None]
    return min(timed)[1] if timed else None


def table(
    caption: str, cells: words.Table, kind: str = "", *, best: str | None = None
) -> str:
    """Return *cells* as a table that scrolls by itself; nothing without rows."""
    headings, rows = cells
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = "".join(
        f"<tr{_BEST if row[0] == best else ''}>"
        f'<th scope="row">{escape(row[0])}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    label = escape(caption)
    # Wider than a phone: it scrolls by itself, also by keyboard.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="{kind}"><caption><span>{label}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _key() -> str:
    items = "".join(
        f'<li><span style="background:{colour}"></span>{escape(label)}</li>'
        for label, _, _, colour in charts.PHASES
    )
    return f'<ul class="key" aria-label="Colours">{items}</ul>'


def _lens(chart: str) -> str:
    buttons = "".join(
        f'<button type="button" value="{value}">{text}</button>'
        for value, text in (
            ("in", "Zoom in"),
            ("out", "Zoom out"),
            ("earlier", "← Earlier"),
            ("later", "Later →"),
            ("all", "Show all"),
        )
    )
    return (
        f'<div class="lens" role="group" aria-label="Zoom the timeline" '
        f'data-lens="{chart}">{buttons}<output></output></div>'
    )


def _resource(name: str) -> str:
    return (files("concurcrawl.tools.compare.report") / name).read_text(
        encoding="utf-8"
    )
