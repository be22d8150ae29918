"""From what a network says of each step to a text: connectionist temporal classification (Graves et al., 2006) read.

A path has a code per step. Its text has repeated codes once and no blanks; many paths have the same text. Code 0 is
the blank, code k the alphabet's character k - 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# So many lines are searched at once: enough to share NumPy's calls, few enough to stay in the caches.
LINES_AT_ONCE = 128


def read_greedily(path: NDArray[np.integer], alphabet: tuple[str, ...]) -> str:
    """The text of one path.

    Args:
        path: (time,) the best code of each step.
        alphabet: the characters of the codes from 1 on.
    """
    changed = np.concatenate([[True], path[1:] != path[:-1]])
    return _text(path[changed & (path > 0)], alphabet)


def read_by_beam_search(
    log_probabilities: NDArray[np.floating], alphabet: tuple[str, ...], width: int
) -> list[str]:
    """The most probable text of each line, as far as a beam search finds it. See `beam_search`.

    Args:
        log_probabilities: (lines, time, 1 + characters), natural logarithms.
        alphabet: the characters of the codes from 1 on.
        width: texts that are kept at each step.
    """
    return [
        _text(codes, alphabet)
        for start in range(0, len(log_probabilities), LINES_AT_ONCE)
        for codes in beam_search(log_probabilities[start : start + LINES_AT_ONCE], width)[0]
    ]


def _text(codes: NDArray[np.integer], alphabet: tuple[str, ...]) -> str:
    return "".join(alphabet[code - 1] for code in codes)


def beam_search(
    log_probabilities: NDArray[np.floating], width: int
) -> tuple[list[NDArray[np.int16]], NDArray[np.float64]]:
    """Prefix beam search (Hannun et al., 2014, arXiv:1408.2873, algorithm 1) without a language model.

    At every step the `width` most probable prefixes stay. The probability of a prefix is summed over its paths,
    apart for those that end in a blank and those that do not: only behind a blank is a repeated code a character of
    its own. A beam wide enough for every prefix gives the most probable text and its exact probability.

    Args:
        log_probabilities: (lines, time, codes), natural logarithms; at most 32767 codes.
        width: prefixes that are kept, at least 1.

    Returns:
        For each line the codes of the most probable prefix that is left at the end; and (lines,) the logarithm of
        what the search has summed for it, at most its true probability.

    Raises:
        ValueError: the width is below 1.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    lines, time, codes = log_probabilities.shape
    # Enough to extend a prefix by: at most one of the width + 1 best characters repeats its last one, so any other
    # character makes a prefix that at least `width` prefixes beat. Nothing is lost.
    count = min(codes - 1, width + 1)
    characters = log_probabilities[:, :, 1:]
    best = characters.argpartition(codes - 1 - count, axis=2)[:, :, codes - 1 - count :] + 1
    beam = _Beam.before_the_first_step(lines, width, time)
    for step in range(time):
        beam = _advanced(beam, log_probabilities[:, step].astype(np.float64), best[:, step])
    total = beam.total()
    row, first = np.arange(lines), total.argmax(axis=1)
    ends = beam.lengths[row, first]
    found = [prefix[:end] for prefix, end in zip(beam.prefixes[row, first], ends, strict=True)]
    return found, total[row, first]


@dataclass(frozen=True)
class _Beam:
    """The prefixes of some lines after a step.

    Attributes:
        prefixes: (lines, width, time) int16 codes, 0 behind the end.
        lengths: (lines, width) int64.
        blank, other: (lines, width) float64, logarithms of the probability of the paths that end in a blank and of
            those that end in the prefix's last character. Minus infinity where there are none: both, where there
            are fewer prefixes than places.
    """

    prefixes: NDArray[np.int16]
    lengths: NDArray[np.int64]
    blank: NDArray[np.float64]
    other: NDArray[np.float64]

    @classmethod
    def before_the_first_step(cls, lines: int, width: int, time: int) -> "_Beam":
        """The empty prefix, certain."""
        blank = np.full((lines, width), -np.inf)
        blank[:, 0] = 0.0
        shape = (lines, width, time)
        nothing = np.full((lines, width), -np.inf)
        return cls(np.zeros(shape, np.int16), np.zeros(shape[:2], np.int64), blank, nothing)

    def total(self) -> NDArray[np.float64]:
        """(lines, width) logarithms of the prefixes' probabilities."""
        return np.logaddexp(self.blank, self.other)

    def last(self) -> NDArray[np.int16]:
        """(lines, width) the prefixes' last codes, 0 of an empty one."""
        row, place = np.ogrid[: self.lengths.shape[0], : self.lengths.shape[1]]
        return self.prefixes[row, place, np.maximum(self.lengths - 1, 0)]


def _advanced(beam: _Beam, scores: NDArray[np.float64], best: NDArray[np.int64]) -> _Beam:
    """The beam after one more step.

    Args:
        scores: (lines, codes) logarithms of the step's probabilities.
        best: (lines, some) the codes to extend prefixes by.
    """
    lines, width = beam.lengths.shape
    row = np.arange(lines)[:, None]
    total, last = beam.total(), beam.last()
    # A prefix stays when a blank comes, or its last character again.
    blank = total + scores[:, :1]
    other = beam.other + scores[row, last]
    # It grows by a character; by its own last one only behind a blank.
    repeated = best[:, None, :] == last[:, :, None]
    grown = np.where(repeated, beam.blank[:, :, None], total[:, :, None])
    grown += scores[row, best][:, None, :]

    # What grows into a prefix that is in the beam already joins its paths.
    line, parent, child = _families(beam, total)
    code = last[line, child]
    behind = np.where(code == last[line, parent], beam.blank[line, parent], total[line, parent])
    joining = behind + scores[line, code]
    other[line, child] = np.logaddexp(other[line, child], joining)
    pair, place = np.nonzero(best[line] == code[:, None])
    grown[line[pair], parent[pair], place] = -np.inf

    candidates = np.concatenate([np.logaddexp(blank, other), grown.reshape(lines, -1)], axis=1)
    rest = candidates.shape[1] - width
    chosen = candidates.argpartition(rest, axis=1)[:, rest:]
    stays = chosen < width
    grows_from, grows_by = np.divmod(chosen - width, max(best.shape[1], 1))
    source = np.where(stays, chosen, grows_from)
    prefixes, lengths = beam.prefixes[row, source], beam.lengths[row, source]
    line, place = np.nonzero(~stays)
    prefixes[line, place, lengths[line, place]] = best[line, grows_by[line, place]]
    lengths[line, place] += 1
    return _Beam(
        prefixes,
        lengths,
        np.where(stays, blank[row, source], -np.inf),
        np.where(stays, other[row, source], candidates[row, chosen]),
    )


def _families(
    beam: _Beam, total: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where one prefix of a line is another one without its last character.

    Args:
        total: (lines, width) the prefixes' logarithms of probabilities. A place without a prefix is nobody's child.

    Returns:
        Three arrays (pairs,): the line, the place of the shorter prefix, and that of the longer one.
    """
    longer = beam.lengths[:, None, :] == beam.lengths[:, :, None] + 1
    line, parent, child = np.nonzero(longer & np.isfinite(total)[:, None, :])
    longest = int(beam.lengths.max())
    ends = np.arange(longest) < beam.lengths[line, parent][:, None]
    differ = beam.prefixes[line, parent, :longest] != beam.prefixes[line, child, :longest]
    same = ~(differ & ends).any(axis=1)
    return line[same], parent[same], child[same]
