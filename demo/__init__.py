"""Real sample data in the event contract."""
