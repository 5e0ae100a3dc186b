"""`towpath completion`: what a shell needs to complete our commands, and the words that it asks for while one types."""

from typing import Annotated, Final

import typer

from service.cli import output
from service.cli.errors import ExitCode, Stop

_BASH: Final = r"""# Completion of towpath for bash. In ~/.bashrc:  source <(towpath completion bash)
_towpath() {
    local line="${COMP_LINE:0:COMP_POINT}" breaks="${COMP_WORDBREAKS//[^:=]/}" word cut="" candidate
    # Bash takes `pipelines:create` and `--app=x` for several words: it wants what comes after the last : or =.
    word="${line##*[[:space:]]}"
    [[ -n $breaks && $word == *["$breaks"]* ]] && cut="${word%"${word##*["$breaks"]}"}"
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$cut"}")
    done < <(command towpath completion bash --line "$line" 2>/dev/null)
}
complete -F _towpath towpath
"""
_ZSH: Final = r"""#compdef towpath
# Completion of towpath for zsh. In ~/.zshrc, after compinit:  source <(towpath completion zsh)
_towpath() {
    local -a candidates
    candidates=("${(@f)$(command towpath completion zsh --line "${(pj: :)words[1,CURRENT]}" 2>/dev/null)}")
    [[ -n "$candidates[1]" ]] && _describe towpath candidates
}
if [[ "$funcstack[1]" == "_towpath" ]]; then _towpath "$@"; else compdef _towpath towpath; fi
"""
_FISH: Final = r"""# Completion of towpath for fish:  towpath completion fish > ~/.config/fish/completions/towpath.fish
complete -c towpath -f -a '(command towpath completion fish --line (commandline -cp | string collect) 2>/dev/null)'
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")],
    line: Annotated[
        str | None, typer.Option("--line", metavar="LINE", help="Print what may come next on a line instead.")
    ] = None,
) -> None:
    """Print what completes commands in your shell.

    For bash, put this into ~/.bashrc: source <(towpath completion bash)
    """
    if shell not in _SCRIPTS:
        raise Stop(f"There is no completion for {shell!r}; there is for: {', '.join(_SCRIPTS)}.", code=ExitCode.USAGE)
    if line is None:
        typer.echo(_SCRIPTS[shell], nl=False)
        return
    from service.cli import completing  # it knows the client, which printing the script does not need

    assert ctx.parent is not None
    for it in completing.candidates(ctx.parent.command, ctx.parent, line):
        output.say(_as_read_by(shell, it.word, it.about))


def _as_read_by(shell: str, word: str, about: str) -> str:
    """A candidate as the shell reads it."""
    match shell:
        case "zsh":
            plain = word.replace("\\", "\\\\").replace(":", "\\:")
            return f"{plain}:{about}" if about else plain
        case "fish":
            return f"{word}\t{about}" if about else word
        case _:
            # One word of a line, whatever is in it.
            return "".join(each if each.isalnum() or each in "-_.:=,/@+|" else f"\\{each}" for each in word)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("completion")(completion)
