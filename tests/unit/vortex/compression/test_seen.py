"""What stands in the conversation already goes first."""

from __future__ import annotations

from ossa.vortex import MemoryOriginals, compress, decompress

OLD = "\n".join(f"service-{n:03d} listens on port {8000 + n} since 09:12" for n in range(80))
NEW = "\n".join(f"worker-{n:03d} listens on port {9000 + n} since 09:12" for n in range(80))
ASKED = "Which services listen on which port?"


def kept(content: str, word: str, *, seen: str = "") -> int:
    return compress(content, ASKED, reduction=0.8, floor=False, seen=seen).text.count(word)


def test_new_lines_stay_before_those_that_were_seen() -> None:
    content = f"{OLD}\n{NEW}"
    assert kept(content, "service-") > 5
    assert kept(content, "service-", seen=OLD) == 0
    assert kept(content, "worker-", seen=OLD) > kept(content, "worker-")
    found = compress(content, ASKED, reduction=0.8, floor=False, seen=OLD)
    assert any(left.why == "repeated" for left in found.dropped)


def test_lines_that_differ_in_numbers_alone_come_after_new_ones() -> None:
    content = f"{OLD.replace('09:12', '09:13')}\n{NEW}"
    assert kept(content, "worker-", seen=OLD) > kept(content, "worker-")


def test_what_was_seen_needs_no_floor() -> None:
    content = f"{OLD}\n{NEW}"
    assert compress(content, seen=OLD).tokens_after <= compress(content).tokens_after


def test_it_still_comes_back_whole() -> None:
    originals = MemoryOriginals()
    found = compress(f"{OLD}\n{NEW}", seen=OLD, originals=originals)
    assert decompress(found.text, originals) == f"{OLD}\n{NEW}"
