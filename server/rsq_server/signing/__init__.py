"""The update repository: keys, signed metadata, and what may be added to it."""
