"""How numerical code is compiled here: the `kernel` and `device` decorators, and the disk cache behind them."""

import functools
import hashlib
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import llvmlite
import numba
import numba.core.caching
import numba.core.config
import numba.core.serialize
from numba.core.compiler import CompileResult

F = TypeVar("F", bound=Callable[..., Any])

PACKAGES = (Path(__file__).parent, Path(__file__).parents[1] / "greeks")
CACHE_VARIABLE = "SCOREGREEKS_CACHE_DIR"
UNUSED_DAYS = 30.0


@overload
def kernel(function: F, /) -> F: ...
@overload
def kernel(*, sums: bool = False, cached: bool = True) -> Callable[[F], F]: ...
def kernel(function: F | None = None, /, *, sums: bool = False, cached: bool = True) -> F | Callable[[F], F]:
    """Compile a function of bare numbers and arrays; bare (``@kernel``) or with options (``@kernel(sums=True)``).

    The options that every kernel has, and why:

    - ``nogil``: threads run blocks side by side. No ``parallel=True``: its thread pools do not survive forks and
      nested threads, and would make results depend on the number of threads.
    - ``error_model="numpy"``: ``x / 0`` is inf or NaN, as in NumPy. The check that raises instead stops vectorising.
    - no fast-math flag at all. Each of them costs something that is promised:
      ``nnan`` and ``ninf`` lose NaN and infinity; ``reassoc`` deletes the add-and-subtract rounding of `pricers.special`
      and every value is wrong; ``arcp`` and ``afn`` round differently where a divisor happens to be hoisted or a square
      root happens to be vectorised; ``contract`` lets the compiler choose which product of ``a * b + c * d`` is fused,
      not necessarily alike in the vector body of a loop and in its scalar rest, so a path's bits would depend on where
      its block ends. Plain IEEE arithmetic vectorises as well as the others, except for sums, and gives the same
      bits at every lane and on every machine. A fused multiply-add where it pays is written out: `pricers.special.fma`.

    Parameters
    ----------
    function : callable, optional
        The function to compile; none when options are given.
    sums : bool
        Let the compiler reorder additions and fuse products into them, without which no sum along lanes vectorises.
        Only for kernels whose floating-point work is sums: the result depends on the length of the sum, not on where
        it lies in memory.
    cached : bool
        Keep the machine code on disk. Functions from outside the two packages and closures never are: the key cannot
        see what they depend on. Pass False for a kernel that takes functions as arguments.
    """
    fastmath = {"reassoc", "contract", "nsz"} if sums else False

    def compiled(function: F) -> F:
        return _jit(function, cached, fastmath=fastmath)

    return compiled if function is None else compiled(function)


def device(function: F) -> F:
    """Compile a function for use inside kernels: always inlined into its caller, so that loops over it vectorise.

    The same strict arithmetic as in `kernel` holds inside it also when its caller is a kernel with ``sums=True``: the
    flags belong to each operation.
    """
    return _jit(function, cached=True, forceinline=True)


def _jit(function: F, cached: bool, **options: Any) -> F:
    dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(function)
    folder = cache_folder() if cached and _is_ours(function) else None
    if folder is not None and not numba.core.config.DISABLE_JIT:
        dispatcher._cache = DiskCache(folder, function)
    return cast("F", dispatcher)


def _is_ours(function: Callable[..., Any]) -> bool:
    """Whether the digest of the sources covers everything that the function's machine code depends on."""
    path = Path(function.__code__.co_filename)
    return function.__closure__ is None and any(path.is_relative_to(package) for package in PACKAGES)


class DiskCache(numba.core.caching._Cache):  # type: ignore[misc]
    """Machine code of one function, one file for each signature and processor.

    Numba's own cache checks the file that a function stands in, and so returns the old machine code when a kernel that
    it calls changed in another file. Here the folder's name is a digest of all sources of the packages: any change
    starts an empty folder. There is no index: a file is found by the digest of its full key and appears complete or
    not at all, so processes that compile at once do no harm, and a file that cannot be read or written is no error.

    Parameters
    ----------
    folder : Path
        As `cache_folder` gives it.
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
        """The compiled function for the signature, or None."""
        target_context.refresh()
        if not self._enabled:
            return None
        try:
            content = self._path(sig, target_context).read_bytes()
            return CompileResult._rebuild(target_context, *pickle.loads(content))
        except Exception:  # whatever is wrong with a cached file, compiling anew is the way out
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled function; quietly not, where the disk does not let us or the code holds addresses."""
        if not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        path = self._path(sig, data.target_context)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".tmp", delete=False) as file:
                file.write(numba.core.serialize.dumps(data._reduce()))
            os.replace(file.name, path)
        except OSError:
            return

    def enable(self) -> None:
        """Use the disk."""
        self._enabled = True

    def disable(self) -> None:
        """Leave the disk alone."""
        self._enabled = False

    def flush(self) -> None:
        """Forget what is stored for this function."""
        for path in self._folder.glob(f"{self._name}-*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, sig: Any, target_context: Any) -> Path:
        key = repr((sig, target_context.codegen().magic_tuple()))
        return self._folder / f"{self._name}-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.nbc"


@functools.cache
def cache_folder() -> Path | None:
    """Where machine code of exactly these sources, this Python, and this numba is kept; None without a writable place."""
    for root in _roots():
        folder = root / sources_digest()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _roots() -> Iterator[Path]:
    if chosen := os.environ.get(CACHE_VARIABLE):
        yield Path(chosen).absolute()
    if sys.platform == "win32":
        yield Path(os.environ.get("LOCALAPPDATA", "~\\AppData\\Local")).expanduser() / "scoregreeks" / "Cache"
    yield Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "scoregreeks"


@functools.cache
def sources_digest() -> str:
    """Digest of every source file of `pricers` and `greeks`, and of what compiles them."""
    numba_config = numba.core.config
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((sys.version, numba.__version__, llvmlite.__version__)).encode())
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package.parent).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
