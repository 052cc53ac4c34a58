"""Tools that do part of the agent's work and that people know: each is run as its own users run it."""


class Missing(Exception):
    """A peer cannot be had; says how to get it."""
