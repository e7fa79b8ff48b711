"""Which tensor of another name is most likely meant, judged by the names alone.

    rnn/basic_lstm_cell/weights        -> rnn/basic_lstm_cell/kernel            TensorFlow 1.2 renamed the cells' variables
    rnn/basic_lstm_cell/biases         -> rnn/basic_lstm_cell/bias
    w/ExponentialMovingAverage         -> w                                     evaluation wants averages, training kept none
    model/dense/kernel                 -> dense/kernel                          a scope more, or less
    dense_1/kernel, dense/kernel_2     -> dense/kernel                          a graph built twice numbers its names
    w/Adam_2                           -> w/Adam

Two names are compared word by word after such differences are taken out. The pairs that look most alike are settled first,
and no tensor is given to two names. Where two candidates look equally likely, there is no telling, and none is taken.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

# Below this, names have nothing to do with each other.
_MIN_LIKENESS = 0.5
# So many pairs are compared at most: the hint at the end of an error must not take minutes.
_MAX_PAIRS = 20_000

_SYNONYMS = {
    "weights": "kernel",
    "weight": "kernel",
    "matrix": "kernel",
    "biases": "bias",
    "b": "bias",
    "w": "kernel",
    "moving_avg": "moving_mean",
    "running_mean": "moving_mean",
    "moving_var": "moving_variance",
    "running_var": "moving_variance",
}
_IGNORED = frozenset({"ExponentialMovingAverage", "VARIABLE_VALUE", ".ATTRIBUTES"})
_NUMBERED = re.compile(r"_\d+\Z")
_WORDS = re.compile(r"[/.]")


def most_likely(candidates: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """For each name the key that is most likely meant, where one is likely.

    Args:
        candidates: For each name the keys that come into question, with the name that each is to be judged by.

    Returns:
        A key for some of the names, in their order; no key twice.
    """
    scored: list[tuple[float, str, str]] = []
    pairs = 0
    for name, keys in candidates.items():
        pairs += len(keys)
        if pairs > _MAX_PAIRS:
            break
        words = _words(name)
        scored += [
            (score, name, key) for key, other in keys.items() if (score := _likeness(words, other, name)) >= _MIN_LIKENESS
        ]
    scored.sort(key=lambda item: -item[0])
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    position = 0
    while position < len(scored):
        score = scored[position][0]
        equal = [item for item in scored[position:] if item[0] == score]
        position += len(equal)
        free = [(name, key) for _, name, key in equal if name not in chosen and key not in taken]
        names, keys_of = [name for name, _ in free], [key for _, key in free]
        for name, key in free:
            if names.count(name) == 1 and keys_of.count(key) == 1:
                chosen[name] = key
        # What was a draw stays undecided: a worse pair must not win because two better ones were equally good.
        taken.update(keys_of)
        chosen.update({name: "" for name in names if name not in chosen})
    return {name: chosen[name] for name in candidates if chosen.get(name)}


def _words(name: str) -> tuple[str, ...]:
    plain = (_NUMBERED.sub("", word) for word in _WORDS.split(name) if word and word not in _IGNORED)
    return tuple(_SYNONYMS.get(word, word) for word in plain)


def _likeness(words: tuple[str, ...], other: str, name: str) -> float:
    """How much alike two names are: 1 for the same words, a little less for those that differ in numbers."""
    theirs = _words(other)
    if not words or not theirs:
        return 0.0
    shorter, longer = sorted((words, theirs), key=len)
    by_words = 2 * _common_end(shorter, longer) / (len(words) + len(theirs))
    by_letters = difflib.SequenceMatcher(None, name, other, autojunk=False).ratio()
    # The words decide; the letters between those whose words are the same.
    return round(max(by_words, 0.9 * by_letters) + 0.1 * by_letters, 6)


def _common_end(shorter: tuple[str, ...], longer: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(reversed(shorter), reversed(longer), strict=False):
        if one != other:
            break
        count += 1
    return count
