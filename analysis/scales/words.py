"""What two scales of a grid say of each other, in plain sentences and never more than that."""

from analysis.scales.agreement import FEWEST, FEWEST_ARMS, LEVEL
from analysis.scales.comparison import Scale, Scales
from analysis.spelling import count, number, ranges, span

_NAMED = 3  # so many pairs are named in one breath


def answer(found: Scales) -> str:
    """What the small run is worth: which pairs of arms both scales separate, and how far their
    means go together, as far as noise lets it be told."""
    return " ".join([_pairs(found), _tau(found), _r(found)])


def notes(found: Scales) -> list[str]:
    """What each number is, without any markup."""
    return [
        *map(_origin, found.both),
        _means(found),
        _of_pairs(found),
        _of_tau(found),
        *_of_r(found),
        *_of_changes(found),
    ]


def _pairs(found: Scales) -> str:
    small, large = found.both
    return (
        f"By {found.grid.primary}, of {count(len(found.agreement), 'pair')} of arms {small.label} "
        f"separates {_number(small)}, {large.label} {_number(large)}; {_both(found)}."
    )


def _number(scale: Scale) -> str:
    few = f" ({count(len(scale.seeds), 'seed')}, and it takes {FEWEST})"
    return f"{scale.separates or 'none'}{few * (len(scale.seeds) < FEWEST)}"


def _both(found: Scales) -> str:
    same, opposite = (found.separated(way) for way in (1, -1))
    total = len(same) + len(opposite)
    lie = "lies" if total == 1 else "lie"
    if not total:
        return (
            f"no pair is separated by both, so {found.large.label} neither confirms nor refutes "
            f"the order of {found.small.label}"
        )
    if not opposite:
        return f"the {total} that both separate {lie} the same way"
    named = [f"“{arm}” − “{minus}”" for arm, minus in opposite[:_NAMED]]
    rest = len(opposite) - _NAMED
    named += [f"{rest} more"] * (rest > 0)
    if not same:
        return f"the {total} that both separate {lie} opposite ways ({', '.join(named)})"
    return (
        f"of the {total} that both separate {len(same)} {'lies' if len(same) == 1 else 'lie'} "
        f"the same way and {len(opposite)} opposite ways ({', '.join(named)})"
    )


def _tau(found: Scales) -> str:
    if found.tau is None:
        return "Neither orders three arms, so a rank correlation would be one of noise."
    words = f"Kendall's tau of the arms' means is {number(found.tau.mean, 2, signed=True)}, "
    if not found.agreement.any():
        return f"{words}but that of the true means may be anything."
    return f"{words}that of the true means within {span(found.tau, 2)} (at least 95 %)."


def _r(found: Scales) -> str:
    if len(found.arms) < FEWEST_ARMS:
        return f"{len(found.arms)} arms are too few for a correlation of their means."
    idle = [scale.label for scale in found.both if not scale.reliability]
    if idle or found.r is None:
        return (
            "The correlation of the arms' means tells nothing: in "
            f"{' and '.join(idle)} they differ by no more than noise."
        )
    words = (
        f"Pearson's r of the means is {number(found.r.mean, 2, signed=True)} {span(found.r, 2)}, "
        f"where means that agree wholly would give about {number(found.ceiling, 2)} under this "
        "noise"
    )
    if found.r_without is None:
        return f"{words}."
    without = number(found.r_without.mean, 2, signed=True)
    return f"{words}; without “{found.furthest}”, furthest from the others, it is {without}."


def _origin(scale: Scale) -> str:
    """Where a scale's numbers come from, and what it lacks."""
    grid, results = scale.summary.grid, scale.summary.results
    preset = "" if scale.label == grid.preset else f"preset {grid.preset}, "
    added = tuple(seed for seed in grid.seeds_added if seed in scale.seeds)
    joined = f" ({ranges(added)} joined after a table had been written)" if added else ""
    unfinished = f"; unfinished: {len(results.absent)} of {len(grid.cells)} runs are not here"
    return (
        f"{scale.label}: {preset}data {grid.data_name} (digest {grid.data_digest[:12]}), "
        f"{count(len(results.images), 'test image')}, seeds {ranges(scale.seeds)}{joined}, code "
        f"digest {results.code[:12]}{unfinished * bool(results.absent)}."
    )


def _means(found: Scales) -> str:
    others = dict.fromkeys(arm for scale in found.both for arm in scale.summary.grid.arms)
    left = [arm for arm in others if arm not in found.arms]
    alone = f" Arms of one scale alone are left out: {', '.join(left)}." if left else ""
    return (
        "Means ± half the 95 % Student t interval over the seeds that are complete in all common "
        "arms. Rank: 1 is the best; in brackets the range of the true rank that the separated "
        "pairs leave (all ranges of both scales together hold with at least 95 % confidence; "
        f"Mogstad et al., Review of Economic Studies 2024).{alone}"
    )


def _of_pairs(found: Scales) -> str:
    level, both = (f"{p:g}".lstrip("0") for p in (LEVEL, 2 * LEVEL))
    return (
        f"Pairs: at each scale a joint sign flip of whole seeds over all {len(found.agreement)} "
        "pairs of common arms (max |t|, step-down); separated if the adjusted p is at most "
        f"{level}, so that both scales together keep {both}, which takes at least {FEWEST} seeds. "
        "A pair that is not separated may be equal or too close for these seeds."
    )


def _of_tau(found: Scales) -> str:
    if found.tau is None:
        return (
            "No Kendall's tau: neither scale orders three arms, that is separates each pair of "
            "three, and what is not separated is ordered by chance."
        )
    agree, contradict = (len(found.separated(way)) for way in (1, -1))
    return (
        "Kendall's tau-a of the means (equal means count 0). Its interval holds for the true "
        f"means of these arms with at least 95 % confidence: {agree} agreeing less {contradict} "
        "contradicting pairs, and the others one way or the other. A bootstrap over seeds would "
        "take the chance order of pairs that are not separated for disagreement."
    )


def _of_r(found: Scales) -> list[str]:
    if len(found.arms) < FEWEST_ARMS:
        return []
    alone = ""
    if found.r_without is not None:
        alone = (
            f", and one far from all others makes r large by itself: so {found.furthest}, the "
            "furthest from the mean, is also left out"
        )
    return [
        "Pearson's r of the means, which is that of the effects against any arm, with Fisher's "
        f"interval: it takes the {len(found.arms)} arms for a sample of such arms{alone}. "
        "Reliability: Cronbach's alpha over seeds × arms, the share of the means' variance that "
        "is no noise; where it is 0, r tells nothing. Noise alone lowers the r of true means that "
        "agree wholly to about the root of their product (Spearman 1904)."
    ]


def _of_changes(found: Scales) -> list[str]:
    if not found.changes:
        return []
    return [
        "Contrasts that both scales name: differences paired by seed with 95 % Student t "
        f"intervals; {found.large.label} − {found.small.label}: the change of the difference with "
        "Welch's 95 % interval; not adjusted for their number, no test. Presets differ in data, "
        "size, model and training at once: a change has no single cause."
    ]
