"""Prints the constraint file for this interpreter: the versions that were tested together on it."""

import sys

print("constraints/newest.txt" if sys.version_info >= (3, 13) else "constraints.txt")
