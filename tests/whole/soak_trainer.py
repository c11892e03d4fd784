"""A trainer for the soak: trains each group once, as docs/service.md says how.

    python soak_trainer.py PORT LOG

Its checkpoint is the file LOG, with one line for each batch: the numbers and the marks of the groups that were trained
in it. It registers whenever it has started or an answer did not come, so that a batch that it has not trained comes
back; groups whose numbers it has written down are left out. It imports nothing but the standard library.
"""

import http.client
import json
import os
import sys
import time
from typing import Any

REGISTRATION = {
    "wandb_group": "",
    "wandb_project": "",
    "batch_size": 8,
    "max_token_len": 32,
    "checkpoint_dir": "",
    "save_checkpoint_interval": 1,
    "starting_step": 0,
    "num_steps": 1_000_000,
}


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
    connection.request(method, f"{path}?trainer=soak", None if body is None else json.dumps(body))
    response = connection.getresponse()
    text = response.read()
    assert response.status == 200, (path, response.status, text)
    return json.loads(text)


def train(connection: http.client.HTTPConnection, log: int, trained: set[int]) -> None:
    """Train batch after batch until an answer does not come."""
    ask(connection, "POST", "/register", REGISTRATION)
    while True:
        answer = ask(connection, "GET", "/batch")
        if answer["batch"] is None:
            time.sleep(0.01)
            continue
        pairs = zip(answer["numbers"], answer["batch"], strict=True)
        fresh = {number: group["group_overrides"]["mark"] for number, group in pairs if number not in trained}
        if fresh:
            os.write(log, (json.dumps(list(fresh.items())) + "\n").encode())
            os.fsync(log)
            trained.update(fresh)


def main(port: int, path: str) -> None:
    log = os.open(path, os.O_RDWR | os.O_CREAT)
    whole, _, _ = os.pread(log, os.fstat(log).st_size, 0).rpartition(b"\n")
    lines = whole.splitlines()
    os.ftruncate(log, len(whole) + bool(lines))  # a line that was cut off was not trained
    os.lseek(log, 0, os.SEEK_END)
    trained = {number for line in lines for number, _ in json.loads(line)}
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            train(connection, log, trained)
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(0.02)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
