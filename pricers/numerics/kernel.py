"""How numerical code is compiled here: the `kernel` and `device` decorators, and the disk cache behind them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import llvmlite
import numba
import numba.core.caching
import numba.core.compiler
import numba.core.registry
import numba.core.serialize

from pricers.numerics import interpreted, kernel_entry, trusted_folder

__all__ = ["device", "instruction_set", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])
_NUMBA: Any = numba.core  # its inside has no types


@overload
def kernel(function: F, /) -> F: ...
@overload
def kernel(*, sums: bool = False, cached: bool = True) -> Callable[[F], F]: ...
def kernel(function: F | None = None, /, *, sums: bool = False, cached: bool = True) -> F | Callable[[F], F]:
    """Compile a function of bare numbers and arrays; plain (``@kernel``) or with options (``@kernel(sums=True)``).

    What every kernel has, and why:

    - ``nogil``: threads run blocks side by side. No ``parallel=True``: its thread pools do not survive forks and calls
      from several threads, and would make sums depend on the number of threads.
    - ``error_model="numpy"``: ``x / 0`` is infinite or NaN, as in NumPy. The check that raises stops vectorising.
    - No fast-math flag. Each would cost something promised: ``nnan`` and ``ninf`` lose NaN and infinity; ``reassoc``
      may delete the add-and-subtract rounding of `pricers.numerics.elementary`, and every value is wrong; ``arcp`` and ``afn`` round
      differently where a divisor is hoisted or a root is vectorised; ``contract`` lets the compiler choose which product
      of ``a * b + c * d`` is fused, not necessarily alike in the vector body of a loop and in its scalar rest, so that
      a path's bits would depend on where its block ends; ``nsz`` gains nothing. Strict IEEE arithmetic vectorises as
      well, sums along paths excepted, and has the same bits on every path and machine. Where a fused multiply-add pays
      it is written out: `pricers.numerics.elementary.fma`.

    What a loop over paths needs to become vector instructions: the array is indexed by the loop's own variable (an
    index may be negative in Python, so ``a[first + path]`` is gathered element by element: slice first); special
    functions come from `pricers.numerics.elementary`, not from ``math``; a value that was just stored is not read back from its
    array (on some processors that waits for the memory, at three times the cost) but kept in a local variable; one array
    is written to another by `pricers.numerics.rows.copy`, because ``out[:] = x`` takes three times as long (number by number, each looked
    up).

    With NUMBA_DISABLE_JIT=1 in the environment kernels run as plain Python (`pricers.numerics.interpreted`), with the same results, slowly.

    Parameters
    ----------
    function : callable, optional
        The function to compile; not given together with options.
    sums : bool
        Let the compiler reorder additions and fuse products into them, without which no sum along paths vectorises.
        For kernels that do nothing else: their result depends on the length of a sum, not on where it lies in memory.
    cached : bool
        Keep the machine code on disk. Never done for closures and for functions of other packages, because the
        cache's key cannot see what they depend on; a kernel that takes functions as arguments passes False.
    """
    fastmath = {"reassoc", "contract"} if sums else False

    def compiled(function: F) -> F:
        return (
            interpreted.interpreted(function) if _NUMBA.config.DISABLE_JIT else _jit(function, cached=cached, fastmath=fastmath)
        )

    return compiled if function is None else compiled(function)


def device(function: F) -> F:
    """Compile a function for use inside kernels: always inlined into its caller, so that loops over it vectorise.

    Its arithmetic stays strict inside a kernel with ``sums=True``, because flags belong to operations.
    """
    return function if _NUMBA.config.DISABLE_JIT else _jit(function, cached=True, forceinline=True)


def instruction_set() -> dict[str, str]:
    """What kernels are compiled for: the ``cpu``, as LLVM names it, and a digest of the ``features`` that are used of it.

    Where both are the same, and the versions of this package, Python, numba and NumPy too, results have the same bits. Else sums may
    be taken in another order. Without compilation the name is "none".
    """
    if _NUMBA.config.DISABLE_JIT:
        return {"cpu": "none", "features": ""}
    _, cpu, features = _NUMBA.registry.cpu_target.target_context.codegen().magic_tuple()
    return {"cpu": cpu, "features": hashlib.sha256(features.encode()).hexdigest()[:16]}


def _jit(function: F, *, cached: bool, **options: Any) -> F:
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    place = cache_place() if cached and function.__closure__ is None else None
    if place is not None and place.covers(Path(function.__code__.co_filename)):
        dispatcher._cache = DiskCache(place.folder, function)
    compiled: F = dispatcher
    return compiled


class DiskCache(numba.core.caching._Cache):
    """Machine code of one function on disk, a file for each signature and processor.

    Numba's own cache looks at the one file that a function stands in, and goes on using old machine code after a kernel
    that it calls changed in another. Here the folder is named after the content of all sources, so any change starts a
    new one. Its index can also mix up the entries of two processes that compile at once. Here there is none: a file's
    name is a digest of its full key, and it appears complete or not at all. A file begins with a digest of its content, which is
    compared before anything of it is interpreted; a damaged one is removed and compiled anew, and one that cannot be written is left
    out. Files that others can write, or that belong to others, are treated as damaged: what they hold would be run.

    Parameters
    ----------
    folder : Path
        As `cache_place` gives it.
    function : callable
        The plain Python function.
    """

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = folder
        self._name = f"{function.__module__}.{function.__qualname__}.{function.__code__.co_firstlineno}"
        self._enabled = True

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        target_context.refresh()
        file = self._file(sig, target_context)
        if file is None:
            return None
        try:
            reduced = pickle.loads(kernel_entry.read(file, _entry_name(file)))
            return _NUMBA.compiler.CompileResult._rebuild(target_context, *reduced)
        except OSError:  # absent, or not to be read now
            return None
        except Exception:  # broken in whatever way: compiling is the answer to all of them
            with contextlib.suppress(OSError):
                file.unlink()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled function, unless it holds addresses of this process or sources changed since it started."""
        file = self._file(sig, data.target_context)
        if file is None or data.library.has_dynamic_globals:
            return
        with contextlib.suppress(OSError):
            if self._folder.name != _folder_name():
                return
            trusted_folder.make(self._folder, _MODE)
            if trusted_folder.untrusted(self._folder) is None:  # what was not there when it was first examined
                kernel_entry.sweep(self._folder)
                kernel_entry.write(file, _entry_name(file), _NUMBA.serialize.dumps(data._reduce()))

    def enable(self) -> None:
        """Use the disk."""
        self._enabled = True

    def disable(self) -> None:
        """Leave the disk alone."""
        self._enabled = False

    def flush(self) -> None:
        """Forget what is stored of this function."""
        for file in self._folder.glob(f"{self._name}-*"):
            file.unlink(missing_ok=True)

    def _file(self, sig: Any, target_context: Any) -> Path | None:
        key = repr((sig, target_context.codegen().magic_tuple()))
        if not self._enabled or " at 0x" in key:  # a function as an argument, which its address does not identify
            return None
        return self._folder / f"{self._name}-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"


class Place(NamedTuple):
    """A folder for machine code, and when the sources were read that it is named after."""

    folder: Path
    since: float

    def covers(self, source: Path) -> bool:
        """Whether a source file is one of those that were read then, and unchanged."""
        ours = any(source.is_relative_to(package) for package in _PACKAGES)
        return ours and source.is_file() and source.stat().st_mtime < self.since


@functools.cache
def cache_place() -> Place | None:
    """Where machine code is kept, or None if there is no such place.

    Below SCOREGREEKS_CACHE_DIR if the environment has it, which may be filled beforehand and read-only. Else in the
    user's cache folder, or in one in the temporary folder, whichever can be written first. Of these two, folders unused for a month
    are deleted. What lies in such a folder is run. So each is taken only if nobody but the user and the superuser can have put
    something there (`trusted_folder.untrusted`); a warning in the log named ``pricers.numerics.kernel``, which goes to standard error
    unless logging is set up otherwise, says which was refused, why, and where compiled code goes instead.
    """
    since = time.time()
    try:
        name = _folder_name()
    except OSError:  # a source that cannot be read
        return None
    refused: list[tuple[Path, str]] = []
    folder = _usable(name, refused)
    for root, fault in refused:
        _LOG.warning(
            "Compiled kernels are not kept in %s: %s, so that what lies there may be another user's code. %s. Take write access "
            "from others (chmod go-w), or name a folder of your own in SCOREGREEKS_CACHE_DIR.",
            root,
            fault,
            "None are kept" if folder is None else f"They are kept in {folder.parent}",
        )
    return None if folder is None else Place(folder, since)


def _usable(name: str, refused: list[tuple[Path, str]]) -> Path | None:
    """The folder called ``name`` below the first root that is to be trusted and, unless chosen by the user, can be written."""
    if chosen := os.environ.get("SCOREGREEKS_CACHE_DIR"):
        root = Path(chosen).absolute()
        if (fault := _fault(root, name)) is None:
            return root / name
        refused.append((root, fault))
    for make_root in (_user_root, _temporary_root):
        try:
            root = make_root().absolute()
            if (fault := _fault(root, name)) is not None:
                refused.append((root, fault))
                continue
            folder = root / name
            if not folder.is_dir():
                _prune(root)
                trusted_folder.make(folder, 0o700)
            os.utime(folder)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, RuntimeError):  # RuntimeError: the user has no home
            continue
        if _fault(root, name) is None:  # nobody made it first
            return folder
    return _private_folder(name)


def _fault(root: Path, name: str) -> str | None:
    return trusted_folder.untrusted(root) or trusted_folder.untrusted(root / name)


def _private_folder(name: str) -> Path | None:
    """A folder whose name nobody could foresee, for when all others are in somebody's hands; the next process finds it again."""
    prefix = f"{_temporary_root().name}-"
    with contextlib.suppress(OSError):
        base = Path(tempfile.gettempdir()).absolute()
        if trusted_folder.untrusted(base / prefix) is not None:  # a folder beside it would be in somebody's hands as well
            return None
        known = (root for root in sorted(base.glob(f"{prefix}*")) if root.is_dir() and _fault(root, name) is None)
        root = next(known, None) or Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        trusted_folder.make(root / name, 0o700)
        return root / name
    return None


_LOG = logging.getLogger(__name__)
_PACKAGES = (Path(__file__).parents[1], Path(__file__).parents[2] / "greeks")
_PREFIX = "kernels-"
_UNUSED = 30 * 86400.0
_MODE = 0o755
"""Of folders below SCOREGREEKS_CACHE_DIR, which may be filled by the superuser for all. Their files hold no secrets."""


def _user_root() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser() / "scoregreeks"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/scoregreeks").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "scoregreeks"


def _temporary_root() -> Path:
    return Path(tempfile.gettempdir()) / ("scoregreeks" if sys.platform == "win32" else f"scoregreeks-{os.getuid()}")


def _prune(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < time.time() - _UNUSED:
                shutil.rmtree(folder)


def _entry_name(file: Path) -> str:
    """What an entry's digest covers besides its content: sources and compiler, function, signature and processor."""
    return f"{file.parent.name}/{file.name}"


def _folder_name() -> str:
    """Digest of every source file of both packages, and of what compiles them."""
    switches = (_NUMBA.config.OPT, _NUMBA.config.BOUNDSCHECK, _NUMBA.config.LOOP_VECTORIZE, _NUMBA.config.SLP_VECTORIZE)
    digest = hashlib.blake2b(repr((sys.version, numba.__version__, llvmlite.__version__, switches)).encode(), digest_size=16)
    for package in _PACKAGES:
        for path in sorted(package.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package.parent).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return _PREFIX + digest.hexdigest()
