"""From a query to the items of its answer."""
