"""Run one notebook: `run_notebook.py NOTEBOOK OUTPUT LOG PARAMETERS`, the parameters as one YAML string.

The notebook is written cell by cell to a draft beside its log and moved to OUTPUT only when its last cell is done, so
that a failed run leaves a notebook with its traceback and never half a result.
"""

import fcntl
import os
import sys
from pathlib import Path

import papermill
import yaml


def run(notebook, output, log, parameters):
    """Execute `notebook` with this interpreter's own kernel; the cells' output goes to `log` as it comes."""
    draft = Path(log).with_suffix(".ipynb")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as lines:
        # A killed workflow can leave its notebook running to the end: wait for it, then start afresh.
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.truncate(0)
        papermill.execute_notebook(
            notebook,
            draft,
            parameters=parameters,
            kernel_name="python3",
            language="python",
            progress_bar={"desc": draft.stem, "bar_format": "{desc}: cell {n_fmt} of {total_fmt} [{elapsed}]"},
            stdout_file=lines,
            stderr_file=lines,
            cwd=os.getcwd(),
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, output)


if __name__ == "__main__":
    notebook, output, log, parameters = sys.argv[1:]
    try:
        run(notebook, output, log, yaml.safe_load(parameters))
    except papermill.PapermillExecutionError as error:
        with open(log, "a") as lines:
            lines.write(f"{error}\nThe notebook as far as it came: {Path(log).with_suffix('.ipynb')}\n")
        sys.exit(f"{notebook} failed: see {Path(log).with_suffix('.ipynb')}")
