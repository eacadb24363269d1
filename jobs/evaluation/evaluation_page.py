"""The report of an evaluation as one self-contained HTML file."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from jinja2 import Environment

from larder.jobs.evaluation.choice_summary import choice_reason

matplotlib.use("svg")
from matplotlib import pyplot

FIGURES = ("ndcg@10", "recall@30", "hit@10", "coverage@30")
LIKE = ("diversity@10", "novelty@10")
GROUPS = ("cold", "warm")
TASKS = {
    "new": "New products: only products that the user had never bought count",
    "all": "All products: repeat purchases count too",
}
NOTES = {"new": "Own frequency is left out here: it lists only products that the user had bought, so it would score 0."}
OURS = {"als", "personal", "embedding"}
TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Larder: evaluation as of {{ r.as_of }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 table { border-collapse: collapse; width: 100% } td, th { padding: .3rem .6rem; text-align: right }
 td { white-space: nowrap } td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
 .ours { font-weight: 600 } small { color: #666 } svg { max-width: 100%; height: auto }
</style>
<h1>Evaluation as of {{ r.as_of }}</h1>
<p>Models were trained on events before {{ r.as_of }} UTC, and are measured on purchases from then until {{ r.end }}.
{{ "{:,}".format(r.test.users) }} users bought {{ "{:,}".format(r.test.pairs) }} products, each counted once a user,
of {{ "{:,}".format(r.test.products) }} products known before. Brackets are 95% bootstrap intervals over users.</p>
{% for task, title in tasks.items() %}
<h2>{{ title }}</h2>
{{ plots[task] }}
<table><tr><th>method</th>{% for f in figures %}<th>{{ f }}</th>{% endfor %}<th>users</th></tr>
{% for row in r.lists if row.task == task %}
<tr{% if row.method in ours %} class="ours"{% endif %}><td>{{ row.method }}</td>
{% for f in figures %}<td>{{ "%.4f"|format(row[f]) }}
{% set bounds = row[f ~ " interval"] %}
{% if bounds %}<small>[{{ "%.4f"|format(bounds[0]) }}, {{ "%.4f"|format(bounds[1]) }}]</small>{% endif %}
</td>{% endfor %}<td>{{ "{:,}".format(row.users) }}</td></tr>
{% endfor %}</table>
{% if notes[task] %}<p>{{ notes[task] }}</p>{% endif %}
<table><tr><th>method</th>{% for f in like %}<th>{{ f }}</th>{% endfor %}
{% for group in groups %}<th>ndcg@10, {{ group }} users</th>{% endfor %}</tr>
{% for row in r.lists if row.task == task %}
<tr{% if row.method in ours %} class="ours"{% endif %}><td>{{ row.method }}</td>
{% for f in like %}<td>{{ "%.3f"|format(row[f]) }}</td>{% endfor %}
{% for group in groups %}<td>{% if group in row %}{{ "%.4f"|format(row[group]["ndcg@10"]) }}
<small>{% if row[group]["ndcg@10 interval"] %}{% set bounds = row[group]["ndcg@10 interval"] %}
[{{ "%.4f"|format(bounds[0]) }}, {{ "%.4f"|format(bounds[1]) }}], {% endif %}
{{ "{:,}".format(row[group].users) }} users</small>{% else %}nobody{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
<p>Cold users bought fewer than {{ r.cold_products }} products before. Diversity is 1 minus the share of category levels
that two products of a list have in common. Novelty, in bits, is greater the fewer users bought the products.
{{ r.peers }}</p>
<h2>Strengths: predicted and observed</h2>
<table><tr><th>prediction</th><th>RMSE</th><th>RMSLE</th></tr>
{% for name, row in r.strengths.items() if name != "pairs" %}
<tr><td>{{ name }}</td><td>{{ "%.4f"|format(row.rmse) }}</td><td>{{ "%.4f"|format(row.rmsle) }}</td></tr>
{% endfor %}</table>
<p>Over {{ "{:,}".format(r.strengths.pairs) }} pairs of user and product that were bought before or in the test hours.
Affinity is compared with 1 for pairs bought in the test hours and 0 for others.</p>
{% if r.tuned %}
<h2>How the order of personal lists was chosen</h2>
<p>Weights were fitted to the purchases from {{ r.tuned.windows[0] }} until {{ r.tuned.end }}, in
{{ r.tuned.windows|length }} windows.
{% if r.tuned.best %}These figures are means over the newest {{ r.tuned.measured_on }} of them, each with weights
that were fitted to the windows before it. {{ reason }}{% else %}These figures are of the newest window, from
{{ r.tuned.windows[-1] }}, with weights that were fitted to the older windows only.{% endif %}
{% if r.tuned.end > r.as_of %}<strong>They have seen hours of this test.</strong>{% endif %}</p>
<table><tr><th>NDCG@10</th>{% for task in tasks %}<th>{{ task }} products</th>{% endfor %}</tr>
{% for name, row in r.tuned.ndcg.items() %}
<tr{% if name in (r.tuned.order, "personal") %} class="ours"{% endif %}><td>{{ name }}</td>
{% for task in tasks %}<td>{% if task in row %}{{ "%.4f"|format(row[task]["ndcg@10"]) }}
{% set bounds = row[task]["ndcg@10 interval"] %}
{% if bounds %}<small>[{{ "%.4f"|format(bounds[0]) }}, {{ "%.4f"|format(bounds[1]) }}]</small>{% endif %}
{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endif %}
{% if r.embeddings %}
<h2>Pictures: share of the ten nearest that have the same category path</h2>
<p>Queries are products whose pictures training never saw; <a href="pictures.html">some of them</a> with their nearest.
Brackets are 95% bootstrap intervals over the queries.</p>
{{ plots.embeddings }}
<table><tr><th>by</th><th>share</th><th>at best</th><th>pictures</th></tr>
{% for name, row in r.embeddings.items() %}
<tr{% if name in ours %} class="ours"{% endif %}><td>{{ name }}</td><td>{{ "%.4f"|format(row.precision) }}
<small>[{{ "%.4f"|format(row.low) }}, {{ "%.4f"|format(row.high) }}]</small></td>
<td>{{ "%.4f"|format(row.ceiling) }}</td><td>{{ "{:,}".format(row.queries) }}</td></tr>
{% endfor %}</table>
{% endif %}
</html>
"""


def page(results: dict[str, Any]) -> str:
    """Returns the HTML of an evaluation's report.json; the same results give the same text."""
    plots = {}
    for task in TASKS:
        rows = [row for row in results["lists"] if row["task"] == task]
        bars = [(row["method"], row["ndcg@10"], row.get("ndcg@10 interval")) for row in rows]
        plots[task] = _bars(bars, "NDCG@10")
    if results["embeddings"]:
        bars = [(name, row["precision"], [row["low"], row["high"]]) for name, row in results["embeddings"].items()]
        plots["embeddings"] = _bars(bars, "share")
    template = Environment(autoescape=False, trim_blocks=True).from_string(TEMPLATE)
    names = {"tasks": TASKS, "notes": NOTES, "figures": FIGURES, "like": LIKE, "groups": GROUPS, "ours": OURS}
    tuned = results["tuned"]
    reason = choice_reason(tuned["order"], tuned) if tuned.get("best") else ""
    return template.render(r=results, plots=plots, reason=reason, **names)


def _bars(bars: list[tuple[str, float, list[float] | None]], label: str) -> str:
    """Returns a bar chart, a bar a method, as SVG that is the same on every run."""
    with pyplot.rc_context({"svg.hashsalt": "larder", "font.size": 10}):
        figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(bars) + 0.8))
        names, values = [name for name, _, _ in bars], [value for _, value, _ in bars]
        spread = [[v - i[0] if i else 0, i[1] - v if i else 0] for _, v, i in bars]
        colours = ["#c2410c" if name in OURS else "#94a3b8" for name in names]
        axes.barh(names, values, color=colours, xerr=list(zip(*spread, strict=True)), ecolor="#334155", capsize=3)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    svg = out.getvalue()
    return svg[svg.index("<svg") :]
