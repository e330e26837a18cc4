"""An index whose writer is killed at random moments."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tiny_encoder: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("torture.py")), "6"]
    command += ["--seed", "1", "--encoder", str(tiny_encoder)]
    run = subprocess.run(
        [*command, "--seed", "1", "--encoder", str(tiny_encoder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert "6 kills" in run.stdout
