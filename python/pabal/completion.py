"""Completion of ``pabal`` in shells: a script made once from what the command line knows.

The script has the commands and options in itself, so that completing one starts no interpreter;
only names of topics and groups are asked of the cluster.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

__all__ = ["SHELLS", "completion"]

SHELLS = ("bash", "zsh", "fish")

_ASKED = {
    "TOPIC": "pabal topic list",
    "GROUP": "pabal group list --names",
    "CLUSTER": "pabal cluster status --names",
}


@dataclass
class _Option:
    names: list[str]
    help: str
    takes_value: bool
    choices: list[str]
    is_file: bool
    is_config: bool


@dataclass
class _Command:
    path: tuple[str, ...]
    help: str
    children: list[tuple[str, str]] = field(default_factory=list)
    options: list[_Option] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)  # Of what stands without a name.
    asks: str = ""
    is_config: bool = False


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one shell.

    Examples
    --------
    >>> import argparse
    >>> "complete -F _pabal pabal" in completion(argparse.ArgumentParser(), "bash")
    True
    """
    commands = _commands(parser, (), "")
    from pabal.config import TOPIC

    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands, sorted(TOPIC))


def _commands(
    parser: argparse.ArgumentParser, path: tuple[str, ...], text: str
) -> list[_Command]:
    """This command and those below it."""
    command = _Command(path, text)
    found = [command]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                text = choice.help or ""
                command.children.append((choice.dest, text))
                found += _commands(action.choices[choice.dest], (*path, choice.dest), text)
        elif action.option_strings:
            metavar = str(action.metavar or "")
            command.options.append(
                _Option(
                    list(action.option_strings),
                    (action.help or "").replace("%%", "%"),
                    action.nargs != 0,
                    [str(choice) for choice in action.choices or ()],
                    metavar in ("FILE", "DIRECTORY"),
                    metavar == "NAME=VALUE" and path[:1] == ("topic",),
                )
            )
        else:
            command.choices += [str(choice) for choice in action.choices or ()]
            word = str(action.metavar or "").split("[")[0].split(":")[0]
            command.asks = command.asks or _ASKED.get(word, "")
            command.is_config = command.is_config or word in ("SETTING", "NAME=VALUE")
    return found


def _bash(commands: list[_Command], configs: list[str]) -> str:
    paths = " | ".join(f'"{" ".join(one.path)}"' for one in commands if one.path)
    cases, values = [], []
    for one in commands:
        key = f'"{" ".join(one.path)}"'
        flags = " ".join(name for option in one.options for name in option.names)
        words = " ".join([name for name, _ in one.children] + one.choices)
        lines = [f'options="{flags}"']
        if words:
            lines.append(f'words="{words}"')
        if one.is_config:
            lines.append('words+=" $configs"')
        if one.asks:
            lines.append(f'asked="{one.asks}"')
        cases.append(f"        {key}) {'; '.join(lines)} ;;")
        for option in one.options:
            if not option.takes_value:
                continue
            names = " | ".join(f'"{" ".join(one.path)} {name}"' for name in option.names)
            if option.is_file:
                then = 'COMPREPLY=($(compgen -f -- "$current"))'
            elif option.is_config:
                then = 'compopt -o nospace; COMPREPLY=($(compgen -S = -W "$configs" -- "$current"))'
            elif option.choices:
                then = f'COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$current"))'
            else:
                then = ":"
            values.append(f"        {names}) {then}; return ;;")
    newline = "\n"
    return f"""\
# Completion of pabal for bash: eval "$(pabal completion bash)"
_pabal() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local path= options= words= asked= index
    local configs="{" ".join(configs)}"
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "${{path:+$path }}${{COMP_WORDS[index]}}" in
            {paths}) path="${{path:+$path }}${{COMP_WORDS[index]}}" ;;
        esac
    done
    case "$path $previous" in
{newline.join(values)}
    esac
    case "$path" in
{newline.join(cases)}
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        return
    fi
    [[ -n $asked ]] && words+=" $($asked --timeout 1 2>/dev/null)"
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _pabal pabal
"""


def _zsh(commands: list[_Command], configs: list[str]) -> str:
    cases = []
    paths = " | ".join(f'"{" ".join(one.path)}"' for one in commands if one.path)
    for one in commands:
        lines = []
        if one.children:
            described = " ".join(_quoted(f"{name}:{text}") for name, text in one.children)
            lines.append(f"described=({described}); _describe -t commands command described")
        specs = []
        for option in one.options:
            for name in option.names:
                text = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
                spec = f"{name}[{text}]"
                if option.takes_value:
                    what = "_files" if option.is_file else ""
                    if option.choices:
                        what = f"({' '.join(option.choices)})"
                    elif option.is_config:
                        what = '{compadd -S "=" -a configs}'
                    spec += f":value:{what}"
                specs.append(_quoted(spec))
        if not one.children:
            rest = []
            if one.choices:
                rest.append(f"compadd -- {' '.join(one.choices)}")
            if one.is_config:
                rest.append("compadd -a configs")
            if one.asks:
                rest.append(f'compadd -- ${{(f)"$({one.asks} --timeout 1 2>/dev/null)"}}')
            specs.append(_quoted(f"*:word:{{{'; '.join(rest) or ':'}}}"))
        if specs and not one.children:
            lines.append(f"_arguments {' '.join(specs)}")
        cases.append(f'        "{" ".join(one.path)}") {"; ".join(lines) or ":"} ;;')
    newline = "\n"
    return f"""\
#compdef pabal
# Completion of pabal for zsh: eval "$(pabal completion zsh)"
_pabal() {{
    local path_= index
    local -a described configs
    configs=({" ".join(configs)})
    for ((index = 2; index < CURRENT; index++)); do
        case "${{path_:+$path_ }}${{words[index]}}" in
            {paths}) path_="${{path_:+$path_ }}${{words[index]}}" ;;
        esac
    done
    case "$path_" in
{newline.join(cases)}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pabal "$@"
else
    compdef _pabal pabal
fi
"""


def _fish(commands: list[_Command], configs: list[str]) -> str:
    lines = [
        "# Completion of pabal for fish: pabal completion fish | source",
        "complete -c pabal -f",
    ]
    for one in commands:
        words = " ".join(one.path)
        seen = [f"__fish_seen_subcommand_from {word}" for word in one.path]
        below = " ".join(name for name, _ in one.children)
        if below:
            seen.append(f"not __fish_seen_subcommand_from {below}")
        when = "; and ".join(seen) or "true"
        lines.append(f"# pabal {words}".rstrip())
        for name, text in one.children:
            lines.append(f"complete -c pabal -n {_quoted(when)} -a {name} -d {_quoted(text)}")
        if one.choices:
            choices = _quoted(" ".join(one.choices))
            lines.append(f"complete -c pabal -n {_quoted(when)} -a {choices}")
        if one.is_config:
            lines.append(f"complete -c pabal -n {_quoted(when)} -a {_quoted(' '.join(configs))}")
        if one.asks:
            asked = f"({one.asks} --timeout 1 2>/dev/null)"
            lines.append(f"complete -c pabal -n {_quoted(when)} -a {_quoted(asked)}")
        for option in one.options:
            flags = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.names
            )
            value = ""
            if option.takes_value:
                value = " -r"
                if option.is_file:
                    value += " -F"
                elif option.choices:
                    value += f" -a {_quoted(' '.join(option.choices))}"
                elif option.is_config:
                    value += f" -a {_quoted(' '.join(f'{name}=' for name in configs))}"
            text = f" -d {_quoted(option.help)}" if option.help else ""
            lines.append(f"complete -c pabal -n {_quoted(when)} {flags}{value}{text}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """``text`` as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
