"""The live release, as the endpoint holds and reads it."""
