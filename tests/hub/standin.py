"""A hub on loopback that takes commits as Hugging Face's does: small files within, large ones by LFS."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

TOKEN = "hf_secret_of_the_test"


@dataclass
class StandIn:
    """What it holds, and what it was asked.

    Attributes:
        repos: files of each repository, by KINDs/OWNER/NAME.
        private: repositories that were made private.
        refuses: the status that it answers every commit with; 0 takes them.
        asked: method and path of every request.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    refuses: int = 0
    asked: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hub.answer(self)

            def do_PUT(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(f"{request.command} {path}")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if path.startswith("/objects/"):
            self.objects[path.rpartition("/")[2]] = body
            status, said = 200, {}
        elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, said = 401, {"error": "Invalid credentials in Authorization header"}
        else:
            status, said = self._answer(path, body)
        text = json.dumps(said).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def _answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/api/validate-yaml":
            return 200, {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            kind = asked.get("type") or "model"
            repo = f"{kind}s/{asked.get('organization')}/{asked['name']}"
            self.repos.setdefault(repo, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.private.add(repo)
            place = repo.removeprefix("models/")
            return 200, {"url": f"{self.url}/{place}", "id": repo.partition("/")[2]}
        if path.endswith("/preupload/main"):
            return 200, {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
            }
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": [
                    {**found, "actions": {"upload": {"href": f"{self.url}/objects/{found['oid']}"}}}
                    for found in json.loads(body)["objects"]
                ],
            }
        if path.endswith("/commit/main"):
            if self.refuses:
                return self.refuses, {"error": "a text of the hub's own"}
            repo = path.removeprefix("/api/").removesuffix("/commit/main")
            self._commit(self.repos[repo], [json.loads(line) for line in body.splitlines()])
            return 200, {"commitUrl": f"{self.url}/{repo}/commit/abc", "commitOid": "abc"}
        return 404, {"error": "Not Found"}

    def _commit(self, files: dict[str, bytes], lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
