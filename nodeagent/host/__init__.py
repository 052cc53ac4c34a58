"""Adapters to the node: files, accounts, systemd, watches, boot. The only package that touches them."""
