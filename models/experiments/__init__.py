"""Statistics of online experiments: what an arm's sums say about a metric, and how sure that is."""
