"""The endpoint: answers recommendations from the live release in Redis. Needs no Spark and no TensorFlow."""
