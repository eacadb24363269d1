"""Benchmarks: Larder beside the tools that one would use instead, in the same run. Each ends with one JSON line."""
