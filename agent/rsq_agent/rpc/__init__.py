"""The agent's servicers: each method converts, calls, converts."""
