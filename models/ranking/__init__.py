"""Candidates of a user, and the models that order them."""
