"""Composition root: builds the adapters of one node and wires the jobs to them. Nothing else knows all the parts."""

from nodeagent.agent.workplace import Workplace, default_source, intent, opened

__all__ = ["Workplace", "default_source", "intent", "opened"]
