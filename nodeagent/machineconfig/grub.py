"""GRUB as Debian configures it: shell fragments that grub-mkconfig(8) sources, and the menu that it writes from them.

Invariant: whatever the other fragments say, the agent's own, sourced after them, leaves every wanted argument and no
unwanted one in GRUB_CMDLINE_LINUX and GRUB_CMDLINE_LINUX_DEFAULT together, and all others as and where they are.

An argument passes two languages: sh, which sources the fragment, and GRUB's own script, as which the menu is read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator

from nodeagent.machineconfig.kernelargs import Wanted

DEFAULTS = "/etc/default/grub"
DROPIN = "/etc/default/grub.d/zz-nodeagent.cfg"
MENU = "/boot/grub/grub.cfg"
UPDATE = "/usr/sbin/update-grub"
MKCONFIG = "/usr/sbin/grub-mkconfig"

_QUOTED = re.compile(r'("[^"]*")')
_SPECIAL = re.compile(r"[{}|&$;<>#]")  # outside quotes (GRUB manual, "Quoting")
_SPECIAL_IN_QUOTES = re.compile(r"\$")
_WORD = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\])+""", re.ASCII)
_PART = re.compile(r"""\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)"|([^\s'"\\]+)""", re.ASCII)
_ESCAPED = re.compile(r'\\([$"\\])')
_SECTION = re.compile(r"^### BEGIN \S*/10_linux\S* ###$.*?^### END ", re.MULTILINE | re.DOTALL)
_LOADS_LINUX = frozenset({"linux", "linux16", "linuxefi"})

# Runs in sh under `set -e`. Its body is a subshell, so nothing that it sets is seen outside; no pattern or word is left
# to expand. It splits as kernelargs.arguments does, and prints the list without the other parameters.
_WITHOUT = r"""nodeagent_without() (
    rest=$1 kept=
    shift
    while [ -n "$rest" ]; do
        gap=${rest%%[![:space:]]*}
        rest=${rest#"$gap"}
        word=
        while :; do
            part=${rest%%[[:space:]]*}
            rest=${rest#"$part"}
            word=$word$part
            odd=$word
            while case $odd in *\"*\"*) ;; *) false ;; esac; do
                odd=${odd#*\"*\"}
            done
            case $odd in *\"*) [ -n "$rest" ] || break ;; *) break ;; esac
            part=${rest%%[![:space:]]*}
            rest=${rest#"$part"}
            word=$word$part
        done
        for unwanted; do
            if [ "$word" = "$unwanted" ]; then
                gap= word=
                break
            fi
        done
        kept=$kept$gap$word
    done
    printf '%s\n' "$kept"
)
"""
_REMOVE = """for nodeagent_word in {words}; do
    GRUB_CMDLINE_LINUX=$(nodeagent_without "$GRUB_CMDLINE_LINUX" "$nodeagent_word")
    GRUB_CMDLINE_LINUX_DEFAULT=$(nodeagent_without "$GRUB_CMDLINE_LINUX_DEFAULT" "$nodeagent_word")
done
"""
_ADD = """for nodeagent_word in {words}; do
    nodeagent_all=$(nodeagent_without "$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT")
    if [ "$(nodeagent_without "$nodeagent_all" "$nodeagent_word")" = "$nodeagent_all" ]; then
        GRUB_CMDLINE_LINUX=${{GRUB_CMDLINE_LINUX:+$GRUB_CMDLINE_LINUX }}$nodeagent_word
    fi
done
"""


def detect(present: Collection[str]) -> bool:
    """Whether Debian's GRUB configuration is on a node that has the paths `present`."""
    return DEFAULTS in present and (UPDATE in present or MKCONFIG in present)


def regenerate(present: Collection[str]) -> tuple[str, ...]:
    """The command that writes the menu from its configuration."""
    return (UPDATE,) if UPDATE in present else (MKCONFIG, "-o", MENU)


def dropin(wanted: Wanted) -> bytes:
    """The agent's fragment, b"" where nothing is wanted and so none is needed."""
    if not wanted:
        return b""
    parts = ["# Written by nodeagent from MachineConfigs; it is replaced when they change.\n", _WITHOUT]
    if wanted.absent:
        parts.append(_REMOVE.format(words=_words(wanted.absent)))
    if wanted.present:
        parts.append(_ADD.format(words=_words(wanted.present)))
    return "".join(parts).encode("ascii")


def _words(arguments: Collection[str]) -> str:
    return " ".join(shlex.quote(script_word(argument)) for argument in arguments)


def script_word(argument: str) -> str:
    """`argument` as one word of GRUB's script; the double quotes around white space mean the same there."""
    return "".join(map(_escaped, _QUOTED.split(argument)))


def _escaped(part: str) -> str:
    special = _SPECIAL_IN_QUOTES if part.startswith('"') else _SPECIAL
    return special.sub(r"\\\g<0>", part)


def configured(menu: bytes) -> tuple[tuple[str, ...], ...]:
    """The arguments of each kernel that a generated grub.cfg starts, in order, as GRUB hands them on: unquoted.

    Only what 10_linux wrote, which reads the configuration; recovery entries, which go without
    GRUB_CMDLINE_LINUX_DEFAULT, are left out.
    """
    return tuple(_kernels(menu.decode(errors="surrogateescape")))


def _kernels(menu: str) -> Iterator[tuple[str, ...]]:
    recovery = False
    for section in _SECTION.finditer(menu):
        for line in section[0].split("\n"):
            command, *words = script_words(line) or ("",)
            if command == "menuentry":
                recovery = _is_recovery(line)
            elif command in _LOADS_LINUX and not recovery:
                yield tuple(words[1:])  # the first is the kernel's path


def _is_recovery(line: str) -> bool:
    """By the entry's id, gnulinux-VERSION-recovery-DEVICE: titles are translated."""
    _, _, rest = line.partition("$menuentry_id_option ")
    return "-recovery-" in "".join(script_words(rest)[:1])


def script_words(line: str) -> tuple[str, ...]:
    """The words of a line of GRUB's script, quotes and escapes resolved and variables left as they are."""
    return tuple("".join(map(_resolved, _PART.finditer(word))) for word in _WORD.findall(line))


def _resolved(part: re.Match[str]) -> str:
    escaped, single, double, bare = part.groups()
    if double is not None:
        return _ESCAPED.sub(r"\1", double)
    return escaped or single or bare or ""
