"""What several releases print at once: line by line, each behind the name of its app."""

import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from service.cli.client import Client
from service.cli.errors import Stop

_LAST_SECONDS = 5.0
"""How long the end of an output is waited for once its release is over."""


@dataclass(slots=True, kw_only=True)
class Outputs:
    """Streams that are read side by side, and written by nobody but who asks for them here."""

    client: Client
    prefixed: bool
    _texts: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)
    _readers: dict[str, threading.Thread] = field(default_factory=dict)

    def follow(self, app: str, url: str) -> None:
        """Begin to read an app's output, once."""
        if app not in self._readers:
            reader = threading.Thread(target=self._read, args=(app, url), daemon=True)
            self._readers[app] = reader
            reader.start()

    def coming(self, seconds: float) -> list[str]:
        """What has come, or comes within that time."""
        texts = []
        try:
            texts.append(self._texts.get(timeout=seconds))
            while True:
                texts.append(self._texts.get_nowait())
        except queue.Empty:
            return texts

    def rest_of(self, app: str) -> list[str]:
        """What comes until an app's output ends; one that does not end is not waited for long."""
        texts, until = [], time.monotonic() + _LAST_SECONDS
        reader = self._readers.get(app)
        while reader is not None and reader.is_alive() and time.monotonic() < until:
            texts += self.coming(0.05)
        return texts + self.coming(0)

    def _read(self, app: str, url: str) -> None:
        line = ""
        with suppress(Stop):  # whoever waits for the release finds out by itself
            for text in self.client.stream(url):
                if not self.prefixed:
                    self._texts.put(text)
                    continue
                *whole, line = f"{line}{text}".split("\n")
                for each in whole:
                    self._texts.put(f"[{app}] {each}\n")
        if line:
            self._texts.put(f"[{app}] {line}\n")
