"""What was seen on the node: plain values that adapters produce and domains read. Nothing here has effects."""
