"""Ignition 3.4.0: the documents inside MachineConfigs. Pure; knows nothing of Kubernetes or of the node."""
