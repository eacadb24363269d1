"""The journey log: served answers as events in Parquet or Kafka, and the click-through report made from them."""
