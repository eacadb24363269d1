"""Names of the routes, and of what can become of a route in an answer."""

from __future__ import annotations

from typing import Final

# Final, here and wherever a request passes: compiled, a Final name costs nothing, any other costs a dictionary lookup.
SIMILAR: Final = "similar"
PERSONAL: Final = "personal"
GENERIC: Final = "generic"
ROUTES: Final = (SIMILAR, PERSONAL, GENERIC)
# The level of a similar list that was made from the product's category, because the product has no picture.
CATEGORY: Final = "category"

USED: Final = "used"
FILLED: Final = "filled"
SKIPPED: Final = "skipped"
STATUSES: Final = (USED, FILLED, SKIPPED)
