"""The VIP that keepalived moves: what it is set up to do, what is true of it, and how this node's health decides."""
