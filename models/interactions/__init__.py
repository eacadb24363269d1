"""Decayed user-item interactions and what is derived from them."""
