"""Find what a notebook depends on: the workflow runs it again when that changes, and only then.

A notebook's fingerprint covers its code cells and the functions, classes and constants of the
package that the cells use, directly or through one another. Saving a notebook, its prose and
outputs, the package's comments and docstrings, and code that no cell reaches do not count.
"""

import ast
import json
from functools import cache
from pathlib import Path

import featpurity
from featpurity.files import digest

PACKAGE = Path(featpurity.__file__).parent
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

LIVE_ONLY = "live-only"  # tag of cells for readers with a kernel, such as panels


def code_cells(notebook, tag=None, without=None):
    """Sources of the code cells in order: all, those with `tag`, or those without `without`."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    tagged = [(cell, cell["metadata"].get("tags", [])) for cell in cells]
    return [
        "".join(cell["source"])
        for cell, tags in tagged
        if cell["cell_type"] == "code" and (tag is None or tag in tags) and without not in tags
    ]


def declared_parameters(notebook):
    """The parameters cell as a dict: name -> default value.

    Raises ValueError for anything but flat literals there.
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
    """Hexadecimal digest of a notebook's code, the code it reaches, and the assets these name.

    Cells for readers with a kernel are left out, as a run skips them.
    """
    cells = code_cells(notebook, without=LIVE_ONLY)
    used = reached("\n".join(plain_python(cell) for cell in cells))
    parts = [*cells, *(f"{module}: {dumped(node)}" for module, node in used)]
    texts = set().union(*(texts_of(node) for _, node in used))
    for asset in sorted((PACKAGE / "assets").glob("*.*")):
        parts += [asset.read_text(encoding="utf-8")] if asset.name in texts else []
    return digest(*parts)[:16]


def plain_python(cell):
    """A cell without lines that only IPython understands."""
    return "\n".join(line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))


def reached(source):
    """Statements of the package that a Python source uses, sorted: (module, node)."""
    found, asked, new = set(), set(), set(references(ast.parse(source), {}))
    while new := new - asked:
        module, name = new.pop()
        asked.add((module, name))
        for node in statements(module, name):
            if (module, node) not in found:
                found.add((module, node))
                new |= uses(module, node)
    return sorted(found, key=lambda used: (used[0], dumped(used[1])))


# Cached, as notebooks reach much of the same code.
@cache
def uses(module, node):
    """(module, name) of the package for each name that a statement of a module mentions."""
    return frozenset(references(node, scope(module)))


@cache
def dumped(node):
    """A statement as text, independent of layout and comments."""
    return ast.dump(node)


@cache
def texts_of(node):
    """The texts in a statement."""
    constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def statements(module, name):
    """Statements behind a name in a module: its definitions, and what runs on import.

    The name None is the module as a whole.
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
        Meanings of the surrounding names, as from `scope`.
    """
    names, parts = names | imported(node), list(ast.walk(node))
    based = {id(part.value) for part in parts if isinstance(part, ast.Attribute)}
    for part in parts:
        if not isinstance(part, (ast.Attribute, ast.Name)) or id(part) in based:
            continue  # only whole dotted names count
        module, name = resolve(part, names)
        if module:  # the package itself stands for nothing
            yield module, name


def resolve(node, names):
    """Meaning of a dotted name: (module, name), (module, None) for a module, or (None, None)."""
    if isinstance(node, ast.Name):
        return names.get(node.id, (None, None))
    if not isinstance(node, ast.Attribute):
        return None, None
    module, name = resolve(node.value, names)
    return (module, name) if module is None or name else member(module, node.attr)


def member(module, name):
    """Meaning of `name` in a module or a folder of modules."""
    if module == "":
        if name in featpurity._MODULE_OF:
            name = f"{featpurity._MODULE_OF[name]}.{name}"
        module, _, name = featpurity._SHORT.get(name, name).rpartition(".")
    inside = f"{module}.{name}".lstrip(".")
    return (inside, None) if module_file(inside) else (module, name)


def imported(node):
    """Imports of the package in a piece of code: local name -> (module, name)."""
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
    """Meanings of a module's top-level names."""
    own = {name: (module, name) for node in parsed(module).body for name in defined(node)}
    return own | imported(ast.Module(parsed(module).body, []))


def module_file(name):
    """File of the module or folder of modules "room.module", or None."""
    path = PACKAGE / name.replace(".", "/")
    files = [path.with_suffix(".py"), path / "__init__.py"]
    return next((file for file in files if name and file.is_file()), None)


@cache
def parsed(module):
    """A module's syntax tree without docstrings and with one name per import."""
    file = module_file(module)
    tree = ast.parse(file.read_text(encoding="utf-8") if file else "")
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *DEFINITIONS)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    tree.body = [part for node in tree.body for part in one_by_one(node)]
    return tree


def one_by_one(node):
    """A statement, but an import once per name, so that a new name beside others is no change."""
    if isinstance(node, ast.ImportFrom):
        return [ast.ImportFrom(node.module, [name], node.level) for name in node.names]
    if isinstance(node, ast.Import):
        return [ast.Import([name]) for name in node.names]
    return [node]
