"""Run one notebook: `run_notebook.py NOTEBOOK OUTPUT LOG PARAMETERS`, with parameters as YAML.

The notebook is written cell by cell to a draft beside its log and moved to OUTPUT only after its
last cell, so that a failed run leaves a notebook with its traceback, never half a result.
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

SOCKET_NAME = 80  # longest folder name, in bytes, that leaves room for a socket's: the limit is 108


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
    """The kernel of this interpreter, whichever kernel is installed as python3."""

    @property
    def kernel_spec(self):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def short_folder():
    """A new folder with a name short enough for sockets in it."""
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) < SOCKET_NAME else "/tmp"
    return tempfile.TemporaryDirectory(prefix="kernel", dir=place)


@contextmanager
def environment(**values):
    """Set variables only while a notebook runs, as the caller may run something else later."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(notebook, output, log, parameters, aliases=None):
    """Execute `notebook` with this interpreter, streaming the cells' output to `log`.

    `aliases` maps labels, which the parameters hold instead of paths, to what they stand for.
    """
    draft = Path(log).with_suffix(".ipynb")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as lines, short_folder() as own, ExitStack() as kept:
        # A killed workflow may leave its notebook running: wait for it, then start afresh.
        lock(lines)
        lines.truncate(0)
        failure(log).unlink(missing_ok=True)
        shown = Shown(lines, draft.stem)
        written = Path(own, "written")
        written.touch()
        # Jupyter's own files go beside the sockets, as the home may be read-only.
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
            skip_cells_with_tag=LIVE_ONLY,  # panels for readers
            progress_bar={
                "file": shown,
                "bar_format": "cell {n_fmt} of {total_fmt} [{elapsed}]\n",
                "mininterval": 0,
            },
            stdout_file=lines,
            stderr_file=shown,
            cwd=os.getcwd(),
            # Sockets in its own folder: kernels that start together cannot take each other's TCP
            # ports.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{own}/socket"}),
        )
        paths = written.read_text(encoding="utf-8").splitlines()
        # Downloads are noted in their state now, other data in their state before the run, so that
        # pictures that changed meanwhile make it run again.
        data |= {name: data_state(name, root) for name, state in data.items() if state == "absent"}
        note(draft, paths, workspace(parameters.get("results_dir", "results")), data)
        if draft.resolve() != Path(output).resolve():  # equal if the log is beside it
            with writing(output) as file:  # copied, not renamed: logs may be on another disk
                file.write(draft.read_bytes())
            draft.unlink()


def failure(log):
    """The file with the one line on why a notebook failed."""
    return Path(log).with_suffix(".failed")


def main():
    """Run the notebook; if it fails, say why in one line, here and in a file beside the log."""
    notebook, output, log, parameters = sys.argv[1:]
    parameters = yaml.safe_load(parameters)
    try:
        run(notebook, output, log, parameters, parameters.pop("aliases", None))
    except KeyboardInterrupt:
        sys.exit(130)  # no traceback: the user stopped it
    except papermill.PapermillExecutionError as error:
        why = f"{error.ename}: {' '.join(error.evalue.split())}"
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(f"{error}\n")
    except DeadKernelError:
        why = "its Python was killed; was the memory enough?"
    except Exception as error:  # a full disk, another user's folder, ...
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
