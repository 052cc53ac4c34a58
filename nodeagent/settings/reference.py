"""The reference of all settings as Markdown, and all values as JSON: derived from the records, so never behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodeagent.settings.model import FIELDS, SECTIONS, Field, Settings
from nodeagent.settings.sources import CONFIG_VARIABLE, DEFAULT_FILE

_INTRODUCTION = f"""\
# Settings

<!-- Written by `nodeagent config docs`; do not edit by hand. -->

Each setting has a key in the settings file, an environment variable and, on the commands that use it, a flag.
A flag wins over the environment, the environment over the file, the file over the default.
`nodeagent config show` prints every value and where it came from.

The settings file is TOML: `{DEFAULT_FILE}`, or what `{CONFIG_VARIABLE}` or `--config` names. Unknown keys and
variables are errors, and all problems are reported at once.

```toml
pool = "worker"

[drift]
sweep_interval = "60s"

[[drift.policy]]
path = "/etc/sysctl.d/*"
action = "remediate"
```
"""


def markdown() -> str:
    """The whole page, with a newline at its end."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for section in ("", *SECTIONS):
        yield f"## {section or 'General'}\n"
        if section:
            yield f"{SECTIONS[section].__doc__}\n"
        for field in FIELDS.values():
            if field.key.rpartition(".")[0] == section:
                yield _entry(field)


def _entry(field: Field) -> str:
    flags = f"`{field.flag}`, `{field.negation}`" if field.negation else f"`{field.flag} VALUE`"
    default = f"`{field.default_text}`" if field.default_text else "none"
    help_text = field.help[0].upper() + field.help[1:]
    return (
        f"### `{field.key}`\n\n{help_text}.\n\n"
        f"- Value: {field.kind.form}\n- Default: {default}\n"
        f"- Environment: `{field.variable}`\n- Flags: {flags}\n"
    )


def document(settings: Settings) -> dict[str, Any]:
    """By key each value, in a form that the settings file takes, and where it came from."""
    return {
        key: {"value": field.kind.plain(field.of(settings)), "from": settings.origins[key]}
        for key, field in FIELDS.items()
    }
