"""What the agent tells about itself: logs, metrics, health, systemd's notifications, the status file.

Nothing here reads or changes what the agent looks after, and nothing here can stop it.
"""
