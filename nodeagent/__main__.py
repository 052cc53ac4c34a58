"""`python -m nodeagent`: the same entry point as the `nodeagent` command."""

from nodeagent.cli.main import entry

entry()
