import os
import subprocess
import sys

import pytest

from triggerfish.models.memory import spare_memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator only")
def test_the_allocator_is_told():
    assert spare_memory()


@pytest.mark.parametrize("given", ["", "7"])
def test_an_own_setting_of_the_kernel_cache_is_respected(given):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    environment = {k: v for k, v in os.environ.items() if k != name}
    if given:
        environment[name] = given
    code = (
        "import os; from triggerfish.models.memory import spare_memory; spare_memory();"
        f" print(os.environ['{name}'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == (given or "64")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator only")
def test_what_small_blocks_leave_is_given_back():
    code = """
import numpy as np, psutil
from triggerfish.models.memory import give_back
blocks = [np.ones(100_000) for _ in range(400)]  # 320 MB in blocks that come from the heap
kept = [np.ones(100) for _ in range(2)]
del blocks[:-1]
before = psutil.Process().memory_info().rss
assert give_back()
print(before - psutil.Process().memory_info().rss)
"""
    options = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "0",
               "MALLOC_TRIM_THRESHOLD_": "10737418240"}  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", code], env=options, capture_output=True, text=True, check=True
    )
    assert int(told.stdout) > 200e6
