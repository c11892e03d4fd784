"""Secrets in text that is written or shown."""

import pytest

from lachesis.verifiers.secrets import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:hunter2@host:80/v1", "http://<redacted>@host:80/v1"),
        ("https://key@host/v1", "https://<redacted>@host/v1"),
        ("see https://u:p@a/ and https://v:q@b/", "see https://<redacted>@a/ and https://<redacted>@b/"),
        ("http://host/v1?api_key=abc&x=1", "http://host/v1?api_key=<redacted>&x=1"),
        ("http://host/v1?x=1&access_token=abc#top", "http://host/v1?x=1&access_token=<redacted>#top"),
        ("http://host/?key=abc", "http://host/?key=<redacted>"),
        ("http://host/?X-Amz-Signature=abc", "http://host/?X-Amz-Signature=<redacted>"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer <redacted>"),
        ("authorization: basic dXNlcjpw", "authorization: basic <redacted>"),
        ("the key is sk-12345", "the key is <redacted>"),
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("mail ann@host, http://host/@ann", "mail ann@host, http://host/@ann"),
        ("http://host/?monkey=5&keys=2", "http://host/?monkey=5&keys=2"),
        ("a bearer of news", "a bearer of news"),
        ("git@github.com:x/y", "git@github.com:x/y"),
    ],
)
def test_secrets_are_replaced_and_other_text_stays(text: str, shown: str) -> None:
    assert without_secrets(text, "sk-12345", "") == shown
