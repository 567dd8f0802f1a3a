import os
import subprocess
import sys
from pathlib import Path

import pytest

from triggerfish.models.memory import release_memory, spare_memory


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
def test_small_blocks_are_given_back():
    def held() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    blocks = [bytearray(2000) for _ in range(100_000)]
    kept, full = blocks[::1000], held()
    del blocks
    release_memory()
    assert held() < full - 20_000  # pages of 4 KiB: most of 200 MB
    assert len(kept) == 100
