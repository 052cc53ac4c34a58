"""Egress gateways: what an object asks of the northbound database, what is wrong there; in `node`, a node's part."""
