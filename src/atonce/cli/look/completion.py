"""`atonce completion`: a file that completes the command line without starting Python at each key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Words:
    """A verb's options, with a line of help each, and the values that some of them take."""

    name: str
    help: str
    options: tuple[tuple[str, str, bool], ...]
    values: tuple[tuple[str, tuple[str, ...]], ...]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what completes this program's command lines in SHELL.

    bash: atonce completion bash > ~/.local/share/bash-completion/completions/atonce; zsh: into a file _atonce on the
    fpath; fish: into ~/.config/fish/completions/atonce.fish.
    """
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    verbs = [_words(ctx, group, name) for name in group.list_commands(ctx)]
    click.echo("\n".join(_WRITERS[shell](verbs)))
    return 0


def _words(ctx: click.Context, group: click.Group, name: str) -> Words:
    command = group.get_command(ctx, name)
    assert command is not None
    options, values = [], []
    for param in command.params:
        if not isinstance(param, click.Option) or param.hidden:
            continue
        names = [*param.opts, *param.secondary_opts]
        said = re.sub(r"\s+", " ", param.help or "").split(". ")[0].rstrip(".")
        options += [(one, said, not param.is_flag and not param.count) for one in names]
        if isinstance(param.type, click.Choice):
            values += [(one, tuple(map(str, param.type.choices))) for one in names]
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    values += [
        ("", tuple(map(str, one.type.choices))) for one in arguments if isinstance(one.type, click.Choice)
    ]
    options += [("-h", "Show the help", False), ("--help", "Show the help", False)]
    return Words(name, command.get_short_help_str(80), tuple(options), tuple(values))


def _bash(verbs: list[Words]) -> Iterator[str]:
    yield "# bash completion for atonce"
    yield "_atonce() {"
    yield '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" verb="${COMP_WORDS[1]}"'
    yield "  COMPREPLY=()"
    yield '  if [ "$COMP_CWORD" -eq 1 ]; then'
    names = " ".join([*(verb.name for verb in verbs), "--help", "--version"])
    yield f'    COMPREPLY=($(compgen -W "{names}" -- "$word")); return'
    yield "  fi"
    yield '  case "$verb $before" in'
    for verb in verbs:
        for option, choices in verb.values:
            pattern = f"{verb.name} {option or verb.name}"
            yield f'    "{pattern}") COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$word")); return ;;'
    yield "  esac"
    yield '  if [[ "$word" == -* ]]; then'
    yield '    case "$verb" in'
    for verb in verbs:
        options = " ".join(dict.fromkeys(name for name, _, _ in verb.options))
        yield f'      {verb.name}) COMPREPLY=($(compgen -W "{options}" -- "$word")); return ;;'
    yield "    esac"
    yield "  fi"
    yield '  COMPREPLY=($(compgen -f -- "$word"))'
    yield "}"
    yield "complete -o filenames -o bashdefault -F _atonce atonce"


def _zsh(verbs: list[Words]) -> Iterator[str]:
    yield "#compdef atonce"
    yield "_atonce() {"
    yield "  local -a verbs; verbs=("
    for verb in verbs:
        yield f"    {shlex.quote(_colon(verb.name) + ':' + _colon(verb.help))}"
    yield "  )"
    yield "  if (( CURRENT == 2 )); then _describe -t verbs verb verbs; return; fi"
    yield '  case "$words[2]" in'
    for verb in verbs:
        choices = dict(verb.values)
        yield f"    {verb.name})"
        yield "      shift words; (( CURRENT-- ))"
        yield "      _arguments -s \\"
        for name, said, takes in verb.options:
            value = (
                f":value:({' '.join(choices[name])})" if name in choices else ":value:_files" if takes else ""
            )
            yield f"        {shlex.quote(f'*{name}[{_bracket(said)}]{value}')} \\"
        rest = f"*:value:({' '.join(choices[''])})" if "" in choices else "*:file:_files"
        yield f"        {shlex.quote(rest)} ;;"
    yield "  esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = "_atonce" ]; then _atonce "$@"; else compdef _atonce atonce; fi'


def _fish(verbs: list[Words]) -> Iterator[str]:
    yield "# fish completion for atonce"
    for verb in verbs:
        yield f"complete -c atonce -n __fish_use_subcommand -f -a {verb.name} -d {_fished(verb.help)}"
    for verb in verbs:
        choices = dict(verb.values)
        when = f"-n '__fish_seen_subcommand_from {verb.name}'"
        for name, said, takes in verb.options:
            flag = (
                f"-l {name[2:]}"
                if name.startswith("--")
                else f"-s {name[1:]}"
                if len(name) == 2
                else f"-o {name[1:]}"
            )
            value = (
                f" -x -a {_fished(' '.join(choices[name]))}" if name in choices else " -r" if takes else ""
            )
            yield f"complete -c atonce {when} {flag}{value} -d {_fished(said)}"
        if "" in choices:
            yield f"complete -c atonce {when} -f -a {_fished(' '.join(choices['']))}"


def _colon(text: str) -> str:
    return text.replace(":", "\\:")


def _bracket(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _fished(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_WRITERS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
