"""The record codec, and the publisher of releases in Redis."""
