"""Reading bytes by address in compiled code: the data of Arrow's string views lies in any number of buffers."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _load_word(context: Any, address: Any) -> Any:
    """Return the 8 bytes from ``address`` (uint64, any alignment) on as a little-endian word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], 64), align=1)

    return types.uint64(types.uint64), generate


def _store_word(context: Any, address: Any, word: Any) -> Any:
    """Write ``word`` as 8 little-endian bytes from ``address`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _pointer(builder, arguments[0], 64), align=1)

    return types.void(types.uint64, types.uint64), generate


def _copy_bytes(context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy ``count`` bytes from address ``source`` to address ``target``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target_pointer, source_pointer = (_pointer(builder, argument, 8) for argument in arguments[:2])
        copy: Any = cgutils.raw_memcpy
        copy(builder, target_pointer, source_pointer, arguments[2], 1)

    return types.void(types.uint64, types.uint64, types.uint64), generate


def _pointer(builder: Any, address: Any, bits: int) -> Any:
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


load_word: Any = intrinsic(_load_word)
store_word: Any = intrinsic(_store_word)
copy_bytes: Any = intrinsic(_copy_bytes)
