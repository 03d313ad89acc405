"""Unpickling runs code; nothing of ours does it."""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("core/rsq", "registry/rsq_registry", "server/rsq_server", "agent/rsq_agent")
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unpicklers(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if node.module and node.module.split(".")[0] in MODULES else []
        elif isinstance(node, ast.Call):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            call = ast.unparse(node.func)
            if options.get("allow_pickle", "False") != "False":
                found.append(f"{call} with allow_pickle")
            if call == "torch.load" and options.get("weights_only") != "True":
                found.append("torch.load without weights_only")
    return found


def test_no_module_unpickles() -> None:
    found = {}
    for package in PACKAGES:
        paths = list((REPOSITORY / package).rglob("*.py"))
        assert paths
        for path in paths:
            if names := unpicklers(ast.parse(path.read_text(encoding="utf-8"))):
                found[str(path.relative_to(REPOSITORY))] = names
    assert found == {}


def test_unpickling_is_found_where_it_is() -> None:
    code = "import pickle\nnp.load(x, allow_pickle=True)\ntorch.load(x)\nfrom dill import load"
    assert len(unpicklers(ast.parse(code))) == 4
