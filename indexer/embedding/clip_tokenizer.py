"""CLIP's tokenizer without torch: byte-pair encoding with the vocabulary that open_clip ships.

The same tokens as open_clip's SimpleTokenizer with its lower-case cleaning; a test compares them. That one cannot be
had without importing torch, which takes ten times as long as a query.
"""

from __future__ import annotations

import functools
import gzip
import html
import importlib.util
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

START, END = 49406, 49407
_MERGES = slice(1, 49152 - 256 - 2 + 1)  # lines of the vocabulary's file, after its heading
_BYTES, _ENDINGS, _JOINED = 0, 256, 512  # first token of single bytes, of bytes that end a word, of merged pairs
_SPLIT = "<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|{letter}+|{digit}|[^\\s{others}]+"


class ClipTokenizer:
    """Phrases to tokens."""

    def __init__(self) -> None:
        lines = gzip.decompress(_vocabulary().read_bytes()).decode().split("\n")[_MERGES]
        self._ranks = dict(zip(lines, range(len(lines)), strict=True))
        self._merged = {line.replace(" ", ""): _JOINED + i for line, i in self._ranks.items()}
        self._known: dict[str, list[int]] = {"<start_of_text>": [START], "<end_of_text>": [END]}

    def __call__(self, text: str, context_length: int) -> list[int]:
        """Start, the tokens of `text`, end; what is past `context_length` is cut, and nothing is padded."""
        clean, find = _ascii if text.isascii() and text.isprintable() and "&" not in text else _any
        words = find(" ".join(clean(text).split()).lower())
        found = [START, *(token for word in words for token in self._tokens(word))]
        return [*found[: context_length - 1], END]

    def _tokens(self, word: str) -> list[int]:
        if word not in self._known:
            letters = [_LETTERS[b] for b in word.encode()]
            self._known[word] = [self._token(part) for part in self._pieces([*letters[:-1], f"{letters[-1]}</w>"])]
        return self._known[word]

    def _pieces(self, parts: list[str]) -> list[str]:
        """Join the pair of lowest rank, everywhere, until no pair is known."""
        while len(parts) > 1:
            pairs = [f"{a} {b}" for a, b in itertools.pairwise(parts)]
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined, i = [], 0
            while i < len(parts):
                here = i < len(pairs) and pairs[i] == best
                joined.append(parts[i] + parts[i + 1] if here else parts[i])
                i += 1 + here
            parts = joined
        return parts

    def _token(self, part: str) -> int:
        if part in self._merged:
            return self._merged[part]
        return (_ENDINGS if part.endswith("</w>") else _BYTES) + _PLACES[part.removesuffix("</w>")]


@functools.cache
def clip_tokenizer() -> ClipTokenizer:
    """The one there is; its vocabulary takes some hundredths of a second to read."""
    return ClipTokenizer()


def _vocabulary() -> Path:
    """The file in open_clip's folder; the package itself is not imported."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("bpe_simple_vocab_16e6.txt.gz")


def _bytes() -> list[int]:
    """Every byte, in the order in which the vocabulary begins with them: printable ones first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*printable, *(b for b in range(256) if b not in printable)]


_LETTERS = {b: chr(b if i < 188 else 68 + i) for i, b in enumerate(_bytes())}  # how the vocabulary writes each byte
_PLACES = {letter: i for i, letter in enumerate(_LETTERS.values())}
_find_ascii = re.compile(_SPLIT.format(letter="[a-z]", digit="[0-9]", others="a-z0-9"), re.IGNORECASE).findall


def _find_any(text: str) -> list[str]:
    import regex

    found: list[str] = regex.findall(
        _SPLIT.format(letter=r"[\p{L}]", digit=r"[\p{N}]", others=r"\p{L}\p{N}"), text, regex.IGNORECASE
    )
    return found


def _mended(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))


# of printable ASCII without entities there is nothing to mend, and Python's own `re` knows its letters
_ascii: tuple[Callable[[str], str], Callable[[str], Sequence[str]]] = (str, _find_ascii)
_any: tuple[Callable[[str], str], Callable[[str], Sequence[str]]] = (_mended, _find_any)
