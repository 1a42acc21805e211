"""Who may import whom. The table is the rule; the code is read, not run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "appliance"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

VOCABULARY = ("core.events", "core.options", "core.problems", "core.ports", "core.pace", "core.riff")
"""Of core, what everybody may know. Only some may know the session itself."""

# A part (longest match counts)  may import, of ours
RULES: dict[str, tuple[str, ...]] = {
    "core":                       VOCABULARY,
    "core.segment":               (*VOCABULARY, "core.stability"),
    "core.session":               ("core", "audio"),
    "audio":                      (*VOCABULARY, "audio"),
    "vad":                        (*VOCABULARY, "vad"),
    "engines":                    (*VOCABULARY, "engines"),
    "engines.vosk":               (*VOCABULARY, "engines.registry"),
    "text":                       (*VOCABULARY, "text"),
    "dialects":                   (*VOCABULARY, "dialects.base"),
    "dialects.__init__":          ("dialects",),
    "dialects.assemblyai_v3":     (*VOCABULARY, "dialects.base", "dialects.assemblyai_v3_query"),
    "dialects.cartesia":          (*VOCABULARY, "dialects.base", "dialects.cartesia_common"),
    "dialects.cartesia_turns":    (*VOCABULARY, "dialects.base", "dialects.cartesia_common"),
    "dialects.elevenlabs":        (*VOCABULARY, "dialects.base", "dialects.elevenlabs_query"),
    # its transcripts are subtitles if the client so wishes
    "dialects.speechall":         (*VOCABULARY, "dialects.base", "dialects.speechall_query", "text.subtitles"),
    "packs":                      (*VOCABULARY, "engines.registry", "interpreter", "packs"),
    "scheduling":                 ("core", "engines.registry", "memory", "packs.languages", "scheduling", "system"),
    "scheduling.launcher":        ("core", "interpreter", "scheduling"),
    "scheduling.worker":          ("core", "memory", "scheduling", "text"),
    "accounts":                   (*VOCABULARY, "accounts"),
    "server":                     (*VOCABULARY, "accounts", "dialects", "scheduling", "server"),
    # the one part of it that opens files
    "server.uploads":             (*VOCABULARY, "audio.signature", "dialects", "media.raw", "media.recording",
                                   "scheduling", "server.spool"),
    "server.audio_input":         (*VOCABULARY, "audio.signature", "dialects.base", "media.stream", "scheduling"),
    # the side of the daemon and of the command line: it starts the decoder and reads what that writes
    "media.recording":            (*VOCABULARY, "interpreter", "media.messages"),
    "media.stream":               ("interpreter", "media.messages", "media.recording"),
    "media.raw":                  (*VOCABULARY,),
    # the side of the decoder process
    "media":                      (*VOCABULARY, "audio", "media"),
    "capture":                    (*VOCABULARY, "audio", "interpreter", "scheduling", "capture", "system"),
    "update":                     ("accounts.disk", "interpreter", "packs.disk", "update"),
    "board":                      ("board",),
    "canary":                     (),
    "config":                     (*VOCABULARY, "scheduling"),
    # runs before the daemon, of which it knows what it leaves there for it: keys, configuration, models
    "setup":                      ("accounts.disk", "accounts.keys", "config", "packs.store", "setup"),
    # the daemon's own helpers: they know the parts they join, and not the daemon
    "parts":                      (*VOCABULARY, "accounts", "board", "config", "dialects", "server"),
    "status":                     (*VOCABULARY, "board", "capture", "scheduling"),
    "controls":                   ("accounts.disk", "capture.microphone"),
    "microphones":                (*VOCABULARY, "capture", "config", "scheduling", "server.feed"),
    "updating":                   ("accounts", "server", "update"),
    "memory":                     (),
    "system":                     (),
    "interpreter":                (),
    "modelchoice":                ("board.detect", "config", "engines.registry", "packs", "scheduling"),
    "daemon":                     ("",),
    "cli":                        ("",),
    "bench":                      ("",),
    "doctor":                     ("",),
    "__main__":                   ("cli",),
    "__init__":                   (),
}  # fmt: skip

PURE = ("core", "audio", "dialects", "text")
IMPURE = ("asyncio", "socket", "time", "os", "threading", "subprocess")

LIBRARIES = {
    "vosk":                       "engines.vosk",
    "ctranslate2":                "engines.whisper",
    "tokenizers":                 "engines.whisper",
    "onnxruntime":                "vad.silero",
    "soxr":                       "audio.resample",
    "av":                         "media",
    "text_to_num":                "text.numbers",
    "sounddevice":                "capture",
    "cryptography":               "server.certificates",
    "prometheus_client":          "server.metrics",
    "zeroconf":                   "server.discovery",
    "gpiod":                      "board",
}  # fmt: skip
"""Third-party libraries and the one part that knows them."""
LATE = ("vosk", "onnxruntime", "sounddevice", "cryptography", "gpiod")
"""Those that are imported only when they are chosen."""
ROOTS = ("daemon", "cli", "bench", "doctor", "__main__")
"""They may import everything; only they import each other."""


def within(name: str, part: str) -> bool:
    return not part or name == part or name.startswith(f"{part}.")


def part_of(module: str) -> str:
    """The row of the table for a module: the longest that fits."""
    path, name = MODULES[module], module.removeprefix("appliance").removeprefix(".")
    package = f"{name}.__init__".removeprefix(".")
    rows = [row for row in RULES if within(name, row) or (path.name == "__init__.py" and row == package)]
    assert rows, f"no rule for {module}; add a row to the table"
    return max(rows, key=len)


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether the import runs when the file is imported); those for type checkers only are left out."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, at_once: bool) -> None:
        if typing_only(node):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide who knows whom"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append((inner if inner in MODULES else node.module or "", at_once))
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, at_once and not inside)

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_part_knows_only_what_it_may(module):
    allowed = RULES[part_of(module)]
    ours = {name.removeprefix("appliance").removeprefix(".") for name, _ in imports(MODULES[module])
            if within(name, "appliance")}  # fmt: skip
    ours.discard("")  # the version
    assert {name for name in ours if not any(within(name, part) for part in allowed)} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if any(within(m, f"appliance.{part}") for part in PURE)])
def test_the_pure_parts_know_no_clock_and_no_outside(module):
    assert {name.split(".")[0] for name, _ in imports(MODULES[module])} & set(IMPURE) == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_library_is_known_in_one_place(module):
    name = module.removeprefix("appliance.")
    for library, at_once in imports(MODULES[module]):
        top = library.split(".")[0]
        if top in LIBRARIES:
            assert within(name, LIBRARIES[top]), f"{top} belongs into {LIBRARIES[top]}"
        assert not (top in LATE and at_once), f"{top} is imported inside of a function only"


def test_nobody_imports_the_roots():
    for module, path in MODULES.items():
        name = module.removeprefix("appliance.")
        for imported, _ in imports(path):
            for root in ROOTS:
                if within(imported, f"appliance.{root}"):
                    assert any(within(name, own) for own in ROOTS), f"{module} imports {imported}"


def test_server_and_capture_never_meet():
    known = {module: {name for name, _ in imports(path)} for module, path in MODULES.items()}

    def reach(module: str, seen: set[str]) -> set[str]:
        for name in known.get(module, ()):
            if name not in seen:
                seen.add(name)
                reach(name, seen)
        return seen

    for one, other in (("server", "capture"), ("capture", "server")):
        for module in MODULES:
            if within(module, f"appliance.{one}"):
                assert not [name for name in reach(module, set()) if within(name, f"appliance.{other}")]


def test_every_row_of_the_tables_is_needed():
    assert {part_of(module) for module in MODULES} == set(RULES)
    used = {name.split(".")[0] for path in MODULES.values() for name, _ in imports(path)}
    assert set(LIBRARIES) <= used
    assert set(IMPURE) <= sys.stdlib_module_names
