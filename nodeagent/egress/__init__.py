"""Egress gateways: what a gateway object asks of the northbound database, and what is wrong with what stands there."""
