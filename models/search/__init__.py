"""Top-k search by inner product or cosine: exact, and approximate by cells."""
