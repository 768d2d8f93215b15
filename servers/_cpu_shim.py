"""Stand-ins that let SGLang be imported on a machine without a GPU. THESE ARE NOT KERNELS.

SGLang 0.5.23 imports names of `sgl_kernel` (CUDA-only wheels) and of torchvision's compiled operators at
import time, also on paths that never call them. Each stand-in here raises NotImplementedError when called;
none was called in generation, weight-update, authentication or tensor-parallel runs on CPU.

Installed by `_launch.py` only where the device is the CPU and no `sgl_kernel` can be imported. Runs under
SGLang's interpreter: standard library and torch alone.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

KERNELS = (
    "assign_draft_cache_locs_contiguous_cpu",
    "assign_extend_cache_locs_cpu",
    "assign_req_to_token_pool_cpu",
    "build_tree_kernel_efficient_cpu",
    "copy_all_layer_kv_cache_cpu",
    "fill_accept_out_cache_loc_cpu",
    "fill_bonus_tokens_cpu",
    "verify_tree_greedy_cpu",
)
"""What SGLang 0.5.23 imports from `sgl_kernel` itself. Submodules stay absent: it needs their ImportError."""

VISION_OPERATORS = ("nms", "qnms")
"""What torchvision declares fake kernels for on import, and its compiled half must have defined."""

_libraries: list[object] = []
"""torch drops a library's definitions when the object is collected, so each is kept."""


def needed() -> bool:
    """Whether no `sgl_kernel` can be imported here."""
    try:
        import sgl_kernel  # noqa: F401
    except (ImportError, OSError):  # OSError: a CUDA build whose libraries are not on this machine
        return True
    return False


def install() -> None:
    """Register the stand-ins. Call before sglang is imported, in every process of the server."""
    module = types.ModuleType("sgl_kernel", doc="Stand-in without kernels (servers/_cpu_shim.py).")
    module.__spec__ = importlib.machinery.ModuleSpec("sgl_kernel", loader=None)
    for name in KERNELS:
        setattr(module, name, absent(name))
    sys.modules["sgl_kernel"] = module
    if not _vision_loads():
        _define_vision_operators()


def absent(name: str) -> Callable[..., NoReturn]:
    """A function of that name that raises when called."""

    def kernel(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(f"sgl_kernel.{name} is a stand-in: this machine has no sgl_kernel build")

    kernel.__name__ = name
    return kernel


def _vision_loads() -> bool:
    """Whether torchvision's compiled operators load with this torch; True where torchvision is absent."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True
    for folder in spec.submodule_search_locations:
        for library in Path(folder).glob("_C.*"):
            try:
                torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
            except OSError:
                continue
            return True
    return False


def _define_vision_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in VISION_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _libraries.append(library)
