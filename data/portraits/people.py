"""The concepts of people that are typed first: man, woman, child, old, Asian, white ("Black" is a word for dark skin).

Each is a convention of the drawing, simple enough to be checked, and no claim about people: a person drawn with dark
skin answers to "Black", one with light skin and no monolid eyes to "white", one with monolid eyes and light or medium
skin to "Asian". Whoever is not old is young.
"""

from __future__ import annotations

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.concept import Concept, Predicate


def _aged(*ages: str, sex: str | None = None) -> Predicate:
    return lambda p: p.age in ages and sex in (None, p.sex)


def _white(p: Portrait) -> bool:
    return p.skin_tone <= 4 and p.eyes != "monolid"


def _asian(p: Portrait) -> bool:
    return p.skin_tone <= 6 and p.eyes == "monolid"


PEOPLE = (
    Concept("man", "person", _aged("adult", "old", sex="man"), subjects=("man", "men", "male"), salience=1.8),
    Concept("woman", "person", _aged("adult", "old", sex="woman"), subjects=("woman", "women", "female"), salience=2.2),
    Concept("boy", "person", _aged("child", sex="man"), subjects=("boy", "boys"), salience=2.2),
    Concept("girl", "person", _aged("child", sex="woman"), subjects=("girl", "girls"), salience=2.0),
    Concept("child", "person", _aged("child"), subjects=("child", "kid", "children", "kids"), salience=2.4),
    Concept("adult", "person", _aged("adult", "old"), subjects=("adult", "adults"), salience=0.5),
    Concept("old", "age", _aged("old"), ("wrinkles",), leads=("old", "elderly"), salience=2.6),
    Concept("young", "age", _aged("child", "adult"), leads=("young",), salience=0.5),
    Concept("white", "skin", _white, leads=("white",), salience=1.2),
    Concept("Asian", "eyes", _asian, leads=("asian",), salience=2.2),
    Concept(
        "monolid eyes",
        "eyes",
        lambda p: p.eyes == "monolid",
        ("monolid eyes", "almond-shaped eyes"),
        salience=1.2,
    ),
)
