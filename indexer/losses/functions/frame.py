"""Two frames of one image: as the file stores its pixels, and as a model saw them, upright by EXIF, perhaps reduced.

Annotations of objects and masks refer to either. Their shape tells: that of the stored image must be turned, that of
the upright image is right. Where both are the same (half turns, mirrors, squares) the stored frame is meant, since
that is what annotation formats are defined on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUARTERS = 5  # EXIF orientations from here on swap the sides


@dataclass(frozen=True, slots=True)
class Frame:
    """How the image that a model saw lies in its file.

    Attributes
    ----------
    orientation : the EXIF orientation that was undone, 1 for none.
    size : width and height of the whole image, upright.
    seen : width and height of what the model saw; smaller than `size` where that was reduced.
    upright : annotations refer to the upright image, whatever their sizes say.
    """

    orientation: int
    size: tuple[int, int]
    seen: tuple[int, int]
    upright: bool = False

    def objects(
        self, width: int | None, height: int | None, objects: Sequence[Mapping[str, Any]]
    ) -> tuple[int, int, list[dict[str, Any]]]:
        """Size and COCO objects as the model saw them, from those of an annotation of `width` x `height` pixels."""
        stored = self.size[::-1] if self.orientation >= _QUARTERS else self.size
        said = (width, height) if width and height else None
        turn = self._is_stored(said, stored)
        base = said or (stored if turn else self.size)
        upright = base[::-1] if turn and self.orientation >= _QUARTERS else base
        whole = upright == self.size  # else boxes are on a copy of another size: they are taken as they are
        found = []
        for item in objects:
            box = item.get("bbox")
            if isinstance(box, Sequence) and len(box) == 4:
                box = turned_box(box, self.orientation, base) if turn else box
                box = _scaled(box, self.seen[0] / self.size[0], self.seen[1] / self.size[1]) if whole else box
            found.append({**item, "bbox": box})
        return *(self.seen if whole else upright), found

    def mask(self, mask: NDArray[Any]) -> NDArray[Any]:
        """A mask, (H, W), as it lies on the upright image."""
        stored = self.size[::-1] if self.orientation >= _QUARTERS else self.size
        height, width = mask.shape
        return turned_mask(mask, self.orientation) if self._is_stored((width, height), stored) else mask

    def _is_stored(self, said: tuple[int, int] | None, stored: tuple[int, int]) -> bool:
        """Whether annotations of the size `said` refer to the stored image: by their shape, where that tells."""
        if self.orientation == 1 or self.upright:
            return False
        if said is None or 0 in said:
            return True
        shape, as_stored, as_upright = (math.log(w / h) for w, h in (said, stored, self.size))
        return abs(shape - as_stored) <= abs(shape - as_upright)


WHOLE = Frame(1, (1, 1), (1, 1))  # of an image that was not read


def _scaled(box: Sequence[float], across: float, down: float) -> Sequence[float]:
    if across == down == 1:
        return box
    return [box[0] * across, box[1] * down, box[2] * across, box[3] * down]


def turned_box(box: Sequence[float], orientation: int, stored: tuple[int, int]) -> list[float]:
    """[left, top, width, height] on the upright image of a box on the `stored` one, (width, height)."""
    (x, y, w, h), (right, bottom) = box, stored
    x2, y2 = right - x - w, bottom - y - h  # distances from the other sides
    left, top = {2: (x2, y), 3: (x2, y2), 4: (x, y2), 5: (y, x), 6: (y2, x), 7: (y2, x2), 8: (y, x2)}[orientation]
    return [left, top, h, w] if orientation >= _QUARTERS else [left, top, w, h]


def turned_mask(mask: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The upright mask of a stored one, (H, W)."""
    turned = mask.T if orientation >= _QUARTERS else mask
    across = orientation in (2, 3, 6, 7)
    down = orientation in (3, 4, 7, 8)
    return np.asarray(turned[:: -1 if down else 1, :: -1 if across else 1])


def resized_mask(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A mask (h, w), or scores (C, h, w), with nearest neighbours for an image of `size`, (width, height)."""
    width, height = size
    rows = ((np.arange(height) + 0.5) * mask.shape[-2] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[-1] / width).astype(int)
    return np.asarray(mask[..., rows[:, None], columns])
