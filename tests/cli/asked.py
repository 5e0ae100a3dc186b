"""What the command line asks of the API, read from its source: each call's method with the form of its path."""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
READING = frozenset({"get", "get_if_any", "everything", "newest", "stream"})
SOMETHING = "{}"
"""A word of a path that comes from the user or the server."""

Texts = frozenset[str]


def asked(source: Path, given: Mapping[str, str]) -> Iterator[str]:
    """Each route that a module asks for, as `GET /apps/{}`.

    `given` are those whose address an answer of the server named, by the words of the source; a target of whose form
    neither says anything fails.
    """
    module = Module(ast.parse(source.read_text()))
    for function, node in module.functions.items():
        for call in _calls_in(node):
            for methods, target in _targets(call):
                forms = {form for form in module.texts(function, target) if form.startswith("/")}
                words = ast.unparse(target)
                assert forms or words in given, f"{source.name}: {function} asks for {words}: which route is it?"
                yield from (f"{method} {form}" for method in methods for form in forms)
                if not forms:
                    yield given[words]


def _calls_in(function: ast.FunctionDef) -> Iterator[ast.Call]:
    return (each for each in ast.walk(function) if isinstance(each, ast.Call))


def _targets(call: ast.Call) -> Iterator[tuple[frozenset[str], ast.expr]]:
    """The methods that a call may use, and what it asks for."""
    if isinstance(call.func, ast.Attribute) and _is_client(call.func.value) and call.args:
        if call.func.attr in READING:
            yield frozenset({"GET"}), call.args[0]
        elif call.func.attr == "send":
            yield frozenset({"PUT"}), call.args[0]
    for word, following in zip(call.args, call.args[1:], strict=False):
        choices = [word.body, word.orelse] if isinstance(word, ast.IfExp) else [word]
        methods = frozenset(str(each.value) for each in choices if isinstance(each, ast.Constant))
        if methods and methods <= METHODS:
            yield methods, following


def _is_client(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="client") | ast.Attribute(attr="client") | ast.Call(func=ast.Name(id="Client")):
            return True
        case _:
            return False


class Module:
    """A module's functions, and what its expressions can be as far as that is written there."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
        # What each name stands for, by the function that it is a name in: an expression and where that is written.
        self._names: dict[tuple[str, str], list[tuple[str, ast.expr]]] = defaultdict(list)
        self._known: dict[tuple[str, int], Texts] = {}
        for function, body in [("", tree.body), *((name, ast.walk(each)) for name, each in self.functions.items())]:
            for name, value in _bound(body):
                self._names[function, name].append((function, value))
        for function, node in self.functions.items():
            for call in _calls_in(node):
                self._hand_over(function, call)

    def _hand_over(self, caller: str, call: ast.Call) -> None:
        """A function's parameters are what it is called with in its own module."""
        if isinstance(call.func, ast.Name) and call.func.id in self.functions:
            for parameter, given in zip(self.functions[call.func.id].args.args, call.args, strict=False):
                self._names[call.func.id, parameter.arg].append((caller, given))

    def texts(self, function: str, node: ast.expr) -> Texts:
        """The texts that an expression of a function may be, up to the query of an address; none where nothing says."""
        key = (function, id(node))
        if key not in self._known:
            self._known[key] = frozenset()  # what is made of itself says nothing more
            self._known[key] = self._texts(function, node)
        return self._known[key]

    def _texts(self, function: str, node: ast.expr) -> Texts:
        def inner(each: ast.expr) -> Texts:
            return self.texts(function, each)

        found: Texts = frozenset()
        match node:
            case ast.Constant(value=str(text)):
                found = frozenset({text})
            case ast.Call(func=ast.Name(id="path"), args=parts):
                found = _joined([_word_of_path(part, inner) for part in parts])
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                ends = (each.value for each in ast.walk(self.functions[name]) if isinstance(each, ast.Return))
                found = _any_of(self.texts(name, each) for each in ends if each is not None)
            case ast.JoinedStr(values=values):
                found = _before_query([inner(each) for each in values])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = _before_query([inner(left), inner(right)])
            case ast.FormattedValue(value=value) | ast.Subscript(value=value):
                found = inner(value)
            case ast.IfExp(body=one, orelse=other):
                found = inner(one) | inner(other)
            case ast.Tuple(elts=several):
                found = _any_of(map(inner, several))
            case ast.Name(id=name):
                of = self._names[function, name] or self._names["", name]
                found = _any_of(self.texts(*each) for each in of)
        return found


def _bound(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """Names with each thing that is assigned to them."""
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=several)], value=value):
                for number, each in enumerate(several):
                    if isinstance(each, ast.Name):
                        yield from ((each.id, part) for part in _element(value, number))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.For(target=ast.Name(id=name), iter=ast.Tuple(elts=several)):
                yield from ((name, each) for each in several)


def _element(value: ast.expr, number: int) -> list[ast.expr]:
    match value:
        case ast.Tuple(elts=several):
            return [several[number]]
        case ast.IfExp(body=one, orelse=other):
            return _element(one, number) + _element(other, number)
        case _:
            return [value]


def _word_of_path(part: ast.expr, texts: Callable[[ast.expr], Texts]) -> Texts:
    if isinstance(part, ast.Starred):  # one word, or none
        return frozenset({"", f"/{SOMETHING}"})
    words = {each for each in texts(part) if each and "/" not in each}
    return frozenset(f"/{each}" for each in words or {SOMETHING})


def _any_of(several: Iterable[Texts]) -> Texts:
    return frozenset(each for texts in several for each in texts)


def _joined(parts: Iterable[Texts]) -> Texts:
    return frozenset("".join(each) for each in product(*parts))


def _before_query(parts: Iterable[Texts]) -> Texts:
    whole = frozenset({""})
    for part in parts:
        if part:
            whole = _joined([whole, part])
        elif not all("?" in each for each in whole):
            return frozenset()
    return frozenset(each.partition("?")[0] for each in whole)
