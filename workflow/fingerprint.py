"""What a notebook depends on, so that the workflow runs it again when that changes and only then.

A notebook's fingerprint covers its code cells and those functions, classes and constants of the
package that the cells come to use, directly or through one another. Saving a notebook, its prose
and outputs, and the package's comments and docstrings do not count, and neither does code that no
cell reaches.
"""

import ast
import json
from functools import cache
from pathlib import Path

import featpurity
from featpurity.files import digest

PACKAGE = Path(featpurity.__file__).parent
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

LIVE_ONLY = "live-only"  # the tag of cells for a reader with a kernel: panels


def code_cells(notebook, tag=None, without=None):
    """Sources of the code cells in order, or of those with a tag, or of those without one."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    tagged = [(cell, cell["metadata"].get("tags", [])) for cell in cells]
    return [
        "".join(cell["source"])
        for cell, tags in tagged
        if cell["cell_type"] == "code" and (tag is None or tag in tags) and without not in tags
    ]


def declared_parameters(notebook):
    """The parameters cell as a dict: name -> default value.

    Anything but flat literals there is a ValueError.
    """
    parameters = {}
    for line in ast.parse("\n".join(code_cells(notebook, "parameters"))).body:
        if not (isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)):
            raise ValueError(
                f"{notebook}: a parameters cell holds `name = literal` only, "
                f"got {ast.unparse(line)!r}"
            )
        parameters[line.targets[0].id] = ast.literal_eval(line.value)
    return parameters


def fingerprint(notebook):
    """Hexadecimal digest of a notebook's code, of the code that it reaches and the assets named.

    Cells for a reader with a kernel are left out: a run skips them.
    """
    cells = code_cells(notebook, without=LIVE_ONLY)
    used = reached("\n".join(plain_python(cell) for cell in cells))
    parts = [*cells, *(f"{module}: {dumped(node)}" for module, node in used)]
    texts = set().union(*(texts_of(node) for _, node in used))
    for asset in sorted((PACKAGE / "assets").glob("*.*")):
        parts += [asset.read_text(encoding="utf-8")] if asset.name in texts else []
    return digest(*parts)[:16]


def plain_python(cell):
    """A cell without the lines that only IPython understands."""
    return "\n".join(line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))


def reached(source):
    """Statements of the package that some Python source comes to use: (module, node), in order."""
    found, asked, new = set(), set(), set(references(ast.parse(source), {}))
    while new := new - asked:
        module, name = new.pop()
        asked.add((module, name))
        for node in statements(module, name):
            if (module, node) not in found:
                found.add((module, node))
                new |= uses(module, node)
    return sorted(found, key=lambda used: (used[0], dumped(used[1])))


# Notebooks reach much of the same code: what is asked of a statement is worked out once.
@cache
def uses(module, node):
    """(module, name) of the package for each name that a statement of a module mentions."""
    return frozenset(references(node, scope(module)))


@cache
def dumped(node):
    """A statement as text, whatever its layout and comments."""
    return ast.dump(node)


@cache
def texts_of(node):
    """The texts that stand in a statement."""
    constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def statements(module, name):
    """What stands for a name in a module: its definitions, and what runs whenever it is imported.

    None stands for the module as a whole.
    """
    for node in parsed(module).body:
        names = defined(node)
        if name is None or not names or name in names:
            yield node


@cache
def defined(node):
    """Names that a top-level statement defines; none for a statement that only runs."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        return {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return set()


def references(node, names):
    """(module, name) of the package for each name that a piece of code mentions.

    Parameters
    ----------
    node : ast.AST
    names : dict
        What the names around it stand for, as from `scope`.
    """
    names, parts = names | imported(node), list(ast.walk(node))
    based = {id(part.value) for part in parts if isinstance(part, ast.Attribute)}
    for part in parts:
        if not isinstance(part, (ast.Attribute, ast.Name)) or id(part) in based:
            continue  # of a dotted name the whole counts, which is the last part's
        module, name = resolve(part, names)
        if module:  # the package's own door opens nothing by itself
            yield module, name


def resolve(node, names):
    """What a dotted name stands for: (module, name), (module, None) for a module, (None, None)."""
    if isinstance(node, ast.Name):
        return names.get(node.id, (None, None))
    if not isinstance(node, ast.Attribute):
        return None, None
    module, name = resolve(node.value, names)
    return (module, name) if module is None or name else member(module, node.attr)


def member(module, name):
    """What `name` in a module or a folder of modules is."""
    if module == "":
        if name in featpurity._MODULE_OF:
            name = f"{featpurity._MODULE_OF[name]}.{name}"
        module, _, name = featpurity._SHORT.get(name, name).rpartition(".")
    inside = f"{module}.{name}".lstrip(".")
    return (inside, None) if module_file(inside) else (module, name)


def imported(node):
    """What the imports in a piece of code bring of the package: local name -> (module, name)."""
    names = {}
    for part in ast.walk(node):
        if isinstance(part, ast.ImportFrom) and (part.module or "").split(".")[0] == "featpurity":
            module = part.module.removeprefix("featpurity").lstrip(".")
            names |= {its.asname or its.name: member(module, its.name) for its in part.names}
        elif isinstance(part, ast.Import):
            for its in part.names:
                if its.name.split(".")[0] == "featpurity":
                    whole = its.name.removeprefix("featpurity").lstrip(".") if its.asname else ""
                    names[its.asname or "featpurity"] = (whole, None)
    return names


@cache
def scope(module):
    """What the names at the top of a module stand for."""
    own = {name: (module, name) for node in parsed(module).body for name in defined(node)}
    return own | imported(ast.Module(parsed(module).body, []))


def module_file(name):
    """Where the module or folder of modules "room.module" lies; None where there is none."""
    path = PACKAGE / name.replace(".", "/")
    files = [path.with_suffix(".py"), path / "__init__.py"]
    return next((file for file in files if name and file.is_file()), None)


@cache
def parsed(module):
    """A module's syntax tree without docstrings, with one name in each import."""
    file = module_file(module)
    tree = ast.parse(file.read_text(encoding="utf-8") if file else "")
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *DEFINITIONS)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    tree.body = [part for node in tree.body for part in one_by_one(node)]
    return tree


def one_by_one(node):
    """A statement; of an import one for each name, so that another name beside it is no change."""
    if isinstance(node, ast.ImportFrom):
        return [ast.ImportFrom(node.module, [name], node.level) for name in node.names]
    if isinstance(node, ast.Import):
        return [ast.Import([name]) for name in node.names]
    return [node]
