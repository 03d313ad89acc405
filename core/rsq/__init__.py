"""Python packages shared by the rsq server and agent."""

__version__ = "0.1.0"
