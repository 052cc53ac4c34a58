"""The node agent: keeps a node what its administrators declared and tells them the truth about it."""

__version__ = "0.1.0"
