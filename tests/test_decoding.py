"""Readings of connectionist temporal classification, against all paths written out and against a plain beam search."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from liquidbench.evaluation.decoding import beam_search, read_by_beam_search, read_greedily

ALPHABET = ("a", "b", "c")


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """What a path writes: repeated codes once, no blanks."""
    return tuple(code for code, _ in itertools.groupby(path) if code > 0)


def by_all_paths(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every text, by going through every path."""
    steps, codes = probabilities.shape
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(codes), repeat=steps):
        texts[collapsed(path)] += np.prod([probabilities[t, code] for t, code in enumerate(path)])
    return texts


def by_plain_beam_search(probabilities: np.ndarray, width: int) -> tuple[int, ...]:
    """Hannun's algorithm with a dictionary, all codes and plain probabilities."""
    beam = {(): (1.0, 0.0)}
    for step in probabilities:
        found: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for text, (blank, other) in beam.items():
            found[text][0] += (blank + other) * step[0]
            if text:
                found[text][1] += other * step[text[-1]]
            for code in range(1, len(step)):
                before = blank if text and text[-1] == code else blank + other
                found[(*text, code)][1] += before * step[code]
        best = sorted(found, key=lambda text: sum(found[text]), reverse=True)[:width]
        beam = {text: tuple(found[text]) for text in best}
    return max(beam, key=lambda text: sum(beam[text]))


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def test_greedy_reading():
    assert read_greedily(np.array([0, 1, 1, 0, 1, 2, 2, 0]), ("a", "b")) == "aab"
    assert read_greedily(np.array([0, 0]), ("a", "b")) == ""
    assert read_greedily(np.array([2]), ("a", "b")) == "b"


def test_beam_search_finds_what_no_single_path_tells():
    # The best path is two blanks, 0.36; "a" has three paths, 0.16 + 0.24 + 0.24.
    line = np.array([[0.6, 0.4], [0.6, 0.4]])
    assert read_greedily(line.argmax(axis=1), ALPHABET) == ""
    assert read_by_beam_search(logarithms(line)[None], ALPHABET, 2) == ["a"]
    (codes,), (found,) = beam_search(logarithms(line)[None], 2)
    assert codes.tolist() == [1] and np.exp(found) == pytest.approx(0.64, rel=1e-12)
    # With one place the empty text is kept, which leads after the first step.
    assert read_by_beam_search(logarithms(line)[None], ALPHABET, 1) == [""]


def test_a_character_is_doubled_only_across_a_blank():
    sure = np.eye(4)
    for path, text in (([1, 1], "a"), ([1, 0, 1], "aa"), ([0, 2, 2, 3, 0, 3], "bcc"), ([0, 0], "")):
        for width in (1, 5):
            assert read_by_beam_search(logarithms(sure[path])[None], ALPHABET, width) == [text]


@pytest.mark.parametrize("concentration", [0.3, 1.0, 3.0])
def test_a_wide_beam_is_exact(concentration):
    generator = np.random.default_rng(0)
    for _ in range(40):
        steps, codes = generator.integers(1, 7), generator.integers(2, 5)
        line = generator.dirichlet(np.full(codes, concentration), steps)
        if generator.random() < 0.3:
            # Some characters cannot be.
            line[generator.random(line.shape) < 0.3] = 0
            line[:, 0] += 0.01
        texts = by_all_paths(line)
        (found,), (probability,) = beam_search(logarithms(line)[None], len(texts))
        best = max(texts.values())
        assert texts[tuple(found.tolist())] == pytest.approx(best, rel=1e-12)
        assert np.exp(probability) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_narrow_beam_keeps_what_a_plain_one_with_all_characters_keeps(width):
    generator = np.random.default_rng(width)
    lines = generator.dirichlet(np.full(13, 0.2), (60, 25))
    (found, probabilities) = beam_search(logarithms(lines), width)
    assert [tuple(codes.tolist()) for codes in found] == [
        by_plain_beam_search(line, width) for line in lines
    ]
    assert (probabilities <= 0).all()


def test_beam_search_of_sure_steps_is_greedy_reading():
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 4, (30, 20))
    lines = np.full((30, 20, 4), 0.001)
    np.put_along_axis(lines, codes[:, :, None], 0.997, axis=2)
    expected = [read_greedily(path, ALPHABET) for path in codes]
    assert read_by_beam_search(logarithms(lines), ALPHABET, 1) == expected
    assert read_by_beam_search(logarithms(lines), ALPHABET, 10) == expected


def test_lines_do_not_depend_on_those_beside_them_nor_on_their_number():
    lines = np.random.default_rng(1).dirichlet(np.full(4, 0.5), (300, 9))
    together = read_by_beam_search(logarithms(lines), ALPHABET, 3)
    assert len(together) == 300
    assert together == [
        read_by_beam_search(logarithms(line)[None], ALPHABET, 3)[0] for line in lines
    ]


def test_long_lines_do_not_underflow():
    # 4^-3000 is far below the smallest number.
    line = np.full((1, 3000, 4), 0.25)
    (found,), (probability,) = beam_search(logarithms(line), 2)
    assert len(found) > 0 and -3000 * np.log(4) < probability < 0


def test_an_alphabet_without_characters_and_a_beam_without_places():
    assert read_by_beam_search(np.zeros((2, 3, 1)), (), 4) == ["", ""]
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        beam_search(np.zeros((1, 1, 2)), 0)
