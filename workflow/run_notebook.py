"""Run one notebook: `run_notebook.py NOTEBOOK OUTPUT LOG PARAMETERS`, the parameters as YAML text.

The notebook is written cell by cell to a draft beside its log and moved to OUTPUT only when its
last cell is done, so that a failed run leaves a notebook with its traceback and never half a
result.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import papermill
import yaml
from fingerprint import LIVE_ONLY
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config
from written import note

from featpurity.data.catalog import data_state
from featpurity.files import ALIASES, WRITTEN, lock, workspace, writing

SOCKET_NAME = 80  # bytes of a folder's name that leave room for a socket's: 108 are all


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


class ThisPython(AsyncKernelManager):
    """The kernel of this interpreter, whatever kernels are installed under the name python3."""

    @property
    def kernel_spec(self):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def short_folder():
    """A new folder whose sockets have names of a length that the system takes."""
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) < SOCKET_NAME else "/tmp"
    return tempfile.TemporaryDirectory(prefix="kernel", dir=place)


@contextmanager
def environment(**values):
    """Variables for as long as a notebook runs: whoever runs it may run something else later."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(notebook, output, log, parameters, aliases=None):
    """Execute `notebook` with this interpreter; the cells' output goes to `log` as it comes.

    `aliases` says what the labels stand for that the parameters hold in place of paths.
    """
    draft = Path(log).with_suffix(".ipynb")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as lines, short_folder() as own, ExitStack() as kept:
        # A killed workflow can leave its notebook running to the end: wait, then start afresh.
        lock(lines)
        lines.truncate(0)
        failure(log).unlink(missing_ok=True)
        shown = Shown(lines, draft.stem)
        written = Path(own, "written")
        written.touch()
        # Jupyter's own files beside the sockets: a home may be read-only.
        kept.enter_context(
            environment(
                JUPYTER_RUNTIME_DIR=own,
                IPYTHONDIR=own,
                **{WRITTEN: str(written), ALIASES: json.dumps(aliases or {})},
            )
        )
        root = parameters.get("data_root")
        read = [*(parameters.get("datasets") or []), parameters.get("pairs")]
        data = {name: data_state(name, root) for name in read if name}
        papermill.execute_notebook(
            notebook,
            draft,
            parameters=parameters,
            kernel_name="python3",
            language="python",
            kernel_manager_class=ThisPython,
            skip_cells_with_tag=LIVE_ONLY,  # panels for a reader, who is not here
            progress_bar={
                "file": shown,
                "bar_format": "cell {n_fmt} of {total_fmt} [{elapsed}]\n",
                "mininterval": 0,
            },
            stdout_file=lines,
            stderr_file=shown,
            cwd=os.getcwd(),
            # Sockets in a folder of their own: kernels that start together cannot take each
            # other's TCP ports.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{own}/socket"}),
        )
        paths = written.read_text(encoding="utf-8").splitlines()
        # What was downloaded meanwhile is as the notebook read it; else as it was before, so that
        # pictures that change while it runs make it run again.
        data |= {name: data_state(name, root) for name, state in data.items() if state == "absent"}
        note(draft, paths, workspace(parameters.get("results_dir", "results")), data)
        if draft.resolve() != Path(output).resolve():  # a log beside it makes it its own draft
            with writing(output) as file:  # the logs may lie on another disk: nothing is renamed
                file.write(draft.read_bytes())
            draft.unlink()


def failure(log):
    """The file that holds the one line on why a notebook failed."""
    return Path(log).with_suffix(".failed")


def main():
    """Run it; when it fails, say why in one line, here and in a file beside the log."""
    notebook, output, log, parameters = sys.argv[1:]
    parameters = yaml.safe_load(parameters)
    try:
        run(notebook, output, log, parameters, parameters.pop("aliases", None))
    except KeyboardInterrupt:
        sys.exit(130)  # no traceback: who stopped it knows why
    except papermill.PapermillExecutionError as error:
        why = f"{error.ename}: {' '.join(error.evalue.split())}"
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(f"{error}\n")
    except DeadKernelError:
        why = "its Python was killed; was the memory enough?"
    except Exception as error:  # a full disk, a folder of another user, ...
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        with suppress(OSError), open(log, "a", encoding="utf-8") as lines:
            traceback.print_exc(file=lines)
    else:
        return
    said = f"{notebook} failed: {why} (as far as it came: {Path(log).with_suffix('.ipynb')})"
    with suppress(OSError):
        failure(log).write_text(f"{said}\n", encoding="utf-8")
    sys.exit(said)


if __name__ == "__main__":
    main()
