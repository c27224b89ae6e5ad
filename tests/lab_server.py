"""A JupyterLab on this machine, and a page of it in which a notebook was run."""

import os
import subprocess
import sys
from contextlib import contextmanager

import nbformat
from checkout import ROOT

WHOLE = {"width": 1400, "height": 6000}  # cells that lie off the screen are not drawn


@contextmanager
def jupyterlab(folder):
    """The address of a JupyterLab that serves a folder and lets a page call its commands."""
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token="]
    command = [sys.executable, "-m", "jupyterlab", *options, "--LabApp.expose_app_in_browser=True"]
    places = {"PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    server = subprocess.Popen(
        [*command, str(folder)], env=os.environ | places, stderr=subprocess.PIPE, text=True
    )
    log = folder / "server.log"
    try:
        address = next(
            line.split()[-1] for line in server.stderr if "/lab" in line and "http" in line
        )
        with log.open("w") as rest:  # what nobody reads would fill the pipe and stop the server
            drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=rest)
            yield address.split("/lab")[0]
    finally:
        server.terminate()
        server.wait(30)
        drain.wait(30)


def run_in_lab(page, address, folder, sources):
    """Write some code cells as a notebook, open it in JupyterLab and run all of it."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else a dialog asks
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, folder / "live.ipynb")
    page.set_default_timeout(60_000)
    page.goto(f"{address}/lab/tree/live.ipynb")
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    )
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
