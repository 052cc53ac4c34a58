"""GRUB as Debian configures it: a drop-in that grub-mkconfig sources, and the menu that it writes. Pure.

The drop-in edits whatever the files before it have set, so it stays right when an administrator changes those.
Source: GRUB manual, "Simple configuration handling"; Debian's grub-mkconfig reads /etc/default/grub.d/*.cfg.
"""

from __future__ import annotations

import re

from nodeagent.machineconfig.kernelargs import Wanted, split

DEFAULTS = "/etc/default/grub"
DROPIN = "/etc/default/grub.d/zz-nodeagent.cfg"
MENU = "/boot/grub/grub.cfg"

_SECTION = re.compile(rb"^### BEGIN /etc/grub\.d/10_linux ###$(.*?)^### END ", re.MULTILINE | re.DOTALL)
_LINUX = re.compile(rb"^\s*linux\s+(.*)$", re.MULTILINE)

# Words of the lines that stand before are dropped without globbing; ours are appended, so that they count.
_SCRIPT = """\
# Written by nodeagent; kernel arguments of MachineConfigs. Changes here are drift.
nodeagent_without() {{
    set -f
    nodeagent_kept=
    for nodeagent_word in $1; do
        case "$nodeagent_word" in
            {words}) ;;
            *) nodeagent_kept="$nodeagent_kept $nodeagent_word" ;;
        esac
    done
    set +f
}}
nodeagent_without "${{GRUB_CMDLINE_LINUX_DEFAULT:-}}"
GRUB_CMDLINE_LINUX_DEFAULT="${{nodeagent_kept# }}"
nodeagent_without "${{GRUB_CMDLINE_LINUX:-}}"
GRUB_CMDLINE_LINUX="${{nodeagent_kept# }}"{present}
"""


def dropin(wanted: Wanted) -> bytes:
    """The drop-in that makes the menu's lines hold what is wanted; b"" if nothing is."""
    if not wanted:
        return b""
    words = "|".join(map(_quoted, (*wanted.present, *wanted.absent)))
    present = "".join(_quoted(f" {word}") for word in wanted.present)
    return _SCRIPT.format(words=words, present=present).encode()


def _quoted(word: str) -> str:
    """A word for sh(1) that is taken literally; it holds no single quote, see `kernelargs`."""
    return f"'{word}'"


def lines(menu: bytes) -> tuple[tuple[str, ...], ...]:
    """The words of each line of the menu that boots one of the node's own kernels; other systems' do not count."""
    sections = (match.group(1) for match in _SECTION.finditer(menu))
    found = (line for section in sections for line in _LINUX.findall(section))
    return tuple(split(line.decode(errors="replace")) for line in found)
