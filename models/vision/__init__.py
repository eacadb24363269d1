"""The vision network, its training state, and image decoding."""
