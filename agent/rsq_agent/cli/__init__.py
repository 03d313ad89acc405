"""The command `rsq-agent`: parses, builds, calls, reports."""
