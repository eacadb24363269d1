"""The report of an experiment as one self-contained HTML file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from jinja2 import Environment

from larder.jobs.experiments.experiment_summary import (
    figure,
    gap_lines,
    ratio_line,
    relative_interval,
    rows_line,
    verdict,
)

matplotlib.use("svg")
from matplotlib import pyplot

COLOURS = {"better": "#15803d", "worse": "#b91c1c", "open": "#64748b"}
TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Larder: experiment {{ r.experiment }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 table { border-collapse: collapse; width: 100% } td, th { padding: .3rem .6rem; text-align: right }
 td { white-space: nowrap } td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
 .better { color: #15803d } .worse { color: #b91c1c } .void { color: #b91c1c; font-weight: 600 }
 svg { max-width: 100%; height: auto }
</style>
<h1>Experiment {{ r.experiment }}</h1>
<p{% if r.sample_ratio.is_mismatch %} class="void"{% endif %}>Sample ratio: {{ ratio }}.</p>
{% if r.sample_ratio.is_mismatch %}
<p>No differences are shown: some visitors of an arm were lost, counted twice, or counted in another arm, and those left
are no longer alike. Usual causes: shares were shifted in these hours, an arm fails or is slow for some visitors, or its
impressions are not all logged.</p>
{% endif %}
<p>Answers from {{ r.start }} to {{ r.end }} UTC, and what followed within {{ r.within_hours }} hours.
The control is {{ r.control }}. Rows of the log: {{ rows }}. Forced rows are those whose arm an operator named. Moved
rows were served in another arm than the {{ r.unit }}'s first; {{ moved }} moved.
{% for line in gaps %}<b>{{ line }}.</b> {% endfor %}</p>
<table><tr><th>arm</th><th>share</th><th>{{ r.unit }}s</th><th>requests</th><th>impressions</th></tr>
{% for arm, row in r.arms.items() %}
<tr><td>{{ arm }}</td><td>{{ "{:.2%}".format(row.share) }}</td><td>{{ "{:,}".format(row.units) }}</td>
<td>{{ "{:,}".format(row.requests) }}</td><td>{{ "{:,}".format(row.impressions) }}</td></tr>
{% endfor %}</table>
{% for arm, plot in plots.items() %}
<h2>{{ arm }} and {{ r.control }}</h2>
{{ plot|safe }}
<table><tr><th>metric</th><th>{{ r.control }}</th><th>{{ arm }}</th><th>difference</th><th>relative</th>
<th>at one look</th><th>at every look</th><th>narrower by</th><th></th></tr>
{% for row in r.comparisons if row.treatment_arm == arm %}
{% set told = verdict(row, r.metrics[row.metric]) %}
<tr><td>{{ row.metric }}</td><td>{{ figure(row.control) }}</td><td>{{ figure(row.treatment) }}</td>
<td>{{ figure(row.difference) }}</td><td>{{ figure(row.relative, "+.2%") }}</td><td>{{ interval(row) }}</td>
<td>{{ interval(row, "anytime_") }}</td><td>{{ figure(row.reduction, ".0%") }}</td>
<td class="{{ told }}">{{ told }}</td></tr>
{% endfor %}</table>
{% endfor %}
{% if plots %}
<p>Intervals are of the difference, relative to the control's value, at the level {{ r.level }}. The one at one look
(thick) holds if the experiment's length was fixed beforehand and this is the only look. The one at every look (thin)
holds however often one looks, and the experiment may be stopped on it: "better" and "worse" are said by it. It has not
begun where it is empty.
{% if r.before_hours %}The {{ r.before_hours }} hours before the start are used to tell arms from visitors (CUPED);
"narrower by" is the share of variance that this took off, and the difference is that of the two values without what the
arms differed by before.{% endif %}
The page shows this moment alone. For a course over time, write a report each day and keep them.</p>
{% endif %}
{% for name, metric in r.metrics.items() if metric.note %}<p>{{ name }}: {{ metric.note }}.</p>{% endfor %}
{% if r.segments %}
<h2>Segments</h2>
<table><tr><th>segment</th><th>arm</th><th>metric</th><th>{{ r.unit }}s</th><th>relative</th><th>at one look</th>
<th>p</th><th>false discovery rate</th></tr>
{% for row in r.segments %}
<tr><td>{{ row.dimension }} {{ row.segment or unnamed }}</td><td>{{ row.treatment_arm }}</td><td>{{ row.metric }}</td>
<td>{{ "{:,}".format(row.units.values()|sum) }}</td><td>{{ figure(row.relative, "+.2%") }}</td>
<td>{{ interval(row) }}</td><td>{{ figure(row.p_value, ".3g") }}</td>
<td>{{ figure(row.false_discovery_rate, ".3g") }}</td></tr>
{% endfor %}</table>
<p>Of many segments some differ by chance. Of those with a false discovery rate (Benjamini-Hochberg, over all rows of
the table) up to q, at most about the share q is no real difference. Rates are of one look.
{% for name, count in r.segments_left_out.items() if count %}{{ count }} smaller segments of {{ name }} are left out.
{% endfor %}
{% if r.before_hours %}Visitors are new if no event but impressions is known of them in the {{ r.before_hours }} hours
before the start.{% endif %}</p>
{% endif %}
{% if r.power %}
<h2>How much longer?</h2>
<table><tr><th>metric</th><th>arm</th><th>looking</th><th>found now, with 80% chance</th><th>what matters</th>
<th>{{ r.unit }}s for it</th><th>days to go</th></tr>
{% for row in r.power %}{% for name, title in looks.items() if row[name] %}
<tr><td>{{ row.metric }}</td><td>{{ row.treatment_arm }}</td><td>{{ title }}</td>
<td>{{ figure(row[name].detectable_effect, ".2%") }}</td><td>{{ figure(row.least_effect, ".2%") }}</td>
<td>{{ figure(row[name].units_needed, ",.0f") }}</td><td>{{ figure(row[name].days_needed, ",.1f") }}</td></tr>
{% endfor %}{% endfor %}</table>
<p>Days are at the pace of these hours. They are too few for a metric per visitor: as time goes on, more of those who
come have been there before.</p>
{% endif %}
</html>
"""


def experiment_page(results: Mapping[str, Any]) -> str:
    """Returns the HTML of an experiment's report.json; the same results give the same text."""
    arms = dict.fromkeys(row["treatment_arm"] for row in results["comparisons"])
    plots = {
        arm: _intervals([row for row in results["comparisons"] if row["treatment_arm"] == arm], results["metrics"])
        for arm in arms
    }
    moved = f"{sum(arm['moved_units'] for arm in results['arms'].values()):,} {results['unit']}s"
    # Names of segments come from visitors' requests, so everything is escaped but the plots.
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)
    return template.render(
        r=results,
        plots=plots,
        ratio=ratio_line(results),
        rows=rows_line(results),
        gaps=gap_lines(results),
        moved=moved,
        looks={"at_one_look": "once", "at_every_look": "at any time"},
        unnamed="(none)",
        figure=figure,
        interval=relative_interval,
        verdict=verdict,
    )


def _intervals(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]) -> str:
    """Returns both intervals of each metric's relative difference, as SVG that is the same on every run."""
    shown = [row for row in rows if row["low"] is not None and row["control"]]
    with pyplot.rc_context({"svg.hashsalt": "larder", "font.size": 10}):
        drawn, axes = pyplot.subplots(figsize=(8, 0.45 * len(shown) + 0.9))
        for place, row in enumerate(shown):
            colour = COLOURS[verdict(row, metrics[row["metric"]])]
            for prefix, width in (("anytime_", 1.5), ("", 5)):
                bounds = [row[f"{prefix}{end}"] for end in ("low", "high")]
                if None not in bounds:
                    low, high = (100 * bound / abs(row["control"]) for bound in bounds)
                    axes.hlines(place, low, high, colors=colour, linewidth=width)
            axes.plot(100 * row["difference"] / abs(row["control"]), place, "o", color="white", mec=colour)
        axes.axvline(0, color="#334155", lw=0.8)
        axes.set_yticks(range(len(shown)), [row["metric"] for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("difference, % of the control's value")
        axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        drawn.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        pyplot.close(drawn)
    svg = out.getvalue()
    return svg[svg.index("<svg") :]
