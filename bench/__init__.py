"""Ours beside what a user would pick instead, in one run. Each module ends with one JSON line."""
