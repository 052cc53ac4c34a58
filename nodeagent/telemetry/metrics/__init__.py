"""The agent's metrics, in Prometheus' terms: one registry, and for each subject what is told of it.

Invariants: a label only ever has one of a few values that are fixed when the agent starts, never the text of an error,
and all series exist from the start, so that a rate shows the first event. What names things that come and go (`_info`
metrics, certificates) shows what is there now, and nothing else.
"""
