"""P-values of many comparisons, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import false_discovery_control


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """Returns for each p-value the false discovery rate at which its comparison just counts as found.

    If all comparisons of a rate up to q count, at most the share q of them is expected to be no real difference
    (Benjamini and Hochberg 1995; p-values independent or positively dependent, as those of related metrics are).
    """
    return [float(rate) for rate in false_discovery_control(p_values)] if p_values else []
