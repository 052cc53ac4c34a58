"""Adapters to the API server. `kubernetes` and urllib3 are imported when a connection is made, never before."""
