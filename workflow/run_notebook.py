"""Run one notebook: `run_notebook.py NOTEBOOK OUTPUT LOG PARAMETERS`, the parameters as one YAML string.

The notebook is written cell by cell to a draft beside its log and moved to OUTPUT only when its
last cell is done, so that a failed run leaves a notebook with its traceback and never half a
result.
"""

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

import papermill
import yaml
from traitlets.config import Config


class Shown:
    """A log that also shows its newest line on the terminal, at most every `pause` seconds."""

    def __init__(self, log, label, pause=5):
        self.log, self.label, self.pause, self.last = log, label, pause, -pause

    def write(self, text):
        self.log.write(text)
        newest = text.replace("\r", "\n").strip().rpartition("\n")[2]
        if newest and time.monotonic() - self.last >= self.pause:
            print(f"    {self.label}: {newest}", file=sys.stderr, flush=True)
            self.last = time.monotonic()

    def flush(self):
        self.log.flush()


def run(notebook, output, log, parameters):
    """Execute `notebook` with this interpreter's own kernel; the cells' output goes to `log` as it
    comes.
    """
    draft = Path(log).with_suffix(".ipynb")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as lines, tempfile.TemporaryDirectory(prefix="kernel") as sockets:
        # A killed workflow can leave its notebook running to the end: wait for it, then start
        # afresh.
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.truncate(0)
        shown = Shown(lines, draft.stem)
        papermill.execute_notebook(
            notebook,
            draft,
            parameters=parameters,
            kernel_name="python3",
            language="python",
            progress_bar={
                "file": shown,
                "bar_format": "cell {n_fmt} of {total_fmt} [{elapsed}]\n",
                "mininterval": 0,
            },
            stdout_file=lines,
            stderr_file=shown,
            cwd=os.getcwd(),
            # Sockets in a folder of its own: kernels that start together cannot take each other's
            # TCP ports.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/socket"}),
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, output)


if __name__ == "__main__":
    notebook, output, log, parameters = sys.argv[1:]
    try:
        run(notebook, output, log, yaml.safe_load(parameters))
    except papermill.PapermillExecutionError as error:
        draft = Path(log).with_suffix(".ipynb")
        with open(log, "a") as lines:
            lines.write(f"{error}\nThe notebook as far as it came: {draft}\n")
        sys.exit(f"{notebook} failed: see {draft}")
