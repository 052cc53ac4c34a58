"""Pools of nodes: who belongs to one, what its nodes are to have, and at what pace they get it. Pure but the loop."""
