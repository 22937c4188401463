"""A Hugging Face hub on this machine: what its client asks for, and no more."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_API = re.compile(r"/api/models/([^/]+/[^/?]+)(?:/(revision|tree)/([^/?]+))?(?:\?.*)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")


@dataclass
class Repository:
    """A model: its files at one commit.

    Attributes:
        files: Their contents by name.
        error: What the hub answers in their place: a status and an error code.
    """

    files: dict[str, bytes]
    error: tuple[int, str] | None = None

    @classmethod
    def of(cls, folder: Path) -> Repository:
        """The files of a model's folder."""
        return cls({file.name: file.read_bytes() for file in folder.iterdir()})

    @property
    def commit(self) -> str:
        """A hash of all that is in it."""
        whole = hashlib.sha1(usedforsecurity=False)
        for name in sorted(self.files):
            whole.update(name.encode() + self.files[name])
        return whole.hexdigest()


@dataclass
class Hub:
    """The hub.

    Attributes:
        url: For `HF_ENDPOINT`.
        models: Repositories by name.
        sent: Files that were sent, each `NAME/FILE`.
        tokens: Of those who asked for a model.
    """

    url: str = ""
    models: dict[str, Repository] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub without models, while the context lasts."""
    hub = Hub()
    handler = type("_Bound", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        api, file = _API.fullmatch(self.path), _FILE.match(self.path)
        match = api or file
        if match:
            self.hub.tokens.add(self.headers.get("authorization"))
        model = self.hub.models.get(match[1]) if match else None
        if match is None or model is None:
            self._refuse(401, "RepoNotFound")
        elif model.error is not None:
            self._refuse(*model.error)
        elif api is not None:
            self._describe(api, model)
        else:
            self._send_file(match[1], match[2], match[3], model)

    def _describe(self, match: re.Match[str], model: Repository) -> None:
        name, what, revision = match.groups()
        if revision not in (None, "main", model.commit):
            self._refuse(404, "RevisionNotFound")
            return
        about: object = {
            "id": name,
            "sha": model.commit,
            "siblings": [{"rfilename": each} for each in model.files],
        }
        if what == "tree":
            about = [
                {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}
                for path, data in model.files.items()
            ]
        self._send(json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _send_file(
        self, name: str, revision: str, path: str, model: Repository
    ) -> None:
        if revision not in ("main", model.commit) or path not in model.files:
            self._refuse(404, "EntryNotFound")
            return
        data = model.files[path]
        headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": model.commit}
        if self.command == "GET":
            self.hub.sent.append(f"{name}/{path}")
        self._send(data, headers)

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code}, status)

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
