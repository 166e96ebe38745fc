"""WordNet 3.0 for METEOR: found, or laid out as NLTK expects it, from Debian's packages or a folder that the user names.

NLTK's downloader needs its own server; Debian carries the same database (wordnet-base,
wordnet-sense-index), which `apt-get download` fetches without root. It does not know METEOR.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from shared.errors import Misconfigured

SYSTEM = Path("/usr/share/wordnet")
REMEDY = "install Debian's wordnet-base and wordnet-sense-index, or run `python -m nltk.downloader wordnet` where it is reachable"
# What NLTK reads, less `lexnames`. The folder of Debian's wordnet-gui holds sub-folders beside them
# (wnres, pixmaps, bin).
DATABASE = tuple(
    "cntlist.rev index.sense index.adj index.adv index.noun index.verb data.adj data.adv data.noun "
    "data.verb adj.exc adv.exc noun.exc verb.exc".split()
)
# Debian leaves `lexnames` out: number, file name and part of speech, one a line, as in
# lexnames(5WN).
_LEXNAMES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption "
    "verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative "
    "verb.weather adj.ppl"
).split()
_POS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def ensure(cache: Path, system: Path = SYSTEM) -> None:
    """Make `nltk.corpus.wordnet` readable.

    Args:
        cache: an nltk_data folder is made here when NLTK has none.
        system: where Debian's packages put the database.

    Raises:
        Misconfigured: no WordNet here and none could be fetched; the text says what to install.
    """
    import nltk

    root = cache / "nltk_data"
    if str(root) not in nltk.data.path:
        nltk.data.path.insert(0, str(root))
    if _found():
        return
    if all((system / name).is_file() for name in DATABASE):
        _lay_out(system, root)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            _lay_out(_download(Path(scratch)), root)
    if not _found():
        raise Misconfigured(
            f"METEOR needs WordNet and what lies at {root} cannot be read; {REMEDY}"
        )


def _found() -> bool:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import find

    try:
        return bool(WordNetCorpusReader(find("corpora/wordnet"), None).synsets("dog"))
    except (LookupError, OSError, ValueError):
        return False


def _download(folder: Path) -> Path:
    try:
        fetch = ["apt-get", "download", "wordnet-base", "wordnet-sense-index"]
        subprocess.run(fetch, cwd=folder, check=True, capture_output=True, timeout=120)
        for package in folder.glob("*.deb"):
            subprocess.run(
                ["dpkg-deb", "-x", package.name, "out"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=120,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise Misconfigured(
            f"METEOR needs WordNet, and `apt-get download` did not bring it ({error}); {REMEDY}"
        ) from None
    return folder / "out/usr/share/wordnet"


def _lay_out(source: Path, root: Path) -> None:
    target = root / "corpora" / "wordnet"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        folder = Path(scratch) / "wordnet"
        folder.mkdir()
        for name in DATABASE:
            shutil.copyfile(source / name, folder / name)
        lines = (
            f"{i:02d}\t{name}\t{_POS[name.partition('.')[0]]}\n" for i, name in enumerate(_LEXNAMES)
        )
        (folder / "lexnames").write_text("".join(lines))
        for path in folder.iterdir():
            path.chmod(0o644)  # NLTK refuses corpora that others may write
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
