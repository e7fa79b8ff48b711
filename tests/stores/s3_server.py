"""An S3 server in this process: moto, behind a layer that logs requests, delays them and makes them fail."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple


class Request(NamedTuple):
    """A request as the server saw it."""

    method: str
    path: str
    query: str
    range: str


# Called with each request before it is answered: raises `RefusedError` to make it fail.
Fault = Callable[[Request], None]


class RefusedError(Exception):
    """Answers a request with an error instead.

    Attributes:
        code: The status.
        name: S3's name of the error.
    """

    def __init__(self, code: int, name: str) -> None:
        super().__init__(code, name)
        self.code = code
        self.name = name


class S3Server:
    """A running server.

    Attributes:
        requests: What was asked for since `clear`.
        latency: How many seconds each request takes at least.
        fault: See `Fault`.
        most_at_once: How many requests were under way at one time since `counted` began.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:
                pass

        self._application = DomainDispatcherApplication(create_backend_app)
        self.requests: list[Request] = []
        self.latency = 0.0
        self.fault: Fault | None = None
        self.most_at_once = 0
        self._num_now = 0
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], environ.get("HTTP_RANGE", "")
        )
        self.requests.append(request)
        with self._lock:
            self._num_now += 1
            self.most_at_once = max(self.most_at_once, self._num_now)
        time.sleep(self.latency)
        with self._lock:
            self._num_now -= 1
        try:
            if self.fault is not None:
                self.fault(request)
        except RefusedError as refused:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = f"<Error><Code>{refused.name}</Code><Message>refused by the test</Message></Error>".encode()
            start_response(f"{refused.code} Refused", [("Content-Length", str(len(body))), ("Connection", "close")])
            return [body]
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Request]]:
        """The requests of the block."""
        self.requests.clear()
        self.most_at_once = 0
        found: list[Request] = []
        yield found
        found += self.requests

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
