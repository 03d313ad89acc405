"""The command `rsq-server`: parses, builds, calls, reports."""
