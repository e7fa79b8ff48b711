"""The report about the variables of a program and the tensors of a checkpoint, once it is known which is which.

Beside what fits and what does not it says what may help: names that look alike, a mapping that finds what is missing, and
the ready tables that would find some of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tfsaver.checkpoint.match_report import (
    MatchedTensor,
    MatchReport,
    MismatchedTensor,
    MissingTensor,
)
from tfsaver.checkpoint.names.changes import Known, Spec, folded
from tfsaver.checkpoint.names.name_map import NameMap
from tfsaver.checkpoint.names.name_steps import Renamed
from tfsaver.checkpoint.names.rename_tables import TABLES
from tfsaver.checkpoint.names.tensor_names import TensorNames, plain
from tfsaver.checkpoint.restoring.matching import MAX_COMPARISONS
from tfsaver.checkpoint.restoring.proposals import Proposals, mapping_of_shapes
from tfsaver.checkpoint.restoring.target_matching import GLOBAL_STEP, STEPS, Matching, WantedVariable
from tfsaver.checkpoint.wanted_tensor import is_compatible
from tfsaver.errors import InvalidArgumentError, nearest_names

_PAIRS_IN_TEXT = 12


def report_on(
    matching: Matching, wanted: Sequence[WantedVariable], names: TensorNames, *, checkpoint: str, version: str
) -> MatchReport:
    """What a checkpoint has for some variables.

    Args:
        matching: Who gets what.
        wanted: The variables to report on.
        names: The checkpoint's tensors.
        checkpoint: What to call it.
        version: Its format.
    """
    matched: list[MatchedTensor] = []
    mismatched: dict[str, MismatchedTensor] = {}
    missing: dict[str, WantedVariable] = {}
    left: dict[str, None] = {}
    for item in wanted:
        if item in matching.found:
            result = matching.compare(item)
            if isinstance(result, MatchedTensor):
                matched.append(result)
            else:
                mismatched.setdefault(result.name, result)
        elif item not in matching.ambiguous:
            if item.is_optional:
                left[item.tensor.name] = None
            else:
                missing.setdefault(item.tensor.name, item)
    whole = [item for item in wanted if item.tensor.group is not None]
    fits = {id(item.wanted) for item in matched}
    broken = {item.tensor.group for item in whole if id(item.tensor) not in fits}
    withheld = tuple(item.name for item in matched if item.wanted.group in broken)
    matched = [item for item in matched if item.wanted.group not in broken]
    used = {matching.found[item].key for item in wanted if item in matching.found}
    if any(item.how == STEPS for item in matched):
        used |= {*(matching.state.beta_powers or ()), GLOBAL_STEP}
    unexpected = tuple(key for key in names.keys if key not in used)
    taken = matching.state.tensors.union(found.key for found in matching.found.values())
    candidates = {key: names.spelling(key) for key in unexpected if key not in taken}
    judged = _judged_names(wanted)
    labels = {judged[name]: name for name in missing}
    known = {judged[item.name]: names.spelling(item.key) for item in matched}
    open_ones = {judged[name]: item.tensor for name, item in missing.items()}
    proposals = Proposals(open_ones, candidates, names.info, known, labels)
    likely = {labels[name]: key for name, key in (*proposals.matches.items(), *proposals.guesses.items())}
    spelled = list(candidates.values())
    counts = Counter(spelled)
    mapping: dict[str, str | Renamed] = {}
    guesses = {}
    for name, key in likely.items():
        if counts[candidates[key]] == 1:
            if judged[name] in proposals.matches:
                mapping[candidates[key]] = proposals.target(judged[name])
            else:
                guesses[candidates[key]] = name
    by_label = {item.tensor.name: item.tensor for item in wanted}
    mapping.update(mapping_of_shapes(mismatched.values(), by_label, names.info))
    ambiguous = {item.tensor.name: matching.ambiguous[item] for item in wanted if item in matching.ambiguous}
    return MatchReport(
        checkpoint=checkpoint,
        version=version,
        matched=tuple(matched),
        missing=tuple(
            MissingTensor(name, _near(name, candidates[likely[name]] if name in likely else None, spelled, index))
            for index, name in enumerate(missing)
        ),
        mismatched=tuple(mismatched.values()),
        unexpected=unexpected,
        withheld=withheld,
        full_names=names.full_names,
        mapping=mapping,
        guesses=guesses,
        ambiguous=tuple(ambiguous.values()),
        left=tuple(left),
        notes=(
            *names.notes,
            *matching.notes,
            *_notes_on_order(matched),
            *proposals.notes,
            *_notes_on_tables(missing, candidates, names),
        ),
    )


def _judged_names(wanted: Sequence[WantedVariable]) -> dict[str, str]:
    """The name that each variable is judged by: the shortest that is the end of the name a report has, and no other's.

    In Keras 3 a path begins with the model's name, which no old program had.
    """
    ends: dict[str, list[str]] = {}
    owners: dict[str, set[str]] = {}
    for item in wanted:
        label = item.tensor.name
        ends[label] = [name for name in (*item.names, *item.paths) if f"/{label}".endswith(f"/{name}")]
        for name in (label, *item.names, *item.paths):
            owners.setdefault(name, set()).add(label)
    own = {label: [name for name in names if len(owners[name]) == 1] for label, names in ends.items()}
    return {label: min(names, key=len, default=label) for label, names in own.items()}


def _near(name: str, likely: str | None, names: Sequence[str], index: int) -> tuple[str, ...]:
    first = (likely,) if likely else ()
    if index * len(names) > MAX_COMPARISONS:
        return first
    return (*first, *(other for other in nearest_names(name, names) if other not in first))[:3]


def _notes_on_order(matched: Sequence[MatchedTensor]) -> list[str]:
    """Which pairs rest on nothing but their order: a person should look at them."""
    pairs = [f"{item.key} -> {item.name}" for item in matched if item.how == "shape and order"]
    if not pairs:
        return []
    more = f", and {len(pairs) - _PAIRS_IN_TEXT} more" if len(pairs) > _PAIRS_IN_TEXT else ""
    return [f"paired by their order, since others have their shape too: {', '.join(pairs[:_PAIRS_IN_TEXT])}{more}"]


def _notes_on_tables(missing: dict[str, WantedVariable], candidates: dict[str, str], names: TensorNames) -> list[str]:
    """Which ready tables would find some of what is missing."""
    if not missing:
        return []
    keys_of = {spelling: key for key, spelling in candidates.items()}
    infos = {spelling: names.info(key) for spelling, key in keys_of.items()}
    # As a mapping is understood: any name that is one variable's alone.
    owners: dict[str, set[str]] = {}
    for label, item in missing.items():
        for name in (*item.names, *item.paths):
            owners.setdefault(name, set()).add(label)
    notes = []
    for table, entry in TABLES.items():
        found = set()
        for old, targets in NameMap([entry.step]).apply(infos, problems=[]).items():
            for target in targets:
                labels = owners.get(plain(target.name), ()) if target.name != old else ()
                if len(labels) != 1:
                    continue
                (label,) = labels
                wanted = missing[label].tensor
                info = names.info(keys_of[old])
                try:
                    made = folded(Known(Spec(info.dtype, tuple(info.shape))), target.changes)
                except InvalidArgumentError:
                    continue
                fits = is_compatible(made.shape, wanted.full_shape or wanted.shape)
                if fits and made.dtype.data_type == wanted.dtype.data_type:
                    found.add(label)
        if found:
            counts = f"{len(found)} of the {len(missing)} that are missing"
            notes.append(f"mapping={table!r} finds {counts} ({entry.description})")
    return notes
