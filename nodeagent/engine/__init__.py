"""The machinery that every job shares: plan, journal, executor, loop, hand-over, reports.

It knows nothing of Kubernetes, OVN, systemd or files; changes and effects come in through the protocols in `plan` and
`executor`.
"""
