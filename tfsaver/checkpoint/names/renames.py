"""Which tensor of another name is most likely meant, judged by the names alone.

    model/dense/kernel                 -> dense/kernel                          a scope more, or less
    rnn/basic_lstm_cell/weights        -> rnn/basic_lstm_cell/kernel            TensorFlow 1.2 renamed the cells' variables
    rnn/basic_lstm_cell/biases         -> rnn/basic_lstm_cell/bias
    w/ExponentialMovingAverage         -> w                                     evaluation wants averages, training kept none
    dense_1/kernel, dense/kernel_2     -> dense/kernel                          a graph built twice numbers its names
    w/Adam_2                           -> w/Adam

Names are compared word by word, where one may have words in front that the other does not have: first as they are, then
with the words that libraries renamed taken for one. These pairs are matches: a name or a scope is the same on both sides.
What is compared after that is a guess: names without the numbers of their scopes (``dense_1`` may be another layer than
``dense``), the role alone (``kernel`` may be any layer's), and spelling. In each round the most similar pairs are decided
first, and no tensor is given to two names. Where two candidates are equally similar, neither is taken. A variable and its
moving average do not compete: the one is for a name without that word, the other for a name with it.
"""

from __future__ import annotations

import collections
import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import NamedTuple, TypeAlias

Words: TypeAlias = "tuple[str, ...]"
# How alike, the name, the key.
Pair: TypeAlias = "tuple[float, str, str]"

# Below this, the letters of two names have nothing to do with each other.
_MIN_LIKENESS = 0.6
# So many pairs are compared by their letters at most, and so many letters: the hint at the end of an error must not take
# minutes, whatever names a file has.
_MAX_PAIRS = 20_000
_MAX_LETTERS = 50_000_000
# Of longer names, this many words at the end.
_MAX_WORDS = 50

_SYNONYMS = {
    "weights": "kernel",
    "weight": "kernel",
    "matrix": "kernel",
    "w": "kernel",
    "biases": "bias",
    "b": "bias",
    "moving_avg": "moving_mean",
    "running_mean": "moving_mean",
    "moving_var": "moving_variance",
    "running_var": "moving_variance",
}
# What variables of any layer are called: alone such a word says nothing about which layer it is.
_ROLES = frozenset(
    {*_SYNONYMS.values(), "gamma", "beta", "embeddings", "alpha", "scale", "offset", "depthwise_kernel", "pointwise_kernel"}
    | {"recurrent_kernel", "depthwise_weights", "pointwise_weights", "variable", "Variable"}
)
_AVERAGE = "ExponentialMovingAverage"
_IGNORED = frozenset({_AVERAGE, "VARIABLE_VALUE", "ATTRIBUTES"})
# So much less alike are a variable and an average: it decides nothing but what would be a draw.
_OTHER_KIND = 1e-6
_NUMBERED = re.compile(r"_\d+\Z")
_SEPARATORS = re.compile(r"[/.]+")


class Likely(NamedTuple):
    """Which key each name is likely to mean.

    Attributes:
        matches: The keys whose names, or scopes and roles, are the name's own.
        guesses: The keys of other names that are merely similar; no key and no name that is in `matches`.
    """

    matches: dict[str, str]
    guesses: dict[str, str]

    @property
    def all(self) -> dict[str, str]:
        """Both."""
        return {**self.matches, **self.guesses}


def most_likely(candidates: Mapping[str, Mapping[str, str]]) -> Likely:
    """For each name the key that is most likely meant, where one is likely.

    Args:
        candidates: For each name the keys that come into question, with the name that each is to be judged by. Names with
            the same candidates should share one mapping.

    Returns:
        A key for some of the names, in their order; no key twice.
    """
    # What is a draw in one round is not decided by a worse one.
    chosen: dict[str, str] = {}
    closed: set[str] = set()
    taken: set[str] = set()
    for words_of in (_plain_words, _renamed_words):
        _settle(list(_pairs_by_words(candidates, closed, taken, words_of)), chosen, closed, taken)
    roles = _roles_of_several(candidates)
    matches = {
        name: chosen[name]
        for name in candidates
        if name in chosen and not _shared_roles(name, candidates[name][chosen[name]]) & roles
    }
    _settle(list(_pairs_by_words(candidates, closed, taken, _unnumbered_words)), chosen, closed, taken)
    compared = itertools.islice(_pairs_by_letters(candidates, closed, taken), _MAX_PAIRS)
    _settle([pair for pair in compared if pair[0] >= _MIN_LIKENESS], chosen, closed, taken)
    guesses: dict[str, str] = {}
    for name in candidates:
        if name in chosen and name not in matches:
            is_match = _is_of_one_scope(name, candidates[name][chosen[name]])
            (matches if is_match else guesses)[name] = chosen[name]
    return Likely({name: matches[name] for name in candidates if name in matches}, guesses)


def scope_and_role(name: str) -> tuple[Words, str]:
    """The words in front of a variable's last one, and what the last one means: ``weights`` and ``kernel`` are one role."""
    words = _renamed_words(name)
    return words[:-1], _NUMBERED.sub("", words[-1]) if words else ""


def _shared_roles(name: str, other: str) -> frozenset[str]:
    """The role that two names share where they share no more than that."""
    words = min(_renamed_words(name), _renamed_words(other), key=len)
    is_same = _renamed_words(name) == _renamed_words(other)
    return frozenset(words if len(words) == 1 and words[0] in _ROLES and not is_same else ())


def _roles_of_several(candidates: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The roles that several of the names have, or several of the candidates."""
    keys = {key: other for pool in {id(pool): pool for pool in candidates.values()}.values() for key, other in pool.items()}
    several: set[str] = set()
    for names in (candidates, keys.values()):
        counts = collections.Counter(scope_and_role(name)[1] for name in names if _AVERAGE not in name)
        several |= {role for role, count in counts.items() if count > 1}
    return several


def _is_of_one_scope(name: str, other: str) -> bool:
    """Whether names have the same scope and role, and differ in the number behind the role."""
    (scope, role), (other_scope, other_role) = scope_and_role(name), scope_and_role(other)
    size = min(len(scope), len(other_scope))
    return bool(size) and role == other_role and scope[-size:] == other_scope[-size:]


def _settle(pairs: Iterable[Pair], chosen: dict[str, str], closed: set[str], taken: set[str]) -> None:
    """Takes pairs, the most alike first.

    Args:
        pairs: What to choose from.
        chosen: What was chosen; grows.
        closed: The names that were decided about, or cannot be; grows.
        taken: The keys of which that is so; grows.
    """
    for _, draw in itertools.groupby(sorted(pairs, key=lambda pair: -pair[0]), key=lambda pair: pair[0]):
        free = [(name, key) for _, name, key in draw if name not in closed and key not in taken]
        keys_of: dict[str, list[str]] = {}
        names_of: dict[str, list[str]] = {}
        for name, key in free:
            keys_of.setdefault(name, []).append(key)
            names_of.setdefault(key, []).append(name)
        for name, key in free:
            if len(keys_of[name]) == len(names_of[key]) == 1:
                chosen[name] = key
            closed.add(name)
            taken.add(key)


def _pairs_by_words(
    candidates: Mapping[str, Mapping[str, str]], closed: Set[str], taken: Set[str], words_of: Callable[[str], Words]
) -> Iterator[Pair]:
    """Pairs of which one name ends with all the words of the other."""
    indexes: dict[int, tuple[dict[Words, list[str]], dict[Words, list[str]]]] = {}
    for name, keys in candidates.items():
        words = words_of(name)
        if name in closed or not words:
            continue
        if id(keys) not in indexes:
            indexes[id(keys)] = _index({key: words_of(other) for key, other in keys.items() if key not in taken})
        whole, ends = indexes[id(keys)]
        for key in ends.get(words, ()):
            yield len(words) / len(words_of(keys[key])) - _difference(name, keys[key]), name, key
        for start in range(max(1, len(words) - _MAX_WORDS), len(words)):
            for key in whole.get(words[start:], ()):
                yield (len(words) - start) / len(words) - _difference(name, keys[key]), name, key


def _index(words_of_keys: Mapping[str, Words]) -> tuple[dict[Words, list[str]], dict[Words, list[str]]]:
    """The keys by all of their words, and by every end of their words."""
    whole: dict[Words, list[str]] = {}
    ends: dict[Words, list[str]] = {}
    for key, words in words_of_keys.items():
        if words:
            whole.setdefault(words, []).append(key)
        for start in range(max(0, len(words) - _MAX_WORDS), len(words)):
            ends.setdefault(words[start:], []).append(key)
    return whole, ends


def _pairs_by_letters(candidates: Mapping[str, Mapping[str, str]], closed: Set[str], taken: Set[str]) -> Iterator[Pair]:
    num_left = _MAX_LETTERS
    for name, keys in candidates.items():
        if name in closed or len(name) ** 2 > _MAX_LETTERS:
            continue
        matcher = difflib.SequenceMatcher(b=name, autojunk=False)
        for key, other in keys.items():
            if key in taken or (_AVERAGE in name) != (_AVERAGE in other):
                continue
            # To compare two of them costs the product of their lengths.
            num_left -= len(name) * len(other)
            if num_left < 0:
                return
            matcher.set_seq1(other)
            is_near = matcher.real_quick_ratio() >= _MIN_LIKENESS and matcher.quick_ratio() >= _MIN_LIKENESS
            yield matcher.ratio() if is_near else 0.0, name, key


def _difference(name: str, other: str) -> float:
    """What the likeness of two names loses when one is an average's and the other is not."""
    return 0.0 if (_AVERAGE in name) == (_AVERAGE in other) else _OTHER_KIND


def _plain_words(name: str) -> Words:
    return tuple(word for word in _SEPARATORS.split(name) if word and word not in _IGNORED)


def _renamed_words(name: str) -> Words:
    return tuple(_SYNONYMS.get(word, word) for word in _plain_words(name))


def _unnumbered_words(name: str) -> Words:
    plain = (_NUMBERED.sub("", word) for word in _plain_words(name))
    return tuple(_SYNONYMS.get(word, word) for word in plain)
