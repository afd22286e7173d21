"""Everything that went into one verdict, in words a reader can check."""

from __future__ import annotations

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.evidence import NEAREST
from fsearch.diagnoser.support import DOUBTFUL, WINS
from fsearch.diagnoser.verdict import MIN_EVIDENCE, Q_LEVEL
from fsearch.search.answer import Answer

_CORRECTIONS = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}


def explanation(a: Answer, correction: Correction) -> str:
    """The lines of `--explain`."""
    lines = [
        f"{a.title}: why {a.verdict}",
        f"  rule        {a.reason}",
        f"  support     {_support(a)}",
        f"  images      {a.shown:.0f} seem to show it ({a.share:.1%}); of those it is judged by {a.purity:.0%} do; "
        f"n_effective {a.n_effective:.0f} (unseen below {MIN_EVIDENCE:.0f})",
        f"  ensemble    predicts a lift of {a.predicted_lift:+.4f} over the baseline {a.baseline:.4f}",
        f"  corrected   to {a.lift:+.4f}: {a.shrinkage:.0%} of what the real losses say beyond the prediction "
        "is believed",
        f"  interval    [{a.lo:+.4f}, {a.hi:+.4f}], 90%: standard error {a.standard_error:.4f}, "
        f"conformal factor {a.conformal:.2f}",
        f"  observed    {a.observed_lift:+.4f} against the rest, standard error {a.observed_error:.4f}, "
        f"p {a.p_value:.4g}, q {a.q_value:.4g} ({_tested(a, correction)})",
        f"  nearest     {_nearest(a)}",
        f"  matters     from {a.min_effect:.4f} on (losses spread by {a.loss_std:.4f})",
    ]
    if a.percentile is not None:
        lines.append(f"  percentile  above {a.percentile:.0f}% of the reference phrases")
    if a.contrast is not None:
        lines.append(
            f"  contrast    {a.contrast:+.4f} [{a.contrast_lo:+.4f}, {a.contrast_hi:+.4f}] against the rest of "
            f"{a.group!r}, p {a.contrast_p:.4g}, q {a.contrast_q:.4g}"
        )
    if a.adjusted_lift is not None:
        lines.append(
            f"  adjusted    {a.adjusted_lift:+.4f} [{a.adjusted_lo:+.4f}, {a.adjusted_hi:+.4f}] with the other failing "
            "phrases held equal"
        )
    if a.shares_with:
        shared = ", ".join(f"{text!r} {overlap:.0%}" for text, overlap in a.shares_with[:5])
        lines.append(f"  overlap     shares its images with {shared}")
    return "\n".join(lines)


def _nearest(a: Answer) -> str:
    """What the nearest few images say, and where that puts the phrase in a ranking."""
    said = "nothing of a negation" if a.nearest_p is None else f"p {a.nearest_p:.4g} of the {NEAREST} nearest images"
    return f"{said}; ranked by a strength of {a.strength:.2f}"


def _tested(a: Answer, correction: Correction) -> str:
    """How many false alarms are guarded against, and how."""
    if a.question is None:
        return f"{_CORRECTIONS[correction]}, one vote a concept; level {Q_LEVEL:g}"
    return f"LOND: p is tested at {a.level:.4g}, as question {a.question:,} of this fit; level {Q_LEVEL:g} over all"


def _support(a: Answer) -> str:
    """Whether images show the phrase at all, and how that was told."""
    found = f"similarity {a.similarity:.3f}, mass {a.log_mean_exp:.2f}"
    if a.centred_threshold is not None:
        both = f"{a.centred_threshold:.3f} and {a.log_mean_exp_threshold:.2f}"
        return (
            f"centred similarity {a.centred_similarity:.3f}, mass {a.log_mean_exp:.2f}; unseen below both {both} "
            f"(learnt from labelled images){_rivals(a)}"
        )
    if a.calibrated:
        both = f"{a.similarity_threshold:.3f} and {a.log_mean_exp_threshold:.2f}"
        return f"{found}; unseen below both {both} (measured for this encoder)"
    if a.margin is None:
        return f"{found}; there are no rival phrases to tell whether any image shows it"
    return f"{found}{_rivals(a)} (this encoder was never calibrated)"


def _rivals(a: Answer) -> str:
    """How it stands against common things; nothing where there are none."""
    if a.margin is None or a.margin_threshold is None:
        return ""
    said = f"; {a.margin:+.1f} nats over rival phrases, {a.winners} of which share the nearest images"
    if a.centred_threshold is not None:
        said += f"; seen from {a.margin_threshold + WINS:+.1f} on"
    doubtful = a.margin_threshold + DOUBTFUL
    return (
        f"{said}; unseen below {a.margin_threshold:+.1f} where many do, below {doubtful:+.1f} where most common things "
        "fit their images better, and where images fit it no more than the average common thing"
    )
