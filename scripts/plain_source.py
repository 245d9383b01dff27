"""A modelling module of the reference as plain statements, so that two families' can be compared."""

from __future__ import annotations

import ast
from pathlib import Path

#: Arguments by keyword that change what a call computes.
_KEPT = {"scaling", "sliding_window", "softcap", "s_aux"}


class Module:
    """The classes and functions of a modelling module, by the reference's names without the family's."""

    def __init__(self, paths: list[Path], words: str) -> None:
        text = "".join(path.read_text(encoding="utf-8") for path in paths)
        self._nodes = {
            node.name: node
            for node in ast.parse(text.replace(words, "")).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }

    def forward(self, name: str, method: str = "forward") -> list[str]:
        """The statements of a class's method, or of a function; [] where there is none."""
        node = self._nodes.get(name)
        if isinstance(node, ast.ClassDef):
            functions = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
            node = next((function for function in functions if function.name == method), None)
        return _statements(node) if isinstance(node, ast.FunctionDef) else []

    def members(self, name: str) -> dict[str, ast.expr]:
        """What a class's ``__init__`` makes its own: name -> expression."""
        node = self._nodes.get(name)
        inner = [own for own in ast.walk(node) if isinstance(own, ast.Assign)] if node else []
        return {
            target.attr: own.value
            for own in inner
            for target in own.targets
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
        }


class _Plain(ast.NodeTransformer):
    """Leaves out what does not matter: annotations, docstrings, dropout, what calls are told by keyword."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value, lineno=node.lineno))

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        is_dropout = "dropout(" in ast.unparse(node.value).split("self.")[0]
        return None if is_dropout else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg in _KEPT]
        node.args = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        return self.generic_visit(node)


def _statements(function: ast.FunctionDef) -> list[str]:
    bare = [_Plain().visit(statement) for statement in function.body]
    return [ast.unparse(statement) for statement in bare if statement is not None]
