"""What makes a folder a model that its engine can load, told without loading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

VOSK = ("am/final.mdl", "conf/model.conf")
VOSK_FLAT = ("final.mdl", "mfcc.conf")
"""Layouts that vosk-api's src/model.cc tries, in this order; the second is of models before 2020."""

IVECTOR = ("final.dubm", "final.mat", "global_cmvn.stats", "online_cmvn.conf", "splice.conf")
"""What Vosk reads from ``ivector/`` as soon as there is an ``ivector/final.ie``."""

POCKETSPHINX = (
    "en-us.lm.bin",
    "cmudict-en-us.dict",
    "en-us/feat.params",
    "en-us/mdef",
    "en-us/means",
    "en-us/transition_matrices",
    "en-us/variances",
)


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


def pocketsphinx_problems(folder: Path) -> list[str]:
    """What keeps pocketsphinx from loading the model of its wheel from ``folder``."""
    return _lacking(folder, POCKETSPHINX)


def _lacking(folder: Path, names: Iterable[str]) -> list[str]:
    problems = []
    for name in names:
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif not (folder / name).stat().st_size:
            problems.append(f"{name} is empty")
    return problems
