"""Whether a node has what the agent needs, each aspect as one check: pure verdicts over what adapters have seen."""
