"""Top-n lists by user, by item and by context."""
