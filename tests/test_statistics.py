"""Statistics against known answers, other libraries, a plain slow bootstrap, and simulated studies."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from liquidbench.evaluation import metrics
from liquidbench.evaluation.influence import (
    auroc_influence,
    average_precision_influence,
    linear_difference,
    mean_influence,
)
from liquidbench.evaluation.paired import bootstrap_counts, draw_figures
from liquidbench.evaluation.statistics import (
    cochran_estimate,
    curve_area,
    holm,
    mcnemar_exact,
    mean_interval,
    student_estimate,
    variance_parts,
)
from liquidbench.evaluation.weighted_metrics import (
    BinaryAnswers,
    ClassAnswers,
    LineAnswers,
    figures_of,
    figures_of_draws,
)

# Means and curves


def test_the_interval_of_a_mean_is_the_tabulated_one():
    # Mean 3, standard deviation sqrt(2.5); the table of Student's t: 2.776 for four degrees of freedom.
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3.0
    assert found.standard_error == pytest.approx(math.sqrt(2.5 / 5))
    assert (found.low, found.high) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-3)
    assert found.p_value == pytest.approx(stats.ttest_1samp([1, 2, 3, 4, 5], 0).pvalue)
    wider = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.99)
    assert wider.high - 3 == pytest.approx(4.604 * math.sqrt(0.5), abs=1e-3)


def test_one_seed_has_a_value_and_no_interval_and_none_has_nothing():
    one = mean_interval([0.7, math.nan])
    assert one.value == 0.7
    assert all(map(math.isnan, (one.low, one.high, one.p_value, one.standard_error)))
    assert math.isnan(mean_interval([math.nan]).value)
    same = mean_interval([0.5, 0.5])
    assert (same.low, same.high) == (0.5, 0.5)


# A variance of 0.0004 in two parts.
PARTS = ((3e-4, 4.0), (1e-4, 9.0))


def test_a_lopsided_interval_and_its_p_value_agree():
    for value in (-0.3, 0.02, 0.3, 0.41):
        for sides in ((0.7, 1.3), (1.3, 0.7), (1.0, 1.0)):
            for confidence in (0.8, 0.95):
                found = cochran_estimate(value, PARTS, confidence, sides)
                assert found.low < value < found.high
                excluded = found.low > 0 or found.high < 0
                assert excluded == (found.p_value < 1 - confidence)
    # At the end of the interval itself.
    reach = cochran_estimate(1.0, PARTS).high - 1
    assert cochran_estimate(0.7 * reach, PARTS, sides=(0.7, 1.3)).p_value == pytest.approx(0.05)
    assert cochran_estimate(-0.7 * reach, PARTS, sides=(1.3, 0.7)).p_value == pytest.approx(0.05)


def test_cochran_s_interval_by_hand():
    """Student's table: 2.776 for 4 degrees of freedom and 2.262 for 9, weighted 3 to 1; the error is 0.02."""
    found = cochran_estimate(0.1, PARTS)
    assert found.standard_error == pytest.approx(0.02)
    assert found.high - 0.1 == pytest.approx((0.75 * 2.7764 + 0.25 * 2.2622) * 0.02, abs=1e-6)
    # Of one part: Student's own; of two with the same degrees of freedom as well.
    one, alike = student_estimate(0.1, 0.02, 4), cochran_estimate(0.1, ((3e-4, 4), (1e-4, 4)))
    assert (alike.low, alike.p_value) == pytest.approx((one.low, one.p_value))
    assert one.p_value == pytest.approx(2 * stats.t.sf(5, 4))
    normal = student_estimate(0.1, 0.02, math.inf)
    assert normal.p_value == pytest.approx(2 * stats.norm.sf(5))
    # Far out, and not there at all.
    assert 0 < cochran_estimate(1e6, PARTS).p_value < 1e-20
    assert cochran_estimate(0.1, ((0.0, 4),)).p_value == 0.0


@pytest.mark.parametrize("seeds", range(2, 41))
def test_p_values_of_any_number_of_seeds_belong_to_their_intervals(seeds):
    """scipy 1.17 has an infinite quantile far out, for four seeds among others."""
    parts = ((3e-4, seeds - 1.0), (1e-4, 4066.0))
    p_values = []
    for value in (0.001, 0.02, 0.06, 0.1, 0.5, 30.0):
        p_value = cochran_estimate(value, parts).p_value
        p_values.append(p_value)
        if p_value > 1e-9:
            assert cochran_estimate(value, parts, 1 - p_value).low == pytest.approx(
                0, abs=1e-6 * max(1, value)
            )
    assert sorted(p_values, reverse=True) == p_values
    # Between Student's for the seeds' degrees of freedom and the normal's.
    error = math.sqrt(4e-4)
    assert stats.norm.sf(0.1 / error) * 2 < p_values[3] < stats.t.sf(0.1 / error, seeds - 1) * 2


def test_two_way_variance_is_that_of_the_mean_squares():
    values = np.random.default_rng(3).normal(size=(5, 8)) + np.arange(8)
    seeds, draws = values.shape
    rows, columns, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    ms_seed = draws * ((rows - mean) ** 2).sum() / (seeds - 1)
    ms_draw = seeds * ((columns - mean) ** 2).sum() / (draws - 1)
    rest = values - rows[:, None] - columns + mean
    ms_rest = (rest**2).sum() / ((seeds - 1) * (draws - 1))
    variance = (ms_seed + ms_draw - ms_rest) / (seeds * draws)
    found = linear_difference(rows, np.array([mean_influence(row)[1] for row in values]))
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found.value == pytest.approx(mean)
    seeds_part = ms_seed / (seeds * draws)
    other = variance - seeds_part
    quantile = (seeds_part * stats.t.ppf(0.975, 4) + other * stats.t.ppf(0.975, 7)) / variance
    assert found.high - mean == pytest.approx(quantile * math.sqrt(variance))


def test_variance_never_falls_below_that_of_the_seeds_and_equal_seeds_keep_the_examples_share():
    # Examples that vary less than their residual: nothing is shared.
    assert variance_parts(0.02, 4, 0.001, 0.02, 50) == ((0.005, 3.0),)
    # All seeds equal by coincidence: what the residual alone does to a mean.
    assert sum(part for part, _ in variance_parts(0.0, 4, 0.004, 0.016, 50)) == pytest.approx(0.004)
    assert variance_parts(0.0, 4, 0.0, 0.0, 50) == ((0.0, 3.0),)
    # By the definition: residual (0.016 - 0.010) / 3, and what of the mean's variance it is not.
    (own, seeds), (shared, units) = variance_parts(0.02, 4, 0.010, 0.016, 50)
    assert (own, seeds, units) == (0.005, 3.0, 49.0) and shared == pytest.approx(0.008)


def test_without_a_second_seed_or_example_a_linear_difference_says_what_it_can():
    one_seed = linear_difference([1.5], np.zeros((1, 4)))
    assert one_seed.value == 1.5 and math.isnan(one_seed.low) and math.isnan(one_seed.p_value)
    assert math.isnan(linear_difference([], np.zeros((0, 4))).value)
    one_example = linear_difference([1.0, 2.0, 3.0], np.zeros((3, 1)))
    assert one_example.standard_error == pytest.approx(1 / math.sqrt(3))
    assert one_example.high - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)


def test_seeds_that_agree_but_for_rounding_are_as_those_that_agree():
    alike, rounded = np.array([0.03, 0.03]), np.array([0.73 - 0.70, 0.83 - 0.80])
    assert rounded[0] != rounded[1]
    influences = np.random.default_rng(0).normal(0, 1e-3, (2, 200))
    found = [linear_difference(gaps, influences) for gaps in (alike, rounded)]
    assert found[0].p_value == pytest.approx(found[1].p_value) and found[1].p_value > 0.2
    assert linear_difference([1e-17, -1e-17], influences).value == 0.0


def test_gains_that_equal_losses_differ_by_exactly_nothing():
    """0.73 - 0.70 and 0.80 - 0.83 add up to 1e-17, on some processors."""
    gaps = np.array([[0.73 - 0.70], [0.80 - 0.83], [0.0]])
    assert gaps.mean() != 0
    assert linear_difference(gaps[:, 0], np.zeros((3, 4))).value == 0


def test_area_under_a_curve_is_its_mean_height():
    # Trapezoids of 0.9 to 0.7 over 0.2, and 0.7 to 0.1 over 0.4, by hand.
    area = curve_area([0.0, 0.2, 0.6], [0.9, 0.7, 0.1])
    assert area == pytest.approx((0.8 * 0.2 + 0.4 * 0.4) / 0.6)
    assert curve_area([0.0, 0.9], np.full((2, 3, 2), 0.4)) == pytest.approx(np.full((2, 3), 0.4))
    for rates in ([0.2, 0.1, 0.6], [0.1, 0.1, 0.6], [0.0, 0.2]):
        with pytest.raises(ValueError, match="do not fit"):
            curve_area(rates, [0.9, 0.7, 0.1])


# Tests of two models and of many


def test_mcnemar_by_hand():
    # A alone is right once, B alone five times: two-sided, 2 (1 + 6) / 2^6.
    a = np.array([1, 0, 0, 0, 0, 0, 1, 1, 0], dtype=bool)
    b = np.array([0, 1, 1, 1, 1, 1, 1, 1, 0], dtype=bool)
    assert mcnemar_exact(a, b) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar_exact(b, a) == mcnemar_exact(a, b)
    assert mcnemar_exact(a, a) == 1.0


def test_holm_by_hand():
    # Ascending 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.6.
    assert holm([0.03, 0.01, 0.6, 0.02]) == pytest.approx([0.06, 0.04, 0.6, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    # A test that could not be made is counted.
    assert holm([math.nan, 0.01])[1] == pytest.approx(0.02)
    assert math.isnan(holm([math.nan, 0.01])[0])
    assert holm([]).size == 0


# Weighted metrics


def binary_case(rows: int = 60, units: int = 60, seed: int = 0) -> BinaryAnswers:
    """Random answers with many ties between and within the classes."""
    random = np.random.default_rng(seed)
    targets = random.random(rows) < 0.3
    scores = np.round(random.normal(size=rows) + targets, 1)
    owner = np.arange(rows) if rows == units else random.integers(0, units, rows)
    return BinaryAnswers(targets, scores >= 0.8, scores, owner, units)


@pytest.mark.parametrize(("rows", "units"), [(60, 60), (200, 40)])
def test_binary_metrics_equal_scikit_learn_s_on_weighted_and_on_repeated_rows(rows, units):
    answers = binary_case(rows, units)
    counts = np.random.default_rng(1).multinomial(units, np.full(units, 1 / units), size=40).T
    (drawn,) = figures_of_draws([answers], counts.astype(np.float32))
    for draw in range(counts.shape[1]):
        weight = counts[answers.units, draw]
        repeated = np.repeat(np.arange(rows), weight)
        targets, scores = answers.targets, answers.scores
        alarms = answers.alarms
        weighted = {
            "accuracy": sklearn_metrics.accuracy_score(targets, alarms, sample_weight=weight),
            "precision": sklearn_metrics.precision_score(targets, alarms, sample_weight=weight),
            "recall": sklearn_metrics.recall_score(targets, alarms, sample_weight=weight),
            "f1": sklearn_metrics.f1_score(targets, alarms, sample_weight=weight),
            "auroc": sklearn_metrics.roc_auc_score(targets, scores, sample_weight=weight),
            "average_precision": sklearn_metrics.average_precision_score(
                targets, scores, sample_weight=weight
            ),
        }
        assert {name: drawn[name][draw] for name in weighted} == pytest.approx(weighted)
        plain = metrics.binary_metrics(targets[repeated], scores[repeated], 0.8)
        same = {name: drawn[name][draw] for name in weighted}
        assert same == pytest.approx({name: plain[name] for name in weighted})
        per_row = plain["false_positives"] / len(repeated)
        assert drawn["false_positives"][draw] == pytest.approx(per_row * rows)


def test_figures_without_weights_are_those_of_the_runs():
    answers = binary_case()
    told = metrics.binary_metrics(answers.targets, answers.scores, 0.8)
    found = figures_of(answers)
    assert found == pytest.approx({name: told[name] for name in answers.names})
    assert list(found) == list(answers.names)


@pytest.mark.parametrize(
    ("targets", "alarms", "missing"),
    [
        ([0, 0, 0], [0, 0, 0], {"precision", "recall", "f1", "auroc", "average_precision"}),
        ([1, 1, 1], [1, 0, 0], {"auroc", "average_precision"}),
        ([0, 1, 1], [0, 0, 0], {"precision"}),
    ],
)
def test_figures_that_do_not_exist_are_nan(targets, alarms, missing):
    said = np.array(targets, dtype=bool), np.array(alarms, dtype=bool)
    found = figures_of(BinaryAnswers(*said, np.array([0.1, 0.5, 0.2]), np.arange(3), 3))
    assert {name for name, value in found.items() if math.isnan(value)} == missing
    told = metrics.binary_metrics(said[0], np.where(said[1], 0.9, 0.1))
    assert {name for name in found if told[name] is None} == missing


def test_line_metrics_equal_those_of_repeated_lines():
    references = ["ab cd", "a b", "abc", "", "abcdefgh ij"]
    readings = ["ab cx", "a", "abc", "z", "abcdefgh ijk"]
    edits, lengths = metrics.edits_and_lengths(references, readings)
    answers = LineAnswers(edits, lengths, np.arange(5), 5)
    for weights in ([1, 1, 1, 1, 1], [3, 0, 1, 2, 0]):
        again = np.repeat(np.arange(5), weights)
        told = metrics.transcription_metrics(
            [references[i] for i in again], [readings[i] for i in again]
        )
        (found,) = figures_of_draws([answers], np.array(weights, dtype=np.float32)[:, None])
        assert {name: found[name][0] for name in told} == pytest.approx(told)
    assert set(answers.names) == set(told)


# Influences


def weighted_mean(_, scores, sample_weight):
    return np.average(scores, weights=sample_weight)


@pytest.mark.parametrize(
    ("figure_and_influence", "weighted"),
    [
        (auroc_influence, sklearn_metrics.roc_auc_score),
        (average_precision_influence, sklearn_metrics.average_precision_score),
        (lambda _, scores: mean_influence(scores), weighted_mean),
    ],
)
def test_influences_are_the_derivatives_of_weighted_figures(figure_and_influence, weighted):
    answers = binary_case()
    known = answers.targets, answers.scores
    value, influence = figure_and_influence(*known)
    assert value == pytest.approx(weighted(*known, sample_weight=np.ones(60)))
    # Scores differ, ties among them, between the classes and within them.
    assert len(np.unique(answers.scores)) < 50
    for place, found in enumerate(influence):
        step = 1e-5 * (np.arange(60) == place)
        up, down = (weighted(*known, sample_weight=1 + sign * step) for sign in (1, -1))
        assert found == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_rankings_of_one_class_do_not_exist():
    for targets, missing in (([True, True], "auroc"), ([False, False], "both")):
        area, average = (
            found(targets, [0.1, 0.2])[0]
            for found in (auroc_influence, average_precision_influence)
        )
        assert math.isnan(area) and math.isnan(average) == (missing == "both")


@pytest.mark.parametrize("design", ["crossed", "splits"])
@pytest.mark.parametrize("metric", ["auroc", "average_precision"])
def test_a_linear_difference_has_the_bootstrap_s_standard_error(design, metric):
    random = np.random.default_rng(11)
    pool, examples, seeds = 1500, 600, 4
    targets = random.random(pool) < 0.25
    shared = random.normal(size=pool) + targets
    answers, places = {}, {}
    for s in range(seeds):
        where = np.arange(examples)
        if design == "splits":
            where = np.sort(random.choice(pool, examples, replace=False))
        places[s] = where
        for model in "ab":
            scores = shared[where] + random.normal(0, 0.7, examples)
            one = BinaryAnswers(targets[where], scores > 1, scores, np.arange(examples), examples)
            answers[model, s] = one
    everyone = np.unique(np.concatenate(list(places.values())))
    places = {s: np.searchsorted(everyone, where) for s, where in places.items()}
    found = draw_figures(answers, places, 3000).difference("a", "b", metric)
    influence_of = {"auroc": auroc_influence, "average_precision": average_precision_influence}
    gaps, influences = np.zeros(seeds), np.zeros((seeds, len(everyone)))
    for (model, s), one in answers.items():
        value, influence = influence_of[metric](one.targets, one.scores)
        sign = 1 if model == "a" else -1
        gaps[s] += sign * value
        influences[s, places[s]] += sign * influence
    linear = linear_difference(gaps, influences)
    assert linear.value == pytest.approx(found.value)
    assert linear.standard_error == pytest.approx(found.standard_error, rel=0.05)


# The paired bootstrap


def test_counts_are_draws_with_replacement_and_pieces_do_not_matter(monkeypatch):
    whole = np.concatenate(list(bootstrap_counts(50, 300, np.random.default_rng(0))), axis=1)
    assert whole.shape == (50, 300) and (whole.sum(axis=0) == 50).all()
    # The variance of a multinomial count of 50 draws: 49/50.
    assert whole.var() == pytest.approx(0.98, abs=0.05)
    monkeypatch.setattr("liquidbench.evaluation.paired.CHUNK_BYTES", 4 * 50 * 7)
    pieces = list(bootstrap_counts(50, 300, np.random.default_rng(0)))
    assert len(pieces) == 43
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)


def test_draws_equal_a_plain_loop_over_models_seeds_and_draws():
    """Two models, three seeds with test sets of their own that overlap, and every metric of every draw."""
    random = np.random.default_rng(5)
    places = {s: np.sort(random.choice(40, 30, replace=False)) for s in range(3)}
    places[0][-1] = 39
    answers = {
        (model, s): binary_case(30, 30, seed=10 * s + k)
        for s in places
        for k, model in enumerate("ab")
    }
    drawn = draw_figures(answers, places, 25, seed=8)
    stream = np.random.default_rng(8)
    for draw in range(25):
        taken = stream.integers(0, 40, size=40)
        for (model, s), one in answers.items():
            rows = [place for unit in taken for place in np.flatnonzero(places[s] == unit)]
            plain = metrics.binary_metrics(one.targets[rows], one.scores[rows], 0.8)
            for name in set(one.names) - {"false_positives"}:
                value = drawn.draws[model, s][name][draw]
                expected = math.nan if plain[name] is None else plain[name]
                assert value == pytest.approx(expected, nan_ok=True), (name, model, s, draw)


# Simulated studies


def simulated(design, studies, seeds, examples, spread, better, random):
    """Right and wrong answers of two models in many studies, and where each seed's examples stand.

    Args:
        design: `crossed` (all seeds share the examples), `nested` (none do) or `splits` (each seed tests on a random
            fifth of a pool).
        spread: on the logit scale: difficulty of an example, its inclination to a model, effect of a training.
        better: how much better model a is, on the logit scale.

    Returns:
        ((model, study), seed) to answers, and seed to places.
    """
    difficulty, inclination, training = spread
    pool = {"crossed": examples, "nested": examples * seeds, "splits": examples * 5}[design]
    if design == "splits":
        chosen = [np.sort(random.choice(pool, examples, replace=False)) for _ in range(seeds)]
        # Those in no test set are not drawn.
        everyone = np.unique(np.concatenate(chosen))
        places = {s: np.searchsorted(everyone, some) for s, some in enumerate(chosen)}
    else:
        step = examples if design == "nested" else 0
        places = {s: np.arange(examples) + s * step for s in range(seeds)}
    easy = 1 + random.normal(0, difficulty, (studies, 1, pool))
    ability = easy + random.normal(0, inclination, (studies, 2, pool))
    ability[:, 0] += better
    answers, units = {}, np.arange(examples)
    for s, where in places.items():
        logit = ability[:, :, where] + random.normal(0, training, (studies, 2, 1))
        correct = random.random(logit.shape) < 1 / (1 + np.exp(-logit))
        for k, model in enumerate("ab"):
            for study in range(studies):
                one = ClassAnswers(correct[study, k], units, examples)
                answers[(model, study), s] = one
    return answers, places


def estimates(design, seeds=5, spread=(1.5, 0.5, 0.15), better=0.0, batches=10, studies=200):
    """The estimated differences of many studies; each batch has its own draws and places."""
    random = np.random.default_rng(2024)
    found = []
    for batch in range(batches):
        answers, places = simulated(design, studies, seeds, 150, spread, better, random)
        drawn = draw_figures(answers, places, 300, seed=batch)
        found += [
            drawn.difference(("a", study), ("b", study), "accuracy") for study in range(studies)
        ]
    return found


@pytest.mark.parametrize("design", ["crossed", "nested", "splits"])
def test_a_null_difference_is_significant_in_five_percent_of_studies(design):
    # Twice the 2,000 that would do: their own chance is 0.3 % then.
    found = estimates(design, batches=20)
    assert len(found) == 4000
    share = np.mean([one.p_value < 0.05 for one in found])
    assert 0.04 <= share <= 0.06, share
    # The interval covers the true difference, 0, exactly where the p-value says so.
    covered = [one.low <= 0 <= one.high for one in found]
    assert [one.p_value >= 0.05 for one in found] == covered


def null_differences(design, seeds, spread, random, studies=2000, examples=150):
    """Differences of two equally good models by seed, with the influences, of many studies: as `simulated`."""
    difficulty, inclination, training = spread
    pool = {"crossed": examples, "nested": examples * seeds, "splits": examples * 5}[design]
    if design == "splits":
        where = np.stack([random.choice(pool, examples, replace=False) for _ in range(seeds)])
    else:
        step = examples if design == "nested" else 0
        where = np.arange(examples) + step * np.arange(seeds)[:, None]
    tested, where = np.unique(where, return_inverse=True)
    where = where.reshape(seeds, examples)
    easy = 1 + random.normal(0, difficulty, (studies, 1, len(tested)))
    ability = easy + random.normal(0, inclination, (studies, 2, len(tested)))
    for one in ability:
        gaps, influences = np.zeros(seeds), np.zeros((seeds, len(tested)))
        for s in range(seeds):
            logit = one[:, where[s]] + random.normal(0, training, (2, 1))
            correct = random.random(logit.shape) < 1 / (1 + np.exp(-logit))
            gaps[s], influences[s, where[s]] = mean_influence(np.subtract(*correct.astype(float)))
        yield gaps, influences


@pytest.mark.parametrize(
    ("design", "seeds", "spread", "least"),
    [
        # Examples incline to one model as much as they do: all seeds share that luck.
        ("crossed", 5, (1.5, 1.5, 0.15), 0.03),
        ("crossed", 10, (1.5, 1.0, 0.3), 0.03),
        ("crossed", 5, (1.5, 0.3, 0.6), 0.04),
        ("splits", 5, (1.5, 1.5, 0.15), 0.03),
        # Few seeds tell their variance badly; then the interval is careful.
        ("crossed", 2, (1.5, 1.0, 0.3), 0.01),
        ("crossed", 3, (1.5, 1.0, 0.3), 0.02),
        ("splits", 3, (1.5, 1.0, 0.3), 0.02),
        ("nested", 3, (1.5, 0.5, 0.15), 0.02),
    ],
)
def test_null_differences_of_other_kinds_are_never_significant_too_often(
    design, seeds, spread, least
):
    random, ours, seeds_alone = np.random.default_rng(12), [], []
    for gaps, influences in null_differences(design, seeds, spread, random):
        ours.append(linear_difference(gaps, influences).p_value < 0.05)
        seeds_alone.append(mean_interval(gaps).p_value < 0.05)
    assert len(ours) == 2000
    assert least <= np.mean(ours) <= 0.06
    if spread[1] == 1.5 and design == "crossed":
        # Why the examples have to be in the interval.
        assert np.mean(seeds_alone) > 0.1


def test_a_real_difference_is_found():
    """Model a has 0.8 on the logit scale more: with five seeds of 150 examples nearly every study finds it."""
    for design in ("crossed", "splits"):
        found = estimates(design, better=0.8, batches=1)
        assert np.mean([one.p_value < 0.05 for one in found]) > 0.9
        assert np.mean([one.value for one in found]) > 0.05


def test_a_naive_bootstrap_of_seeds_and_examples_would_be_too_sure():
    """What the width is for: the share of null studies whose plain percentile interval excludes 0."""
    random = np.random.default_rng(7)
    answers, places = simulated("nested", 300, 5, 150, (1.5, 0.5, 0.6), 0.0, random)
    drawn = draw_figures(answers, places, 300)
    taken = random.multinomial(5, np.full(5, 0.2), size=300).T / 5
    naive = []
    for study in range(300):
        gaps = [
            drawn.values[("a", study), s]["accuracy"] - drawn.values[("b", study), s]["accuracy"]
            for s in range(5)
        ]
        low, high = np.quantile(np.array(gaps) @ taken, [0.025, 0.975])
        naive.append(not low <= 0 <= high)
    ours = [drawn.difference(("a", i), ("b", i), "accuracy").p_value < 0.05 for i in range(300)]
    assert np.mean(naive) > 0.1 > np.mean(ours)


def test_one_seed_has_a_difference_and_a_test_of_these_models_alone():
    random = np.random.default_rng(1)
    answers, places = simulated("crossed", 1, 1, 400, (1.5, 0.5, 0.0), 2.0, random)
    drawn = draw_figures(answers, places, 500)
    found = drawn.difference(("a", 0), ("b", 0), "accuracy")
    assert found.value > 0.1 and math.isnan(found.low) and math.isnan(found.p_value)
    a, b = (answers[(model, 0), 0].correct.astype(float) for model in "ab")
    conditional = drawn.of_these_models(("a", 0), ("b", 0), "accuracy")
    assert conditional.standard_error == pytest.approx((a - b).std() / 20, rel=0.1)
    assert conditional.p_value < 1e-6


def test_equal_models_differ_by_nothing_for_certain_and_seeds_not_in_common_are_left_out():
    answers = {("a", s): binary_case(seed=s) for s in range(3)}
    answers |= {("b", s): binary_case(seed=s) for s in (0, 2, 4)}
    drawn = draw_figures(answers, {s: np.arange(60) for s in (0, 1, 2, 4)}, 200)
    assert drawn.common_seeds("a", "b", "auroc") == [0, 2]
    found = drawn.difference("a", "b", "auroc")
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_same_predictions_give_the_same_interval():
    answers = {
        (model, s): binary_case(seed=3 * s + k) for s in (0, 1) for k, model in enumerate("ab")
    }
    places = {0: np.arange(60), 1: np.arange(60)}
    found = [draw_figures(answers, places, 200).difference("a", "b", "f1") for _ in range(2)]
    assert found[0] == found[1]
    other = draw_figures(answers, places, 200, seed=1).difference("a", "b", "f1")
    assert other.low != found[0].low and other.value == found[0].value


def test_the_interval_of_a_crossed_mean_of_accuracies_is_the_closed_form_s():
    """Two-way variance components without a bootstrap, on the same answers."""
    random = np.random.default_rng(4)
    answers, places = simulated("crossed", 1, 6, 300, (1.5, 1.0, 0.3), 0.3, random)
    own = [[mean_influence(answers[(model, 0), s].correct) for s in range(6)] for model in "ab"]
    gaps = np.array([a - b for (a, _), (b, _) in zip(*own)])
    influences = np.array([a - b for (_, a), (_, b) in zip(*own)])
    found = draw_figures(answers, places, 5000).difference(("a", 0), ("b", 0), "accuracy")
    closed = linear_difference(gaps, influences)
    assert found.value == pytest.approx(closed.value)
    assert found.standard_error == pytest.approx(closed.standard_error, rel=0.02)


def test_skewed_draws_make_a_lopsided_interval():
    """Few rare alarms: their number cannot fall as far as it can rise."""
    units = np.arange(400)
    answers = {}
    for s in range(4):
        targets = np.zeros(400, dtype=bool)
        for model, alarms in (("a", np.arange(s, s + 2)), ("b", [])):
            said = np.isin(units, alarms)
            answers[model, s] = BinaryAnswers(targets, said, said.astype(float), units, 400)
    drawn = draw_figures(answers, dict.fromkeys(range(4), units), 4000)
    found = drawn.difference("a", "b", "false_positives")
    assert found.value == 2
    assert found.high - 2 > 1.05 * (2 - found.low)
