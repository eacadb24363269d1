"""A self-contained HTML page of pictures that training never saw, and their nearest neighbours."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from jinja2 import Environment
from PIL import Image

from larder.models import columns as C
from larder.models.search.exact import NO_NEIGHBOUR, nearest, unit_length

QUERIES = 24
NEIGHBOURS = 10
QUALITY = 85
CHANNELS = 3
Vectors = npt.NDArray[np.float32]
TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Larder: pictures and their nearest</title>
<style>
 body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; color: #222 }
 table.shares { border-collapse: collapse } .shares td, .shares th { padding: .2rem .8rem .2rem 0; text-align: right }
 .shares td:first-child, .shares th:first-child { text-align: left } .shares tr:nth-child(2) { font-weight: 600 }
 small { color: #666; font-weight: 400 }
 section { display: flex; gap: 1rem; padding: .7rem 0; border-top: 1px solid #ddd }
 section > figure { width: 8.5rem; flex: none } figure { margin: 0 } section > figure img { width: 6rem; height: 6rem }
 figcaption { font-size: 12px; overflow-wrap: anywhere }
 .row { display: flex; gap: .3rem; align-items: center; margin-bottom: .3rem }
 .row span { width: 5.2rem; flex: none; font-size: 12px; color: #666 }
 .row img { width: 4.4rem; height: 4.4rem; border-bottom: 5px solid #d6d3d1; background: #fff }
 .row img.same { border-color: #16a34a }
 .other img { opacity: .72 }
</style>
<h1>Pictures and their nearest</h1>
<p>Left, pictures that training never saw, no two of one category; beside each, the ten that are nearest to it of all
{{ "{:,}".format(total) }} pictures. <b style="color:#16a34a">Green</b>: of the same category path. Hover for names.</p>
<table class="shares"><tr><th>by</th><th>share of the ten with the same category</th><th>pictures asked</th></tr>
{% for name, row in shares.items() %}<tr><td>{{ name }}</td><td>{{ "%.3f"|format(row.precision) }}
<small>[{{ "%.3f"|format(row.low) }}, {{ "%.3f"|format(row.high) }}]</small></td>
<td>{{ "{:,}".format(row.queries) }}</td></tr>
{% endfor %}</table>
{% for query in queries %}
<section><figure><img src="{{ query.picture }}" alt="">
<figcaption>{{ query.category|e }}<br><small>{{ query.id|e }}</small></figcaption></figure><div>
{% for row in query.rows %}<div class="row{% if not loop.first %} other{% endif %}"><span>{{ row.name }}<br>
{{ row.same }} of {{ row.neighbours|length }}</span>
{% for each in row.neighbours %}<img src="{{ each.picture }}"{% if each.same %} class="same"{% endif %}
 title="{{ each.category|e }} ({{ each.id|e }}), {{ "%.3f"|format(each.score) }}" alt="">
{% endfor %}</div>{% endfor %}</div></section>
{% endfor %}
</html>
"""


def picture_page(
    table: pa.Table, vectors: Mapping[str, Vectors], shares: Mapping[str, Mapping[str, float]], queries: int = QUERIES
) -> str:
    """Returns HTML of some held-out pictures and their nearest by each kind of vectors; deterministic.

    Args: `table` has PRODUCT_ID, CATEGORY, HELD_OUT and PIXELS, n rows; `vectors` (n, any length) by name, the first
    of which is shown first.
    """
    ids, categories, pixels = (table[name].to_pylist() for name in (C.PRODUCT_ID, C.CATEGORY, C.PIXELS))

    @cache
    def picture(row: int) -> str:
        return _as_uri(pixels[row])

    def shown(row: int) -> dict[str, str]:
        return {"id": ids[row], "category": categories[row] or "", "picture": picture(row)}

    asked = _chosen(ids, categories, table[C.HELD_OUT].to_pylist(), queries)
    found = {name: _nearest(values, asked) for name, values in vectors.items()}
    sections = []
    for place, query in enumerate(asked):
        rows = []
        for name, (indices, scores) in found.items():
            there = [(int(row), float(score)) for row, score in zip(indices[place], scores[place], strict=True)]
            neighbours = [
                {**shown(row), "score": score, "same": categories[row] == categories[query]}
                for row, score in there
                if row != NO_NEIGHBOUR
            ]
            rows.append({"name": name, "neighbours": neighbours, "same": sum(each["same"] for each in neighbours)})
        sections.append({**shown(query), "rows": rows})
    template = Environment(autoescape=False, trim_blocks=True).from_string(TEMPLATE)
    return template.render(total=len(ids), shares=shares, queries=sections)


def _chosen(ids: Sequence[str], categories: Sequence[str | None], held_out: Sequence[bool], most: int) -> list[int]:
    """Returns at most one held-out picture a category with other pictures, in the order of categories.

    The choice is by a hash of the ids, so that nobody can pick those that look well.
    """
    counts: dict[str, int] = {}
    for category in categories:
        counts[category or ""] = counts.get(category or "", 0) + 1
    taken: dict[str, int] = {}
    for row in sorted(range(len(ids)), key=lambda row: (xxhash.xxh64_intdigest(ids[row].encode(), seed=42), ids[row])):
        category = categories[row]
        if held_out[row] and category and counts[category] > 1 and category not in taken and len(taken) < most:
            taken[category] = row
    return [taken[category] for category in sorted(taken)]


def _nearest(vectors: Vectors, asked: list[int]) -> tuple[npt.NDArray[np.int32], Vectors]:
    unit, own = unit_length(vectors), np.array(asked, np.int64)
    return nearest(unit[own], unit, NEIGHBOURS, own)


def _as_uri(pixels: bytes) -> str:
    side = math.isqrt(len(pixels) // CHANNELS)
    out = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(side, side, CHANNELS)).save(out, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
