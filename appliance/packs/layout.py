"""What makes a folder a model that its engine can load, told without loading it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from appliance.packs.weights import weights_problem

VOSK = ("am/final.mdl", "conf/model.conf")
VOSK_FLAT = ("final.mdl", "mfcc.conf")
"""Layouts that vosk-api's src/model.cc tries, in this order; the second is of models before 2020."""

IVECTOR = ("final.dubm", "final.mat", "global_cmvn.stats", "online_cmvn.conf", "splice.conf")
"""What Vosk reads from ``ivector/`` as soon as there is an ``ivector/final.ie``."""

WHISPER = ("model.bin", "config.json", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
"""CTranslate2 writes the first since version 3.16; the published packs have the second."""


def engine_of(names: Collection[str]) -> str:
    """Return the engine for which a folder with these file names is made. Vosk when they tell nothing."""
    return "whisper" if not {*WHISPER, *VOCABULARIES}.isdisjoint(names) else "vosk"


def problems_of(engine: str, folder: Path) -> list[str]:
    """Return what keeps ``engine`` from loading ``folder``, in words; empty when nothing does. Raises ``OSError``."""
    return CHECKS[engine](folder) if engine in CHECKS else [f"there is no engine called {engine!r}"]


def whisper_problems(folder: Path) -> list[str]:
    """Return what is missing, empty, truncated or unreadable in the folder of a Whisper model. Raises ``OSError``."""
    problems = _lacking(folder, WHISPER)
    vocabulary = next((name for name in VOCABULARIES if (folder / name).is_file()), "")
    if not vocabulary:
        problems.append(f"{' or '.join(VOCABULARIES)} is missing")
    elif not (folder / vocabulary).stat().st_size:
        problems.append(f"{vocabulary} is empty")
    if problems:
        return problems
    if problem := weights_problem(folder / "model.bin"):
        problems.append(f"model.bin {problem}")
    for name in ("config.json", "tokenizer.json"):
        try:
            msgspec.json.decode((folder / name).read_bytes(), type=dict)
        except msgspec.MsgspecError as error:
            problems.append(f"{name} cannot be read: {error}")
    return problems


def vosk_problems(folder: Path) -> list[str]:
    """What keeps Vosk from loading ``folder``, in words; empty when nothing is missing or empty."""

    def exist(*names: str) -> bool:
        return all((folder / name).is_file() for name in names)

    if exist(*VOSK):
        graph = "graph/"
        essential = [*VOSK, "conf/fbank.conf" if exist("conf/fbank.conf") else "conf/mfcc.conf"]
    elif exist(*VOSK_FLAT):
        graph = ""
        essential = [*VOSK_FLAT]
    else:
        return [f"not a Vosk model: there is neither {' with '.join(VOSK)} nor {' with '.join(VOSK_FLAT)}"]
    graphs = ("HCLG.fst",) if exist(f"{graph}HCLG.fst") else ("HCLr.fst", "Gr.fst", "disambig_tid.int")
    essential += [graph + name for name in graphs]
    # Most published models have no words.txt: their graph carries the words.
    essential += [name for name in (f"{graph}words.txt", "ivector/final.ie") if exist(name)]
    if exist("ivector/final.ie"):
        essential += [f"ivector/{name}" for name in IVECTOR]
    return _lacking(folder, essential)


def _lacking(folder: Path, names: Iterable[str]) -> list[str]:
    problems = []
    for name in names:
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif not (folder / name).stat().st_size:
            problems.append(f"{name} is empty")
    return problems


CHECKS: dict[str, Callable[[Path], list[str]]] = {"whisper": whisper_problems, "vosk": vosk_problems}
"""Engine -> what is wrong with a folder for it."""
