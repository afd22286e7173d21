"""A pen in units of a face: half the width of a head is one, and the middle of the head is the origin."""

from __future__ import annotations

from PIL import ImageDraw

from fsearch.data.portraits.backgrounds import Colour


class Pen:
    """Draws in face units on a pixel canvas."""

    def __init__(self, canvas: ImageDraw.ImageDraw, centre: tuple[float, float], r: float) -> None:
        self.canvas, self.centre, self.r = canvas, centre, r

    def moved(self, down: float) -> Pen:
        """The same pen, with its origin `down` units lower."""
        return Pen(self.canvas, (self.centre[0], self.centre[1] + down * self.r), self.r)

    def _box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        cx, cy = self.centre[0] + x * self.r, self.centre[1] + y * self.r
        return (cx - w * self.r, cy - h * self.r, cx + w * self.r, cy + h * self.r)

    def ellipse(self, x: float, y: float, w: float, h: float, fill: Colour) -> None:
        """Fill an ellipse around (x, y) of half axes w and h."""
        self.canvas.ellipse(self._box(x, y, w, h), fill=fill)

    def ring(self, x: float, y: float, w: float, h: float, colour: Colour, width: float) -> None:
        """Outline such an ellipse."""
        self.canvas.ellipse(self._box(x, y, w, h), outline=colour, width=self.px(width))

    def block(self, x: float, y: float, w: float, h: float, fill: Colour, round_: float = 0.0) -> None:
        """Fill a box of half sides w and h."""
        self.canvas.rounded_rectangle(self._box(x, y, w, h), radius=round_ * self.r, fill=fill)

    def arc(self, x: float, y: float, w: float, h: float, span: tuple[int, int], colour: Colour, width: float) -> None:
        """Draw a part of an ellipse's outline; the span is in degrees, clockwise from the right."""
        self.canvas.arc(self._box(x, y, w, h), *span, fill=colour, width=self.px(width))

    def slice(self, x: float, y: float, w: float, h: float, span: tuple[int, int], fill: Colour) -> None:
        """Fill the chord of such a part."""
        self.canvas.chord(self._box(x, y, w, h), *span, fill=fill)

    def line(self, points: tuple[tuple[float, float], ...], colour: Colour, width: float) -> None:
        """Draw a line through the points."""
        at = [(self.centre[0] + x * self.r, self.centre[1] + y * self.r) for x, y in points]
        self.canvas.line(at, fill=colour, width=self.px(width), joint="curve")

    def px(self, width: float) -> int:
        """A width in pixels, at least one."""
        return max(1, round(width * self.r))


def darker(colour: Colour, factor: float) -> Colour:
    """The colour, each channel times `factor`."""
    return tuple(int(c * factor) for c in colour)  # type: ignore[return-value]


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """The colour, `share` of the way to white."""
    return tuple(int(c + (255 - c) * share) for c in colour)  # type: ignore[return-value]
