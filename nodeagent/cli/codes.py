"""The exit codes of all commands, stated once.

OK: done, nothing to do or healthy. ERROR: it did not work. USAGE: the command line is wrong (argparse's own). PENDING:
pending changes, drift or findings.
"""

OK, ERROR, USAGE, PENDING = 0, 1, 2, 3
