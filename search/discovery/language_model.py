"""A language model that proposes phrases: a server that speaks OpenAI's chat completions, at an address of the user's.

It is asked only where the user names it. It sees what the proposing half of the images said, in total: phrases, their
lifts, how many images show them; and pictures only where the user says so too. What it answers is read as a list of
phrases and nothing else, within bounds of time and bytes; who proposes does not judge.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.http import Http, HttpError
from fsearch.search.hypotheses import MAX_WORDS

KEY = "FSEARCH_LLM_KEY"  # in the environment: sent as a bearer token, and nowhere kept
MAX_BYTES, TIMEOUT = 2**20, 120.0  # of one answer, and seconds for it
PHRASES = 40  # of one answer that are read
_ASKED = (
    "You look for what makes a vision model fail. Photographs were embedded with CLIP, and for each phrase below the "
    "mean loss of images that show it is compared with that of all others (positive: worse). Propose up to {count} "
    "short, visual, concrete English phrases for kinds of image on which the loss may be higher still: causes behind "
    "those that stand out, narrower kinds, combinations, and things not tried yet. Answer with a JSON list of strings "
    "and nothing else.\n\n{said}"
)
_PICTURES = "The first {failing} pictures have high losses, the other {passing} low ones."


class Said(NamedTuple):
    """What the proposing half said of a phrase: its lift in standard deviations of the loss, and how many images."""

    phrase: str
    lift: float
    images: float


@dataclass(slots=True)
class LanguageModel:
    """The model `name` at `url`; by default the first that the server lists."""

    url: str
    name: str | None = None
    _http: Http = field(default_factory=lambda: Http(concurrent=1, retries=1, backoff=0.5, timeout=TIMEOUT))

    def __post_init__(self) -> None:
        """Raise BadInputError where it does not answer, before anything is computed."""
        if not self.url.startswith(("http://", "https://")):
            raise BadInputError(f"--llm {self.url}: give the address of a server, like http://localhost:8000/v1")
        self.url = self.url.rstrip("/").removesuffix("/chat/completions")
        if self.name is None:
            found = self._ask("GET", "/models")
            self.name = _listed(found)
            if self.name is None:
                raise BadInputError(f"--llm {self.url}: it lists no models; name one with --llm-model")

    def propose(self, said: Sequence[Said], failing: Sequence[bytes] = (), passing: Sequence[bytes] = ()) -> list[str]:
        """Phrases it proposes, after what was said so far; pictures are WebP. Raises BadInputError."""
        lines = [f"{s.phrase}: {s.lift:+.2f} standard deviations, {s.images:.0f} images" for s in said]
        content: list[dict[str, Any]] = [
            {"type": "text", "text": _ASKED.format(count=PHRASES, said="\n".join(lines) or "Nothing was tried yet.")}
        ]
        if failing or passing:
            content.append({"type": "text", "text": _PICTURES.format(failing=len(failing), passing=len(passing))})
            content += [{"type": "image_url", "image_url": {"url": _data_url(p)}} for p in (*failing, *passing)]
        simple = content if len(content) > 1 else content[0]["text"]
        body = {"model": self.name, "messages": [{"role": "user", "content": simple}], "max_tokens": 2_000}
        return read_phrases(_content(self._ask("POST", "/chat/completions", body)))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        key = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            status, data = self._http.request(method, self.url + path, MAX_BYTES, body, headers)
        except HttpError as error:
            raise BadInputError(f"--llm {self.url} does not answer: {error}") from error
        if status != 200:
            raise BadInputError(f"--llm {self.url}{path}: HTTP {status}; see --llm-model, and ${KEY} for a key")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"--llm {self.url}{path}: no JSON came back") from error


def read_phrases(text: str) -> list[str]:
    """The phrases of an answer: a JSON list of strings somewhere in it. Anything else is none.

    >>> read_phrases('Here: ["a dark photo", 3, "a dark photo"]')
    ['a dark photo']
    """
    start, end = text.find("["), text.rfind("]")
    try:
        found = json.loads(text[start : end + 1]) if 0 <= start < end else []
    except (ValueError, RecursionError):
        return []
    phrases = dict.fromkeys(p.strip() for p in found if isinstance(p, str))
    return [p for p in phrases if p and p.isprintable() and _short(p)][:PHRASES]


def rounds(
    model: LanguageModel,
    count: int,
    said: Sequence[Said],
    weigh: Callable[[list[str]], list[Said]],
    pictures: tuple[Sequence[bytes], Sequence[bytes]] = ((), ()),
) -> tuple[list[str], list[str]]:
    """The phrases of `count` rounds, each told what became of those before; and notes on what went wrong.

    `weigh` gives what the proposing half says of phrases.
    """
    known, proposed, notes = list(said), list[str](), list[str]()
    for number in range(1, count + 1):
        try:
            found = model.propose(known, *(pictures if number == 1 else ((), ())))
        except BadInputError as error:
            notes.append(f"round {number} of the language model brought nothing: {error}")
            break
        fresh = [p for p in found if p.lower() not in {k.phrase.lower() for k in known}]
        if not fresh:
            notes.append(f"round {number} of the language model brought no new phrase")
            break
        known += weigh(fresh)
        proposed += fresh
    return proposed, notes


def _short(phrase: str) -> bool:
    return len(phrase.split()) <= MAX_WORDS and len(phrase) <= 5 * MAX_WORDS


def _data_url(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def _content(answer: Any) -> str:
    """The text of a chat completion; empty where it is none."""
    try:
        said = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return said if isinstance(said, str) else ""


def _listed(answer: Any) -> str | None:
    try:
        name = answer["data"][0]["id"]
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None
