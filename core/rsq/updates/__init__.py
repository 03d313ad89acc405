"""Signed metadata after The Update Framework: what nodes and the server both do with it."""
