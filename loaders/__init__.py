"""The record codec, and everything that reads and writes releases in Redis."""
