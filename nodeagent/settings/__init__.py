"""What an administrator can set: one record a field drives file key, variable, flag, help and reference.

`load` gives the frozen `Settings`; `flags` and `reference` are imported by the commands that need them.
"""

from nodeagent.settings.addresses import Address
from nodeagent.settings.model import (
    FIELDS,
    ApplySettings,
    DriftSettings,
    FetchSettings,
    Field,
    GenerationSettings,
    HealthSettings,
    LogSettings,
    MetricsSettings,
    RebootSettings,
    Settings,
)
from nodeagent.settings.rules import DriftAction, DriftRule
from nodeagent.settings.sources import CONFIG_VARIABLE, DEFAULT_FILE, load

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_FILE",
    "FIELDS",
    "Address",
    "ApplySettings",
    "DriftAction",
    "DriftRule",
    "DriftSettings",
    "FetchSettings",
    "Field",
    "GenerationSettings",
    "HealthSettings",
    "LogSettings",
    "MetricsSettings",
    "RebootSettings",
    "Settings",
    "load",
]
