"""An environment for the soak: posts groups until it is killed, and writes down each that was acknowledged.

It imports nothing but the standard library, so that it is up again in no time. Every post has a mark of its own. A post
whose answer does not come may have been taken or not; it is never posted again, so no group is in the queue twice.

    python soak_environment.py PORT LOG          three posters, each with marks of its own
    python soak_environment.py PORT LOG MARKS    one poster, with the marks in the file MARKS, one a line
"""

import http.client
import json
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

GROUP_SIZE = 4


class Service:
    """The service at a port; a request is sent once."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, or None if none came or the service has no room."""
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body))
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            time.sleep(0.02)
            return None
        if response.status == 503:
            return None
        assert response.status == 200, (path, response.status, text)
        return json.loads(text)


def group(mark: str, env_id: int) -> dict[str, Any]:
    """The group that has ``mark``: always the same one, and one in four of an odd size."""
    rng = random.Random(mark)
    sizes = [GROUP_SIZE] * 6 + [GROUP_SIZE - 1, GROUP_SIZE - 2]
    tokens = [[rng.randrange(40, 120) for _ in range(rng.randrange(4, 12))] for _ in range(rng.choice(sizes))]
    return {
        "tokens": tokens,
        "masks": [[-100, -100, *row[2:]] for row in tokens],
        "scores": [rng.random() for _ in tokens],
        "group_overrides": {"mark": mark},
        "env_id": env_id,
    }


def post(port: int, log: int, env_id: int, marks: Iterable[str]) -> None:
    """Post a group for each mark; a line in ``log`` for each that was acknowledged."""
    service = Service(port)
    for mark in marks:
        if service.ask("POST", "/scored_data", group(mark, env_id)) is not None:
            os.write(log, f"{mark}\n".encode())


def new_marks() -> Iterator[str]:
    while True:
        yield uuid.uuid4().hex


def main(port: int, path: str, marks: str = "") -> None:
    service = Service(port)
    registration = {"max_token_length": 32, "desired_name": "soak", "weight": 1.0, "group_size": GROUP_SIZE}
    while (answer := service.ask("POST", "/register-env", registration) or {}).get("status") != "success":
        time.sleep(0.02)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if marks:
        post(port, log, answer["env_id"], Path(marks).read_text().split())
        return
    for _ in range(3):
        threading.Thread(target=post, args=(port, log, answer["env_id"], new_marks())).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
