"""Every command: the module that it is in, and what it says of itself.

In the order of the help. Neither that nor completion imports what it lists: that takes longer than all the rest. A test
holds this to what the modules say.
"""

from collections.abc import Mapping
from typing import Final

MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    "commands.apps": {
        "apps": "List the apps that you see, or those of a team.",
        "apps:create": "Create an app, with a made-up name if none is given.",
        "apps:info": "Show an app.",
        "apps:rename": "Give an app another name, and with it another address.",
        "apps:destroy": "Destroy an app with its releases and config.",
        "domains": "List the names under which an app is served.",
        "git:remote": "Make an app's git remote: commands in this clone know it, git can push to it.",
    },
    "commands.transfers": {
        "apps:transfer": "Give an app to a team, or a team's app to one of its members.",
        "apps:transfers": "List the apps that you have offered, and those that you were offered.",
        "apps:transfers:accept": "Accept an app that you were offered: it is yours at once.",
        "apps:transfers:decline": "Decline an app that you were offered.",
        "apps:transfers:withdraw": "Take an offer of yours back.",
    },
    "commands.switches": {
        "maintenance": "Say whether visitors of an app get the maintenance page.",
        "maintenance:on": "Show visitors the maintenance page; the app runs on behind it.",
        "maintenance:off": "Let visitors reach an app again.",
        "apps:promotable": "Say whether an app's code may be promoted, to others and to it.",
    },
    "commands.spaces": {
        "spaces": "List the spaces that apps can run in.",
        "spaces:create": "Make a space, as an administrator.",
    },
    "commands.pipelines": {
        "pipelines": "List pipelines.",
        "pipelines:create": "Create a pipeline with an app in it, yours or a team's.",
        "pipelines:add": "Add an app to a pipeline.",
        "pipelines:update": "Move an app to another stage of its pipeline.",
        "pipelines:remove": "Take an app out of its pipeline; the app lives on.",
        "pipelines:rename": "Rename a pipeline.",
        "pipelines:destroy": "Destroy a pipeline; its apps live on.",
        "pipelines:info": "Show a pipeline's apps by stage, what they run, and its repository.",
        "pipelines:open": "Open the dashboard of a pipeline in the browser.",
        "pipelines:connect": "Connect a pipeline to a GitHub repository.",
        "pipelines:disconnect": "Take a pipeline's repository away from it; automatic deploys end.",
    },
    "commands.setup": {
        "pipelines:setup": "Create a pipeline with staging and production apps from a repository.",
    },
    "commands.settings": {
        "pipelines:settings": "Show a pipeline's settings and what they mean, or change some.",
    },
    "commands.promote": {
        "pipelines:promote": "Promote an app's code to the apps of the next stage, without building it again.",
    },
    "commands.promotions": {
        "pipelines:promotions": "List a pipeline's promotions, newest first, with what became of each target.",
    },
    "commands.diff": {
        "pipelines:diff": "Compare an app with those of the next stage: commits, and names of config vars.",
    },
    "commands.reviewapps": {
        "reviewapps": "List review apps with their state and the reason for it.",
        "reviewapps:create": "Create the review app of a pull request or branch.",
        "reviewapps:destroy": "Destroy a review app.",
        "reviewapps:pin": "Keep a review app however long it is idle.",
        "reviewapps:unpin": "Let a review app go when it is idle, as the settings say.",
        "reviewapps:logs": "Show what a review app writes.",
        "reviewapps:enable": "Enable review apps, or change their settings.",
        "reviewapps:disable": "Disable review apps.",
    },
    "commands.approving": {
        "reviewapps:approve": "Let one commit of a fork's pull request run.",
        "reviewapps:approvals": "List which commits of a fork's pull request were approved, and by whom.",
    },
    "commands.deploy": {
        "deploy": "Deploy a branch or commit of the connected repository now, whatever CI says.",
        "deploy:auto": "Deploy a branch whenever it changes, or stop doing so.",
    },
    "commands.builds": {
        "builds": "List an app's builds, newest first.",
        "builds:create": "Build a packed source and release it, whatever is in the connected repository.",
        "builds:info": "Show one build: what it was built from, how it ended, and the release that it gave.",
        "builds:output": "Show the output of a build, while it runs and afterwards.",
        "builds:cancel": "Cancel a build that is not over; what runs goes on running.",
    },
    "commands.releases": {
        "releases": "List an app's releases, newest first.",
        "releases:info": "Show a release: what it runs, since when, and by whom.",
        "releases:rollback": "Release a former release's code and config again.",
        "releases:retry": "Release the same code once more, with the config vars of now.",
        "releases:output": "Show the output of a release, while it runs and afterwards.",
    },
    "commands.locks": {
        "locks": "List the locks that keep new code out.",
        "lock": "Keep new code out of an app, or of a pipeline's apps.",
        "unlock": "Let new code in again; what has waited goes on at once.",
    },
    "commands.config": {
        "config": "Show the config vars of an app, or those that new apps of a stage get.",
        "config:get": "Print the value of one config var.",
        "config:set": "Set config vars and restart the app.",
        "config:unset": "Unset config vars and restart the app.",
        "config:build": "Name the config vars that builds see, or show them.",
    },
    "commands.ps": {
        "ps": "List an app's processes.",
        "ps:scale": "Show or set how many processes of each type run: web=2, worker+1, worker-1.",
        "ps:restart": "Start an app's processes anew, without a gap.",
        "logs": "Show what an app writes.",
    },
    "commands.one_offs": {
        "run": "Run a command once, with an app's code and config, in your terminal.",
        "run:detached": "Run a command once and do not wait for it: its output is in the logs.",
        "ps:stop": "Stop a one-off dyno.",
    },
    "commands.login": {
        "login": "Keep a server and your token for it, as a profile.",
        "logout": "Forget a server and your token for it.",
        "auth:token": "Print the token in use, for programs.",
        "profiles": "List the servers you are logged in to.",
    },
    "commands.access": {
        "access": "List who may do what to an app.",
        "access:add": "Give somebody access to an app: view, deploy and operate unless said.",
        "access:update": "Change what somebody may do to an app, to exactly these permissions.",
        "access:remove": "Take somebody's access to an app away.",
        "pipelines:transfer": "Give a pipeline and its owner's apps in it to another owner.",
    },
    "commands.authorizations": {
        "authorizations": "List your tokens.",
        "authorizations:create": "Make a token and show it, this once.",
        "authorizations:info": "Show a token's scope, age and last use.",
        "authorizations:revoke": "Take a token away: it is good for nothing from now on.",
        "authorizations:rotate": "Put another token in the place of one, and show it, this once.",
        "auth:whoami": "Say as whom you work here.",
    },
    "commands.teams": {
        "teams": "List the teams you are in.",
        "teams:create": "Create a team, with you as its admin.",
        "teams:rename": "Give a team another name; what it owns stays its own.",
        "teams:destroy": "Destroy a team that owns nothing any more.",
        "members": "List who is in a team, and who is invited.",
        "members:add": "Add somebody to a team; who has no account yet is invited.",
        "members:set": "Change somebody's role in a team.",
        "members:remove": "Remove somebody from a team, or take an invitation back.",
    },
    "commands.users": {
        "users": "List the users of this installation.",
        "users:create": "Add a user, and show the token they begin with, this once.",
        "users:update": "Change a user's name, GitHub login or administrator's right.",
        "users:remove": "Remove a user with their tokens; what they own is left to you.",
    },
    "commands.dashboard": {
        "dashboard": "Print an address that opens the dashboard in a browser, once, as you.",
    },
    "commands.insight": {
        "deliveries": "List GitHub's webhooks and what came of each.",
        "deliveries:replay": "Process stored deliveries once more.",
        "why": "Tell why a commit, a pull request or an app is as it is.",
    },
    "commands.webhooks": {
        "webhooks": "List the webhooks of an app or a pipeline.",
        "webhooks:add": "Let an address hear what happens to an app, or in a pipeline.",
        "webhooks:info": "Show a webhook.",
        "webhooks:update": "Change what is said of a webhook; one that was stopped starts again.",
        "webhooks:remove": "Take a webhook away, and what it was still to be told.",
        "webhooks:events": "List what webhooks heard of, the oldest first.",
        "webhooks:events:info": "Show an event as receivers are sent it.",
        "webhooks:deliveries": "List the deliveries to webhooks, the oldest first.",
        "webhooks:deliveries:info": "Show a delivery with its last attempt and what was sent.",
        "webhooks:deliveries:retry": "Deliver once more what has ended, or at once what waits.",
    },
    "commands.activity": {
        "activity": "List who changed what, newest first.",
    },
    "commands.github": {
        "github:setup": "Print an address that makes a GitHub App of your own, by a few clicks in a browser.",
        "github:webhook": "Say how a repository's webhook and a token do without a GitHub App, and check them.",
    },
    "commands.git": {
        "git:credentials": "Tell git the token for this server; git calls it by itself.",
    },
    "commands.heroku": {
        "heroku": "Run Heroku's own command line on this Towpath.",
        "heroku-env": "Run a program, or your shell, in which heroku works on this Towpath.",
    },
    "commands.orphans": {
        "orphans": "List what runs of apps that Towpath does not know.",
        "orphans:destroy": "Take away what runs of an app that is not known.",
    },
    "commands.completion": {
        "completion": "Print what completes commands in your shell.",
    },
    "servers": {
        "up": "Run everything on this machine, on one port, until Ctrl-C.",
        "web": "Run only the web process (webhooks and API).",
        "worker": "Run only a worker.",
        "router": "Run only the router.",
        "runner": "Run only the runner, which holds the apps' processes.",
        "migrate": "Bring the database's tables up to date.",
        "secrets:rotate": "Seal all secrets with the newest key of the keys file.",
        "doctor": "Say what this machine can do, which isolation apps get, and what would improve it.",
        "demo": "Tell the whole story on this machine, with a simulated GitHub.",
        "github-sim": "Run the simulated GitHub alone.",
    },
}
