"""Real and synthetic sample data in the format of the event contract."""
