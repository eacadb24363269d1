"""What was served to whom: written as events by the endpoint, read back as click-through. Kafka apart, by pyarrow."""
