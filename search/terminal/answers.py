"""How answers look on a terminal: verdict, reason and numbers, and the images behind them, as links or drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

from fsearch.indexer.sources.urls import is_url
from fsearch.search.answer import Answer, Answers, heading
from fsearch.search.terminal.explain import explanation
from fsearch.search.terminal.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from fsearch.search.terminal.images import Strips


def print_answers(
    answers: Answers, console: Console, explain: bool = False, nearest: bool = False, strips: Strips | None = None
) -> None:
    """All answers, what the worst of them hides, then the notes; `strips` draw the images of each."""
    for answer in (*answers.answers, *answers.hidden):
        if answer in answers.hidden[:1]:
            console.print(Text(printable(heading(answers.hidden))), soft_wrap=True)
        console.print(answer_text(answer, nearest), soft_wrap=True)
        if strips is not None:
            strips.draw(answer.shown_images(nearest))
        if explain:
            console.print(Text(printable(explanation(answer, answers.correction))), soft_wrap=True)
    for note in answers.notes:
        console.print(Text(printable(f"note: {note}"), style="yellow"), soft_wrap=True)


def answer_text(answer: Answer, nearest: bool = False) -> Text:
    """One answer with its numbers and images: those that fail and those that do not, or the nearest."""
    head, *rest = answer.lines()
    text = Text(printable(head), style=answer.verdict.style)
    text.append("".join("\n" + printable(line) for line in rest), style="default")
    for word, image in answer.shown_images(nearest):
        line, key = printable(f"\n  {word:<7}  {image}"), printable(image.key)
        text.append(line.removesuffix(key), style="default").append(key, style=_linked(image.path))
    return text


def _linked(path: str | None) -> Style:
    """The style of what opens an image where it is clicked: a link, which only a terminal is sent (OSC 8)."""
    plain = Style(color="default", bold=False)
    if path is None or printable(path) != path:
        return plain
    return plain + Style(link=path if is_url(path) else Path(path).absolute().as_uri())
