"""Changes from a stored run, where the losses that it was made from are gone: two answers, not pairs of losses.

Nothing cancels, so the interval is wide: its error is that of both answers. A comparison of two models, whose losses
are both here, is `fsearch compare`, and a gate makes one where it can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsearch.diagnoser.change_verdict import ChangeInputs, decide_change
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.discoveries import directed_q_values
from fsearch.diagnoser.lift import Z, interval
from fsearch.diagnoser.pairing import APART
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.search.answer import Answer

Counts = tuple[float, float]  # groups of repeated images that took part then, and that take part now


def changes_between(pairs: Sequence[tuple[Answer, Answer]], counts: Counts, correction: Correction) -> list[Change]:
    """The change of each phrase from its answer in a stored run to its answer now, given as (then, now).

    Raises BadInputError where the losses then and now are hardly on one scale.
    """
    from scipy.special import ndtr

    if not pairs:
        return []
    spreads = sorted((pairs[0][0].loss_std, pairs[0][1].loss_std))
    if spreads[1] > APART * spreads[0]:
        raise BadInputError(
            f"the losses of the stored run are hardly on one scale with those now: they were spread by "
            f"{pairs[0][0].loss_std:.3g}, and are by {pairs[0][1].loss_std:.3g}"
        )
    values = np.array([now.expected_loss - then.expected_loss for then, now in pairs])
    errors = np.array([_error(then, now, counts) for then, now in pairs])
    p = 2 * ndtr(-np.abs(values) / errors.clip(min=1e-300))
    p = np.where(np.isfinite(p), p, 1.0)
    q = directed_q_values(p, values, np.arange(len(p)), np.ones(len(p), bool), correction)
    numbers = zip(values.tolist(), errors.tolist(), p.tolist(), q.tolist(), strict=True)
    return [_change(*pair, *four) for pair, four in zip(pairs, numbers, strict=True)]


def _error(then: Answer, now: Answer, counts: Counts) -> float:
    """Of the difference of two expected losses: that of both lifts, as their intervals give it, and of both means."""
    parts = [(a.hi - a.lo) / (2 * Z) for a in (then, now)]
    parts += [a.loss_std / np.sqrt(n) for a, n in zip((then, now), counts, strict=True)]
    return float(np.sqrt(np.square(parts).sum()))


def _change(then: Answer, now: Answer, value: float, error: float, p: float, q: float) -> Change:
    lo, hi = interval(value, error)
    verdicts = (then.verdict, now.verdict)
    unclear = Verdict.UNCLEAR in verdicts
    inputs = ChangeInputs(
        change=value,
        lo=lo,
        hi=hi,
        q_value=q,
        min_effect=then.min_effect,
        n_effective=min(then.n_effective, now.n_effective),
        shown=0.0 if Verdict.UNSEEN in verdicts else min(then.shown, now.shown),
        doubtful=unclear,
        uncertain=unclear,
    )
    verdict, reason = decide_change(inputs)
    return Change(
        hypothesis=now.text,
        verdict=verdict,
        change=value,
        lo=lo,
        hi=hi,
        before=then.expected_loss,
        after=now.expected_loss,
        n_effective=inputs.n_effective,
        p_value=p,
        q_value=q,
        reason=reason,
        simpson=False,
        shown=inputs.shown,
        share=now.share,
        purity=now.purity,
        paired=1.0,
        standard_error=error,
        min_effect=inputs.min_effect,
    )
