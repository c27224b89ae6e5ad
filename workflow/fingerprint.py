"""What a notebook depends on, so that the workflow runs it again when that changes and only then.

A notebook's fingerprint covers its code cells and those modules of the package that they import,
directly or through one another. Saving a notebook, its prose, its outputs, and comments in the
package do not count.
"""

import ast
import hashlib
import json
from pathlib import Path

import featpurity

PACKAGE = Path(featpurity.__file__).parent


def code_cells(notebook, tag=None):
    """Sources of the code cells in order, or of those with a tag."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and (tag is None or tag in cell["metadata"].get("tags", []))
    ]


def declared_parameters(notebook):
    """The parameters cell as a dict: name -> default value. Anything but flat literals there is a
    ValueError.
    """
    parameters = {}
    for line in ast.parse("\n".join(code_cells(notebook, "parameters"))).body:
        if not (isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)):
            raise ValueError(
                f"{notebook}: a parameters cell holds `name = literal` only, got {ast.unparse(line)!r}"
            )
        parameters[line.targets[0].id] = ast.literal_eval(line.value)
    return parameters


def imported_modules(source):
    """The package's modules that some Python source uses, as "room.module"; public names count as
    their home.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "featpurity":
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(
            node, ast.Attribute
        ):  # featpurity.load_model(...), featpurity.metrics.purity
            names.add(ast.unparse(node))
    below = {name.removeprefix("featpurity.") for name in names if name.startswith("featpurity.")}
    homes = {featpurity._MODULE_OF.get(name, name) for name in below}
    return {name for name in homes if module_file(name).is_file()}


def module_file(name):
    """Where the module "room.module" lies."""
    return PACKAGE / f"{name.replace('.', '/')}.py"


def fingerprint(notebook):
    """Hexadecimal digest of a notebook's code, of the modules it comes to import and of the assets
    these name.
    """
    cells = code_cells(notebook)
    modules, new = {}, imported_modules("\n".join(plain_python(cell) for cell in cells))
    while new:
        modules |= {name: module_file(name).read_text() for name in new}
        new = set().union(*(imported_modules(modules[name]) for name in new)) - modules.keys()
    parts = cells + [ast.dump(ast.parse(modules[name])) for name in sorted(modules)]
    for asset in sorted((PACKAGE / "assets").glob("*.*")):
        parts += [asset.read_text() for source in modules.values() if asset.name in source]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def plain_python(cell):
    """A cell without the lines that only IPython understands."""
    return "\n".join(line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))
