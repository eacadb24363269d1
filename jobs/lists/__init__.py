"""The inputs of lists (catalogue, exclusions, weights, rules), and lists of products."""
