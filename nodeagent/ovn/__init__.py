"""Adapters to OVN's databases over OVSDB. Source: RFC 7047, ovsdb-server(7), ovn-nb(5)."""
