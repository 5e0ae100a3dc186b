"""Sample repositories that are built in a moment: the server runs on the managed interpreter, without any dependency."""

import json

PYTHON = "/opt/towpath/runtimes/python/bin/python3"

SERVER = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = {text!r}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        told = f"{{TEXT}} commit={{os.environ.get('SOURCE_VERSION')}} release={{os.environ.get('HEROKU_RELEASE_VERSION')}}"
        told += "".join(f" {{name}}={{os.environ[name]}}" for name in sorted(os.environ) if name.startswith("SHOW_"))
        body = told.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


print("serving", TEXT, flush=True)
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""

WAITING = """
const seconds = Number(require("fs").readFileSync("seconds.txt", "utf8"));
const end = Date.now() + seconds * 1000;
let tick = 0;
const timer = setInterval(() => {
  console.log(`tick ${++tick}`);
  if (Date.now() > end) { console.log("waited enough"); clearInterval(timer); }
}, 100);
"""

PACKAGE = {
    "name": "slow",
    "version": "1.0.0",
    "private": True,
    "scripts": {"heroku-postbuild": "node waiting.js"},
}


def page(text: str) -> dict[str, str]:
    """What a commit changes so that the app answers with `text`."""
    return {"server.py": SERVER.format(text=text)}


def quick(text: str, *, app_json: dict[str, object] | None = None) -> dict[str, str]:
    """A repository whose build takes no time."""
    files = {"Procfile": f"web: {PYTHON} -I server.py\n", **page(text)}
    return files | ({"app.json": json.dumps(app_json)} if app_json is not None else {})


def slow(text: str, *, seconds: float) -> dict[str, str]:
    """A repository whose build prints a line ten times a second, for so long."""
    return {**quick(text), "package.json": json.dumps(PACKAGE), "waiting.js": WAITING, "seconds.txt": str(seconds)}
