"""What this node trusts: a pinned root, and what was verified from there."""
