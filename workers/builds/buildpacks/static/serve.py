"""Serve the files of a static site; `static.json` may name root, clean_urls, error_page and routes.

serve.py check /app    say whether static.json can be used
serve.py serve /app    serve on $PORT
"""
# ruff: noqa: INP001, S104  (a program of its own; the sandbox decides who reaches the port)

import fnmatch
import json
import os
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

HIDDEN = frozenset({".towpath", ".profile.d", ".git", "static.json", "Procfile", "app.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What to serve."""

    root: Path
    clean_urls: bool = False
    error_page: str = ""
    routes: dict[str, str] = field(default_factory=dict)

    def find(self, url: str) -> Path | None:
        """Return the file for the path of a request, None if there is none that may be seen."""
        name = unquote(urlsplit(url).path).lstrip("/")
        routed = [target for pattern, target in self.routes.items() if fnmatch.fnmatchcase(f"/{name}", pattern)]
        clean = [f"{name}.html"] if self.clean_urls and name else []
        for candidate in (name, f"{name}/index.html", *clean, *routed):
            file = self._file(candidate)
            if file is not None:
                return file
        return None

    def page_for_errors(self) -> Path | None:
        """Return the page to show for what is not there."""
        return self._file(self.error_page) if self.error_page else None

    def _file(self, name: str) -> Path | None:
        parts = name.strip("/").split("/")
        if "\0" in name or HIDDEN.intersection(parts):
            return None
        file = (self.root / name.strip("/")).resolve()
        return file if file.is_file() and file.is_relative_to(self.root) else None


def load(app: Path) -> Site:
    """Read static.json, or end with a line that says what is wrong in it."""
    settings: dict[str, Any] = {}
    if (app / "static.json").is_file():
        try:
            settings = json.loads((app / "static.json").read_text())
        except ValueError as error:
            raise SystemExit(f" !     static.json cannot be read: {error}.") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("routes", {}), dict):
        raise SystemExit(" !     static.json must be an object, and its routes too.")
    default = "." if (app / "index.html").is_file() or not (app / "public_html").is_dir() else "public_html"
    root = (app / str(settings.get("root", default))).resolve()
    if not root.is_dir() or not root.is_relative_to(app.resolve()):
        raise SystemExit(f" !     The root {settings.get('root')!r} in static.json is not a directory of the app.")
    return Site(
        root=root,
        clean_urls=settings.get("clean_urls") is True,
        error_page=str(settings.get("error_page", "")),
        routes={str(pattern): str(target) for pattern, target in settings.get("routes", {}).items()},
    )


class Handler(SimpleHTTPRequestHandler):
    """Answer GET and HEAD with files, nothing else."""

    site: Site
    protocol_version = "HTTP/1.1"
    server_version = "towpath-static"
    sys_version = ""

    def send_head(self) -> BinaryIO | None:
        """Send the headers and return what the body is copied from."""
        status, file = HTTPStatus.OK, self.site.find(self.path)
        if file is not None and file.name == "index.html" and not self._names_a_directory(file):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", f"/{urlsplit(self.path).path.strip('/')}/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if file is None:
            status, file = HTTPStatus.NOT_FOUND, self.site.page_for_errors()
        body = file.read_bytes() if file is not None else b"Not found\n"
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(file)) if file is not None else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)

    def _names_a_directory(self, file: Path) -> bool:
        """Whether relative links of an index page resolve: its path must end in a slash if it stands for a folder."""
        path = unquote(urlsplit(self.path).path)
        return path.endswith("/") or (self.site.root / path.strip("/")).resolve() != file.parent


def main(mode: str, app: Path) -> None:
    """Check or serve."""
    site = load(app)
    if mode == "serve":
        handler = type("SiteHandler", (Handler,), {"site": site})
        ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
