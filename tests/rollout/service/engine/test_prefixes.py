from lachesis.rollout.service.engine.prefixes import Key, Prefixes


def test_prefixes_are_found_longest_first() -> None:
    index = Prefixes[str]()
    for data, value in (b"ab", "one"), (b"abcd", "two"), (b"ac", "one"):
        index.add(Key.of(data), value)
    assert list(index.beginning(b"abcde")) == [["two"], ["one"]]
    assert list(index.beginning(b"abc")) == [["one"]]
    index.remove(Key.of(b"ab"), "one")
    assert list(index.beginning(b"abc")) == []
    assert index.at(Key.of(b"ac")) == ["one"]
