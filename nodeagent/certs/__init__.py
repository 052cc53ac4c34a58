"""Certificates: which are on the node, how they are, when they are due, and what the components really serve."""
