"""How far a difference may stray from the truth at any look: a mixture of sequential tests, and its bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

# (standard deviation / mean)^2 of a cookie's part in a metric, where nobody says it: 5 to 20 for clicks per impression,
# 30 for purchases of a visitor at a conversion of 3%, 100 and more for revenue.
TYPICAL_VARIATION = 50.0
FEWEST_COOKIES = 100  # of each arm
FEWEST_INFORMATION = 100.0  # for purchases of a visitor: about so many purchases


@dataclass(frozen=True)
class ConfidenceSequence:
    """A bound that an estimate's z-score passes with a probability of at most 1 - `level`, however often one looks.

    It is the normal mixture of Robbins (1970), used as by Johari, Pekelis and Walsh (Always Valid Inference, 2022):
    true effects are mixed over as normal around 0. The mixture's width makes the bound least at `planned_information`
    (Waudby-Smith et al.: Time-uniform central limit theory, 2021). At a tenth of it, or at ten times as much, the bound
    still holds; it is then 27% or 7% wider in standard errors.

    Information is 4 (ratio / standard error of the difference)^2: for two arms of equal size it is the number of
    cookies, over the square of a cookie's standard deviation in means. It grows with cookies and with what each of them
    does. Being relative, it suits metrics per visitor, which grow while the experiment runs.

    It is asymptotic, as z-scores must be near normal. So it says nothing before there is FEWEST_INFORMATION; `compared`
    also waits for FEWEST_COOKIES in each arm. An estimate must correlate with an earlier one by at least
    sqrt(earlier information / later information). It is just that if all visits are independent, and more if cookies
    come back (the bench experiment_statistics counts false alarms of both).
    """

    planned_information: float
    level: float

    def bound(self, information: float) -> float:
        """Returns how many standard errors the interval reaches to each side; inf while information is too little."""
        if information < FEWEST_INFORMATION:
            return math.inf
        ratio = self._prior_ratio(information)
        return math.sqrt((1 + 1 / ratio) * (math.log1p(ratio) - 2 * math.log(1 - self.level)))

    def p_value(self, z: float, information: float) -> float:
        """Returns the least 1 - level whose bound the z-score passes, with this mixture; 1 if it passes none."""
        if information < FEWEST_INFORMATION:
            return 1.0
        ratio = self._prior_ratio(information)
        return min(1.0, math.exp((math.log1p(ratio) - z * z * ratio / (1 + ratio)) / 2))

    def _prior_ratio(self, information: float) -> float:
        """The variance of the mixed effects over that of the estimate."""
        twice = -2 * math.log(1 - self.level)
        return (twice + math.log1p(twice)) * information / self.planned_information
