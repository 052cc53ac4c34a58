"""Machine configuration: from MachineConfig documents to the state of one node, and back to what differs from it."""
