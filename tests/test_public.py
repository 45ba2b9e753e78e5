"""What the packages show: typed, documented, cheap to import."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import greeks
import pricers

MODULES = sorted(
    module.name
    for package in (pricers, greeks)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


def _public(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if getattr(value, "__module__", name) == name:
            yield public, getattr(value, "py_func", value)


def _functions(value):
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function) and (not attribute.startswith("_")) and function.__module__ == value.__module__:
                yield attribute, function
    elif inspect.isfunction(value):
        yield value.__name__, value


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_are_typed_and_documented(name):
    for public, value in _public(name):
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{public}"
        kernel = value is not getattr(importlib.import_module(name), public)
        for attribute, function in () if kernel else _functions(value):
            signature = inspect.signature(function)
            untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
            assert not untyped, f"{name}.{public}.{attribute}: {untyped}"
            assert signature.return_annotation is not signature.empty, f"{name}.{public}.{attribute}"
            assert inspect.getdoc(function), f"{name}.{public}.{attribute}"


def test_importing_a_package_imports_nothing_heavy():
    script = (
        "import sys, greeks, pricers; print([m for m in ('numba', 'numpy', 'pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error():
    for package in (pricers, greeks):
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            package.nonsense  # noqa: B018
        assert not hasattr(package, "nonsense")
        assert set(package.__all__) <= {*dir(package), *package.__all__}
