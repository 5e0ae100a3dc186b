"""A small web app: says which version of the code answers."""

import os
from wsgiref.simple_server import make_server

import itsdangerous

GREETING = "Hello from the first version"


def application(environ, start_response):
    """Answer every request with the greeting and the commit."""
    signature = itsdangerous.Signer("demo").sign(GREETING).decode().rpartition(".")[2]
    body = f"{GREETING}\ncommit {os.environ.get('SOURCE_VERSION', '?')}\nsigned {signature}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    make_server("", int(os.environ["PORT"]), application).serve_forever()
