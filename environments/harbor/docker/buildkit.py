"""BuildKit, Docker's second builder: which Dockerfiles need it, and the text in the log of a build that it sends."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VERSION = "2"
"""The value of ``version`` in a request to ``/build`` that asks the daemon for BuildKit."""

_CONTINUED = re.compile(r"\\[ \t]*(?:\r?\n[ \t]*)+")
_COMMENT = re.compile(r"^[ \t]*#(?![ \t]*syntax[ \t]*=).*\n?", re.MULTILINE | re.IGNORECASE)
_SYNTAX = r"^[ \t]*#[ \t]*syntax[ \t]*="
_FLAG = r"^[ \t]*(?:ONBUILD[ \t]+)?(?:RUN|COPY|ADD)[ \t]+(?:--\S+[ \t]+)*--(?!from\b|chown\b)[a-z]"
_HEREDOC = r"^[ \t]*(?:ONBUILD[ \t]+)?(?:RUN|COPY|ADD)\b.*<<-?[\"'\\]?[a-z_]"
_PLATFORM = r"^[ \t]*(?:ARG|FROM)[ \t]+.*\b(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)\b"
_GIT = r"^[ \t]*ADD[ \t]+(?:--\S+[ \t]+)*(?:git@|\S+\.git(?:#|[ \t]))"
_NEEDED = re.compile("|".join((_SYNTAX, _FLAG, _HEREDOC, _PLATFORM, _GIT)), re.MULTILINE | re.IGNORECASE)
_CURES = {
    re.compile(r"unknown (instruction|flag)", re.IGNORECASE): "If a newer Dockerfile syntax knows it (here-documents, "
    "COPY --link), write '# syntax=docker/dockerfile:1' as the first line of the Dockerfile, or use Docker 23 or later",
    re.compile(r"no active session", re.IGNORECASE): "Secrets, SSH keys and logins to registries are not given to "
    "BuildKit here: pull a private base image first, or build the image yourself and name it in docker_image",
}


def needs_buildkit(dockerfile: Path) -> bool:
    """Whether the classic builder would refuse the Dockerfile: it names a syntax, adds a Git repository, or has
    here-documents, other options than ``--from`` and ``--chown``, or the arguments of the platform."""
    text = dockerfile.read_text(encoding="utf-8", errors="replace")
    return _NEEDED.search(_CONTINUED.sub(" ", _COMMENT.sub("", text))) is not None


def cure_of(error: str) -> str:
    """What helps against an error of BuildKit, or an empty text."""
    return next((cure for pattern, cure in _CURES.items() if pattern.search(error)), "")


class Trace:
    """Reads the log of a build in the events that the daemon sends, in the form of BuildKit's ``StatusResponse``."""

    def __init__(self) -> None:
        self._begun: set[bytes] = set()

    def text(self, event: Mapping[str, Any]) -> str:
        """The steps that begin with this event, and what the steps print; empty for events of another kind."""
        if event.get("id") != "moby.buildkit.trace" or not isinstance(event.get("aux"), str):
            return ""
        try:
            return b"".join(self._lines(base64.b64decode(event["aux"]))).decode(errors="replace")
        except (binascii.Error, IndexError):  # a form that a later daemon may have
            return ""

    def _lines(self, status: bytes) -> Iterator[bytes]:
        for number, content in _fields(status):
            fields = dict(_fields(content)) if number in (1, 3) else {}
            if number == 3:  # VertexLog: msg
                yield fields.get(4, b"")
            elif 5 in fields and fields.get(1, b"") not in self._begun:  # Vertex: digest, name, started
                self._begun.add(fields.get(1, b""))
                yield fields.get(3, b"") + b"\n"


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of the length-delimited fields of a Protocol Buffers message; numbers are skipped."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 2:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at += {1: 8, 5: 4}.get(kind, len(message))


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at
