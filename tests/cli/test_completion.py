"""Completion: in a real bash, as somebody types and presses the key; and all that may come next, by the line before it."""

import asyncio
import sys
from functools import partial
from pathlib import Path

from tests.cli.conftest import Cli, Inside
from tests.cli.terminal import at_terminal
from tests.web.serving import Server

TAB = "\t"


async def test_bash_completes_commands_options_and_names(towpath: Cli, server: Server, tmp_path: Path) -> None:
    await server.app("example-staging")
    await server.pipeline("shop", connected=False)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program = bin_ / "towpath"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m service.cli "$@"\n')
    program.chmod(0o755)
    env = towpath.env | {"PATH": f"{bin_}:{towpath.env['PATH']}", "PS1": "", "INPUTRC": "/dev/null"}
    typed = [
        ("ready", 'bind "set bell-style none"; source <(towpath completion bash); echo re""ady\n'),
        ("ready", f"towpath pipelines:cr{TAB}"),
        ("create", f"--st{TAB}"),
        ("--stage", f"stag{TAB}"),
        ("staging", f"--app=exa{TAB}"),
        ("example-staging", "\x15exit\n"),  # takes the line back
    ]
    argv = ["bash", "--norc", "--noprofile", "-c", "echo ready; exec bash --norc --noprofile -i"]
    done = await asyncio.to_thread(partial(at_terminal, argv, *typed, env=env, cwd=towpath.cwd, columns=160))
    assert "towpath pipelines:create --stage staging --app=example-staging" in done.raw


LINES = [
    ("a command's beginning", "towpath pipelines:up", ["pipelines:update"]),
    ("a topic", "towpath spa", ["spaces", "spaces:create"]),
    ("an option", "towpath apps:create --no", ["--no-remote"]),
    ("an app after its option", "towpath ps -a ex", ["example", "example-staging"]),
    ("an app glued to its option", "towpath ps --app=example-", ["--app=example-staging"]),
    ("an app in its place", "towpath apps:info example-", ["example-staging"]),
    ("the last of several apps", "towpath pipelines:promote -a example-staging --to x,exa", ["x,example", "x,example-staging"]),
    ("a pipeline after its option", "towpath reviewapps -p ", ["shop"]),
    ("a pipeline in its place", "towpath pipelines:add ", ["shop"]),
    ("nothing in a place that is taken", "towpath pipelines:add shop ", []),
    ("a stage", "towpath pipelines:add shop -a example -s pro", ["production"]),
    ("on and off", "towpath deploy:auto o", ["off", "on"]),
    ("a shell", "towpath completion ", ["bash", "fish", "zsh"]),
    ("a profile before the command", "towpath --profile ", ["local"]),
    ("a command after a profile", "towpath --profile local orph", ["orphans", "orphans:destroy"]),
    ("what help is about", "towpath help unl", ["unlock"]),
    ("a command that there is not", "towpath nonsense ", []),
    ("what is set for the program alone", "TOWPATH_PROFILE=local /usr/bin/towpath unl", ["unlock"]),
    ("half a quoted word", 'towpath apps:info "example-s', ["example-staging"]),
]  # fmt: skip


async def test_what_may_come_next_is_offered(inside: Inside, server: Server) -> None:
    await server.pipeline("shop", connected=False, staging="example-staging", production="example")
    for name, line, offered in LINES:
        done = await inside("completion", "bash", "--line", line)
        assert done.out.splitlines() == offered, name
    commands = (await inside("completion", "fish", "--line", "towpath ")).out.splitlines()
    assert "unlock\tLet new code in again; what has waited goes on at once" in commands
    assert "apps\\:info:Show an app" in (await inside("completion", "zsh", "--line", "towpath apps:i")).out


async def test_without_a_server_nothing_is_offered_and_nothing_said(stranger: Inside) -> None:
    for env in ({}, {"TOWPATH_URL": "http://127.0.0.1:1", "TOWPATH_TOKEN": "x"}):
        done = await stranger("completion", "bash", "--line", "towpath ps -a ", **env)
        assert (done.out, done.err) == ("", "")
    assert "There is no completion for 'tcsh'" in (await stranger("completion", "tcsh", code=2)).err
