"""The mutants of a source file: small changes of its syntax tree, each made in the text.

A mutant replaces one span of the source, so that the rest of the file keeps its form and a person sees the change in the
lines that differ. Docstrings, annotations, messages and imports have no mutants: no test should notice those.
"""

from __future__ import annotations

import ast
import io
import itertools
import random
import tokenize
from collections.abc import Sequence
from typing import NamedTuple

_COMPARISONS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "is": "is not", "is not": "is", "in": "not in", "not in": "in", "and": "or", "or": "and",
}  # fmt: skip
_ARITHMETIC = {
    "+": "-", "-": "+", "*": "//", "//": "*", "/": "*", "%": "*", "&": "|", "|": "&", "^": "&", "<<": ">>", ">>": "<<",
    "**": "*", "@": "+",
}  # fmt: skip
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Methods that look for their argument.
_SEARCHES = frozenset(
    ("startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit", "partition", "rpartition", "join", "find")
)


class Mutant(NamedTuple):
    """One change of one file. `lines` are those of the statement around it, without the body of a compound one."""

    file: str
    source: str
    start: int
    end: int
    text: str
    line: int
    lines: range
    function: str

    @property
    def mutated(self) -> str:
        """The whole file with the change."""
        return self.source[: self.start] + self.text + self.source[self.end :]

    @property
    def diff(self) -> tuple[str, str]:
        """The first line that the change touches, as it was and as it is, without indentation."""
        for before, after in zip(self.source.splitlines(), self.mutated.splitlines(), strict=False):
            if before != after:
                return before.strip(), after.strip()
        raise AssertionError(f"{self.file}:{self.line}: the change shows in no line")

    @property
    def is_valid(self) -> bool:
        """Whether the change compiles, and changes more than the text."""
        try:
            tree = ast.parse(self.mutated)
            compile(tree, self.file, "exec")
        except SyntaxError:
            return False
        return ast.dump(tree) != ast.dump(ast.parse(self.source))


class _Finder(ast.NodeVisitor):
    """Collects the edits of one file."""

    def __init__(self, file: str, source: str) -> None:
        self.mutants: list[Mutant] = []
        self._file = file
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = source.splitlines()
        self._tokens = [
            (self._starts[token.start[0] - 1] + token.start[1], self._starts[token.end[0] - 1] + token.end[1], token.string)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type in (tokenize.OP, tokenize.NAME)
        ]
        self._function: list[str] = []
        self._statement = range(1)

    # ---- positions ----

    def _offset(self, line: int, column: int) -> int:
        """The AST counts columns in bytes of UTF-8."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self._offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self._offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def _add(self, node: ast.AST, span: tuple[int, int], text: str) -> None:
        line: int = node.lineno  # type: ignore[attr-defined]
        function = ".".join(self._function)
        self.mutants.append(Mutant(self._file, self._source, *span, text, line, self._statement, function))

    def _replace(self, node: ast.AST, text: str) -> None:
        self._add(node, self._span(node), text)

    def _swap_operator(self, node: ast.AST, left: ast.AST, right: ast.AST, swaps: dict[str, str]) -> None:
        """Between the operands stand the operator and nothing else but parentheses."""
        start, end = self._span(left)[1], self._span(right)[0]
        tokens = [token for token in self._tokens if start <= token[0] < end and token[2] not in "()"]
        operator = " ".join(token[2] for token in tokens)
        if operator in swaps:
            self._add(node, (tokens[0][0], tokens[-1][1]), swaps[operator])

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, (ast.stmt, ast.ExceptHandler)):
            super().visit(node)
            return
        outer = self._statement
        body = getattr(node, "body", None)
        end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
        self._statement = range(node.lineno, max(end, node.lineno + 1))
        super().visit(node)
        self._statement = outer

    # ---- what has no mutants, or only in parts ----

    def _visit_all(self, nodes: Sequence[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Module(self, node: ast.Module) -> None:
        self._visit_body(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._function.append(node.name)
        self._visit_body(node.body)
        self._function.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._function.append(node.name)
        self._visit_all([*node.args.defaults, *node.args.kw_defaults])
        self._visit_body(node.body)
        self._function.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def _visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not is_text and not isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.value])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Positions in f-strings are right from Python 3.12 on; messages have no mutants anyway."""

    # ---- statements ----

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace(node, "return None")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._force(node.test, "True", "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._force(node.test, "True", "False")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._force(node.test, "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._force(test, "True")
        self.generic_visit(node)

    def _force(self, test: ast.expr, *values: str) -> None:
        if not isinstance(test, ast.Constant):
            for value in values:
                self._replace(test, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._swap_operator(node, node.target, node.value, {f"{old}=": f"{new}=" for old, new in _ARITHMETIC.items()})
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Tuple):
            for index, _ in enumerate(node.type.elts):
                others = [ast.unparse(item) for place, item in enumerate(node.type.elts) if place != index]
                self._replace(node.type, f"({', '.join(others)},)")
        elif node.type is not None:
            self._replace(node.type, "()")
        self._visit_body(node.body)

    # ---- expressions ----

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, right in itertools.pairwise(operands):
            self._swap_operator(node, left, right, _COMPARISONS)
            self._change_text(right)
        self._change_text(node.left)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in itertools.pairwise(node.values):
            self._swap_operator(node, left, right, _COMPARISONS)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._swap_operator(node, node.left, node.right, _ARITHMETIC)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            start, _ = self._span(node)
            self._add(node, (start, self._span(node.operand)[0]), "(" if self._opens_parenthesis(node) else "")
        self.generic_visit(node)

    def _opens_parenthesis(self, node: ast.UnaryOp) -> bool:
        return "(" in self._source[self._span(node)[0] : self._span(node.operand)[0]]

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1))
            if node.value > 0:
                self._replace(node, str(node.value - 1))

    def _change_text(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            self._replace(node, repr(node.value + ("~" if isinstance(node.value, str) else b"~")))  # type: ignore[operator]
        elif isinstance(node, (ast.Tuple, ast.Set, ast.List)):
            for item in node.elts:
                self._change_text(item)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._change_text(node.slice)
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None:
                self._replace(bound, "")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if key is not None:
                self._change_text(key)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            self._replace(node.func, _FUNCTIONS[node.func.id])
        if isinstance(node.func, ast.Attribute) and node.func.attr in _SEARCHES:
            for argument in node.args:
                self._change_text(argument)
        for option in node.keywords:
            if option.arg is not None:
                self._drop_option(node, option)
        self.generic_visit(node)

    def _drop_option(self, node: ast.Call, option: ast.keyword) -> None:
        start, end = self._span(option)
        comma = next((token for token in self._tokens if token[0] >= end), None)
        if comma is not None and comma[2] == ",":
            end = comma[1] + (self._source[comma[1] : comma[1] + 1] == " ")
        self._add(node, (start, end), "")


def mutants_of(file: str, source: str) -> list[Mutant]:
    """All mutants of a file, in the order of its text; some may not be valid."""
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.mutants), key=lambda mutant: (mutant.start, mutant.end, mutant.text))


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many valid ones of the mutants, the same for a seed, in the order in which they were given."""
    order = list(range(len(mutants)))
    random.Random(seed).shuffle(order)
    valid = itertools.islice((index for index in order if mutants[index].is_valid), count)
    return [mutants[index] for index in sorted(valid)]
