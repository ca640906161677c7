"""Who may import whom: contracts ← runtime ← services (docs/architecture.md). A rule that is not tested is a wish."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = {"gateway", "memory_writer", "indexer", "categorizer", "audit", "standalone"}
COMPOSES_OTHERS = "standalone"
MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class Module:
    package: str
    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[tuple[str, int]]:
        """Full names of what it imports, with the line; `from a import b` counts as `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: a relative import"
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)

    def names(self) -> Iterator[str]:
        """Every identifier, attribute and string of the module."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                    yield name
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    yield name
                case ast.Constant(value=str(text)):
                    yield text
                case _:
                    pass


def _modules() -> list[Module]:
    found: list[Module] = []
    for path in sorted([*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]):
        parts = path.relative_to(next(p for p in path.parents if p.name == "src")).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found.append(Module(parts[0], name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return found


MODULES = _modules()


def _of(package: str) -> list[Module]:
    found = [module for module in MODULES if module.package == package]
    assert found, f"there is no package {package} any more: these rules are stale"
    return found


def _breaches(modules: list[Module], allowed: set[str]) -> list[str]:
    """Imports whose first part is neither allowed nor of the standard library."""
    return [
        f"{module.name}:{line} imports {imported}"
        for module in modules
        for imported, line in module.imports()
        if imported.split(".")[0] not in allowed | sys.stdlib_module_names
    ]


def test_contracts_import_pydantic_and_the_standard_library_only() -> None:
    assert _breaches(_of("contracts"), {"contracts", "pydantic", "pydantic_core"}) == []


def test_the_runtime_imports_no_service() -> None:
    found = [
        f"{module.name}:{line} imports {imported}"
        for module in _of("runtime")
        for imported, line in module.imports()
        if imported.split(".")[0] in SERVICES
    ]
    assert found == []


_DOMAIN = re.compile(r"memory|memories|categor", re.IGNORECASE)


def test_the_runtime_has_no_domain_words() -> None:
    """Plumbing that knows what it carries cannot be reused, and hides rules where nobody looks for them."""
    modules = [module for module in _of("runtime") if module.name not in ("runtime.settings",)]
    events = {"MemoryAdded", "MemoryRevised", "MemoryDeleted", "AddMemory", "AppRegistered", "UserRegistered"}
    for module in modules:
        docs = {ast.get_docstring(n, clean=False) for n in ast.walk(module.tree) if isinstance(n, _DOCUMENTED)}
        words = [w for w in module.names() if w not in docs and _DOMAIN.search(w)]
        assert words == [], module.name
        assert not events & set(module.names()), module.name


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("service", sorted(SERVICES - {COMPOSES_OTHERS}))
def test_a_service_imports_no_other(service: str) -> None:
    found = [
        f"{module.name}:{line} imports {imported}"
        for module in _of(service)
        for imported, line in module.imports()
        if imported.split(".")[0] in SERVICES - {service}
    ]
    assert found == []


def test_every_service_is_known_to_these_rules() -> None:
    assert {module.package for module in MODULES if "services" in module.path.parts} == SERVICES


def test_the_domain_is_pure() -> None:
    """Only contracts, the standard library without I/O, clock and chance, and the decider's type."""
    domain = [module for module in _of("memory_writer") if module.name.startswith("memory_writer.domain")]
    assert domain
    assert _breaches(domain, {"contracts", "runtime", "memory_writer"}) == []
    impure = {"asyncio", "datetime", "io", "os", "pathlib", "random", "secrets", "socket", "sys", "time", "uuid"}
    for module in domain:
        for imported, line in module.imports():
            where = f"{module.name}:{line} imports {imported}"
            first = imported.split(".")[0]
            assert first not in impure, where
            assert first != "runtime" or imported.startswith("runtime.decider."), where
            assert first != "memory_writer" or imported.startswith("memory_writer.domain."), where


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_module_is_too_long(module: Module) -> None:
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


_SETTINGS = {"runtime.settings.load_settings", "os.environ", "os.getenv"}
_ADAPTERS = {
    "runtime.postgres.create_pool",
    "runtime.nats.connect",
    "runtime.keys.MasterKey",
    "nats.connect",
    "asyncpg.connect",
    "asyncpg.create_pool",
}


@pytest.mark.parametrize("service", sorted(SERVICES - {COMPOSES_OTHERS}))
def test_only_the_container_reads_settings_and_builds_adapters(service: str) -> None:
    found: list[str] = []
    for module in _of(service):
        if module.name in (f"{service}.container", f"{service}.__main__"):
            continue
        imported = dict(module.imports())
        found += [f"{module.name}:{imported[name]} imports {name}" for name in (_SETTINGS | _ADAPTERS) & set(imported)]
        if any(name.startswith("runtime.settings.") for name in imported):
            found.append(f"{module.name} imports settings")
        if {"environ", "getenv"} & set(module.names()):
            found.append(f"{module.name} reads the environment")
    assert found == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_importing_a_module_does_no_io(module: Module) -> None:
    """No call of a function at module level that opens, connects or starts something."""
    forbidden = {"open", "connect", "create_pool", "run", "load_settings", "read_text", "read_bytes", "start"}
    for statement in module.tree.body:
        if isinstance(statement, (*_DOCUMENTED[1:], ast.Import, ast.ImportFrom, ast.If)):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in forbidden, f"{module.name}:{node.lineno} calls {name} when it is imported"
