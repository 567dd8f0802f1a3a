import subprocess
import sys

import triggerfish


def test_version():
    assert triggerfish.__version__ == "0.1.0"


def test_torch_is_not_imported_by_what_needs_no_model():
    names = (
        "triggerfish, triggerfish.errors, triggerfish.seeding, triggerfish.registry, "
        "triggerfish.types, triggerfish.data.conversation, triggerfish.data.records, "
        "triggerfish.data.splits, triggerfish.models.checkpoint, triggerfish.models.source"
    )
    code = f"import sys, {names}; print({{'torch', 'transformers', 'peft'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
