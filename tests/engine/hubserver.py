"""A server on 127.0.0.1 that speaks as the model hub does, and as a package index.

Enough of both for huggingface_hub and for pip: what a repository holds, its files by commit with
HEAD and ranges; a project's page with links to its wheels.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """A repository at one commit.

    `lies` are contents to send instead of the true ones, of which the hash is still told; `refs`
    are branches and tags that lead to the commit, beside `main`.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False
    status: int = 0
    tags: tuple[str, ...] = ("license:mit",)
    lies: dict[str, bytes] = field(default_factory=dict)
    refs: tuple[str, ...] = ()


@dataclass
class HubServer:
    """What the server has, and what it was asked for.

    `pause` is how long it rests after each `piece` of a large file; `drop` how often it breaks off
    half-way through one.
    """

    url: str
    repos: dict[str, Repo] = field(default_factory=dict)
    wheels: dict[str, bytes] = field(default_factory=dict)
    pause: float = 0.0
    piece: int = 4096
    drop: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def got(self, ending: str) -> int:
        """How often a path that ends so was fetched."""
        return sum(method == "GET" and path.endswith(ending) for method, path in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        try:
            if path.startswith("/simple/"):
                self._project(path.split("/")[2], body)
            elif path.startswith("/wheels/"):
                self._send(200, self.hub.wheels[path.removeprefix("/wheels/")], {}, body)
            elif path.startswith("/api/models/"):
                self._info(path.removeprefix("/api/models/"), body)
            elif "/resolve/" in path:
                self._file(path, body)
            else:
                self._send(404, b"", {}, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _project(self, project: str, body: bool) -> None:
        names = [n for n in self.hub.wheels if n.split("-")[0].replace("_", "-") == project]
        links = "".join(f'<a href="/wheels/{name}">{name}</a>' for name in names)
        self._send(200 if names else 404, links.encode(), {"Content-Type": "text/html"}, body)

    def _info(self, rest: str, body: bool) -> None:
        name, _, revision = rest.partition("/revision/")
        repo = self.hub.repos.get(name)
        if repo is None:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            return
        if repo.status:
            self._send(repo.status, b"{}", {}, body)
            return
        if revision not in ("", "main", repo.commit, *repo.refs):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            return
        siblings = []
        for file, data in repo.files.items():
            item: dict[str, object] = {"rfilename": file, "size": len(data), "blobId": "0"}
            if file.endswith((".safetensors", ".bin")):
                sha256 = hashlib.sha256(data).hexdigest()
                item["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(item)
        info = {
            "id": name,
            "modelId": name,
            "sha": repo.commit,
            "private": False,
            "gated": "manual" if repo.gated else False,
            "tags": list(repo.tags),
            "downloads": 0,
            "siblings": siblings,
        }
        self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)

    def _file(self, path: str, body: bool) -> None:
        name, _, rest = path.lstrip("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        repo = self.hub.repos.get(name)
        if repo is None or commit != repo.commit:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        elif repo.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body)
        elif file not in repo.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        else:
            data = repo.lies.get(file, repo.files[file])
            etag = hashlib.sha256(data).hexdigest()
            headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            self._send(200, data, headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        wanted = self.headers.get("Range", "")
        if status == 200 and wanted.startswith("bytes="):
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(low), int(high) + 1 if high else len(data)
            headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
            status, data = 206, data[start:stop]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        large = len(data) > 8192
        if large and self.hub.drop > 0:
            self.hub.drop -= 1
            data = data[: len(data) // 2]
            self.close_connection = True
        for start in range(0, len(data), self.hub.piece):
            self.wfile.write(data[start : start + self.hub.piece])
            if large and self.hub.pause:
                if self.hub.closing.is_set():
                    self.close_connection = True
                    return
                time.sleep(self.hub.pause)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run a server while the block runs."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    hub = HubServer(f"http://127.0.0.1:{server.server_address[1]}")
    handler.hub = hub  # type: ignore[attr-defined]
    # Connections that a client keeps open would keep their threads alive.
    handler.timeout = 5  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
