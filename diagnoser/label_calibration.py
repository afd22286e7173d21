"""Learn from labelled images how an encoder is to be read: its temperature, how right memberships are, what is absent.

temperature   the likeliest for the labels of all phrases, where a membership is the chance that an image shows a phrase
slope         of the truth on membership, mean over phrases: a lift is the slope of the loss on membership divided by
              it (regression calibration: Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4); how
              far phrases lie from each other is the error that memberships bring into every lift
thresholds    a bound below which a share LOST of the concepts that are there fall, on the centred similarity; what has
              as much log_mean_exp as half of them is never absent, however common it is

Little evidence moves little: what is assumed without labels counts as PRIOR_PHRASES phrases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.centring import centred_similarity, mean_vector
from fsearch.diagnoser.lift import MEMBERSHIP_ERROR
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval import Retriever, judged_images
from fsearch.diagnoser.support import Support
from fsearch.indexer.vector_index.exact_search import NearestImages

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

MIN_SHOWING = 3  # labelled images that show a phrase, and such that do not
MIN_PHRASES = 8  # that at most COMMON of the images show, for another temperature and thresholds
LOST = 0.05  # share of the concepts that are there to be called absent
PRIOR_PHRASES = 4.0
COMMON = 0.5  # share of the labelled images; a more common concept makes the mean image, and nothing stands out from it
_FACTORS = np.geomspace(0.5, 2.0, 17)  # of the encoder's own temperature
_FACTOR_SPREAD = 0.25  # expected of the logarithm of that factor
_CERTAIN = (1e-4, 0.97)  # no label is less likely, or likelier
_CHECKED_IMAGES, _CHECKED_PHRASES, _LEAST_CHECKED = 4096, 100, 50


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is known of m images and q phrases: each shown by MIN_SHOWING of them or more, and as many do not.

    Attributes
    ----------
    texts : (q, d) float32 unit embeddings of the phrases.
    rows : (m,) int64 global rows of the images, rising.
    shows, known : (q, m) bool, whether an image shows a phrase, and whether that is known.
    """

    texts: Singles
    rows: Rows
    shows: Bools
    known: Bools

    @property
    def share(self) -> Floats:
        """(q,) share of the images that show each phrase, of those of which it is known."""
        return np.asarray((self.shows & self.known).sum(axis=1) / self.known.sum(axis=1), np.float64)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What labels taught. See indexer/workspace/calibration.py for the first five.

    Attributes
    ----------
    auroc : of the cosine, mean over phrases: how well the encoder tells what is labelled.
    checked : phrases that were left out one by one, among the labelled images alone.
    lost : of these, called absent by thresholds of the others, though their images were there; `caught` : called absent
        once their images were taken away.
    """

    logit_scale: float
    slope: float
    slope_error: float
    centred_similarity: float | None
    log_mean_exp: float | None
    auroc: float
    checked: int
    lost: int
    caught: int


def usable(shows: Bools, known: Bools) -> Rows:
    """Which phrases can be learnt from, given what is known of each image, (q, m) bool."""
    enough = ((shows & known).sum(axis=1) >= MIN_SHOWING) & ((~shows & known).sum(axis=1) >= MIN_SHOWING)
    return np.flatnonzero(enough)


def learn(index: NearestImages, rows: Rows, reference: ReferenceBank, labelled: Labelled) -> Learnt:
    """Learn from `labelled` images how to read an encoder.

    Parameters
    ----------
    rows : (n,) rising global rows of all images, labelled or not: anchors and support are of these.
    reference : of the encoder, not calibrated.
    """
    vectors = index.vectors[labelled.rows].astype(np.float32)
    cosines = labelled.texts @ vectors.T
    rare = np.flatnonzero(labelled.share <= COMMON)
    scale = reference.logit_scale
    if len(rare) >= MIN_PHRASES:
        near = Retriever(index, rows, scale).find(labelled.texts).similarities[:, : judged_images(len(rows))[0]]
        scale = likeliest_scale(near, cosines, labelled, scale)
    found = Retriever(index, rows, scale, text_mean=reference.text_mean).find(labelled.texts)
    slopes = slopes_of_truth(membership(cosines, found.support.anchor, found.scale), labelled)
    centred, log_mean_exp = thresholds(found.support, rare) if len(rare) >= MIN_PHRASES else (None, None)
    checked, lost, caught = _left_out(vectors, labelled, rare, scale, reference.text_mean)
    told = auroc(cosines, labelled)
    return Learnt(scale, *pooled_slope(*slopes), centred, log_mean_exp, told, checked, lost, caught)


def likeliest_scale(near: Singles, cosines: Singles, labelled: Labelled, own: float) -> float:
    """The temperature at which memberships make the labels likeliest, each phrase with one voice.

    A factor on the encoder's `own` scale is expected to be near one.

    Parameters
    ----------
    near : (q, k) cosines of the nearest images, falling, by which anchors are set.
    cosines : (q, m) of the labelled images.
    """
    yes, no = labelled.known & labelled.shows, labelled.known & ~labelled.shows
    fits = []
    for factor in _FACTORS:
        chance = membership(cosines, anchor_similarity(near, own * factor), own * factor).clip(*_CERTAIN)
        told = (np.log(chance) * yes + np.log1p(-chance) * no).sum(axis=1) / yes.sum(axis=1)
        fits.append(told.sum() - (np.log(factor) / _FACTOR_SPREAD) ** 2 / 2)
    return float(own * _FACTORS[int(np.argmax(fits))])


def slopes_of_truth(memberships: Floats, labelled: Labelled) -> tuple[Floats, Floats]:
    """(q,) slopes of the truth on membership, (q, m), and their variances, robust to unequal spread (White, 1980)."""
    slopes, noise = np.empty(len(memberships)), np.empty(len(memberships))
    for i, (m, shows, known) in enumerate(zip(memberships, labelled.shows, labelled.known, strict=True)):
        x, y = m[known] - m[known].mean(), shows[known] - shows[known].mean()
        power = max(float((x**2).sum()), 1e-12)
        slopes[i] = (x * y).sum() / power
        noise[i] = (x**2 * (y - slopes[i] * x) ** 2).sum() / power**2
    return slopes, noise


def pooled_slope(slopes: Floats, noise: Floats) -> tuple[float, float]:
    """Mean of the slopes of phrases, (q,), and how far that of a further phrase lies from it, as a share of it.

    What slopes vary by because few images were labelled, `noise` (q,), is taken off their spread (DerSimonian and
    Laird, Controlled Clinical Trials 1986).
    """
    count = PRIOR_PHRASES + len(slopes)
    mean = min(max(float((PRIOR_PHRASES + slopes.sum()) / count), 0.05), 20.0)
    between = PRIOR_PHRASES * MEMBERSHIP_ERROR**2 + max(float(((slopes - mean) ** 2 - noise).sum()), 0.0)
    return mean, float(np.sqrt(between / count * (1 + 1 / count))) / mean


def thresholds(support: Support, some: Rows) -> tuple[float, float]:
    """Centred similarity and log_mean_exp below both of which a phrase is absent, from phrases that are there.

    The first is a prediction bound: of a further phrase like those at positions `some`, it lies below with chance LOST.
    """
    return prediction_bound(support.centred[some]), float(np.median(support.log_mean_exp[some]))


def prediction_bound(values: Floats, share: float = LOST) -> float:
    """The value below which a further draw lies with chance `share`, if all, (n,), are drawn from one normal.

    See Geisser, Predictive Inference, 1993.
    """
    from scipy.special import stdtrit

    n = len(values)
    return float(values.mean() + stdtrit(n - 1, share) * values.std(ddof=1) * np.sqrt(1 + 1 / n))


def auroc(cosines: Singles, labelled: Labelled) -> float:
    """Chance that an image that shows a phrase is nearer to it than one that does not, mean over phrases."""
    found = []
    for row, shows, known in zip(cosines, labelled.shows, labelled.known, strict=True):
        order = np.argsort(np.argsort(row[known], kind="stable"), kind="stable")
        yes = shows[known]
        n = int(yes.sum())
        found.append((order[yes].sum() - n * (n - 1) / 2) / (n * (len(yes) - n)))
    return float(np.mean(found))


def _left_out(
    vectors: Singles, labelled: Labelled, some: Rows, scale: float, text_mean: Singles
) -> tuple[int, int, int]:
    """How many phrases were left out one by one, how many of them were lost, and how many caught; see Learnt.

    Everything is among the labelled images alone, since of the others it is not known what they show.
    """
    rng = np.random.default_rng(0)
    images = np.sort(rng.permutation(len(vectors))[:_CHECKED_IMAGES])
    there, gone = [], []
    for i in np.sort(rng.permutation(some)[:_CHECKED_PHRASES]):
        known, shows = labelled.known[i, images], labelled.shows[i, images]
        if (known & ~shows).sum() < _LEAST_CHECKED or not (known & shows).any():
            continue
        text = labelled.texts[[i]]
        there.append(support_among(vectors[images[known]], text, scale, text_mean))
        gone.append(support_among(vectors[images[known & ~shows]], text, scale, text_mean))
    if len(there) <= MIN_PHRASES:
        return 0, 0, 0
    lost = caught = 0
    whole = Support(*(np.concatenate([getattr(s, f) for s in there]) for f in ("anchor", "log_mean_exp", "centred")))
    for i, absent in enumerate(gone):
        centred, full = thresholds(whole, np.delete(np.arange(len(there)), i))
        lost += int(whole.centred[i] < centred and whole.log_mean_exp[i] < full)
        caught += int(absent.centred[0] < centred and absent.log_mean_exp[0] < full)
    return len(there), lost, caught


def support_among(vectors: Singles, texts: Singles, scale: float, text_mean: Singles) -> Support:
    """The support that images `vectors`, (n, d), give to phrases `texts`, (q, d)."""
    cosines = texts @ vectors.T
    near = np.argsort(-cosines, axis=1)
    falling = np.take_along_axis(cosines, near, axis=1)
    anchor = anchor_similarity(falling, scale)
    share = membership(falling, anchor, scale).mean(axis=1)
    mean = mean_vector(vectors)
    return Support.of(anchor, share, scale, centred_similarity(texts, near, vectors.__getitem__, mean, text_mean))
