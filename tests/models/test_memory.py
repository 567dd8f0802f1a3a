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
