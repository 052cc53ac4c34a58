"""What can be done to a node, as data. Adapters carry changes out; nothing here has effects.

Every change is a frozen dataclass that can be compared, ordered, printed and serialised; bytes never show in its repr.
"""
