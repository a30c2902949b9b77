"""The process that speaks to the hub: ``find REPO REVISION`` and ``fetch REPO FOLDER TITLE FOUND``.

Only safetensors and what a model needs beside them is ever asked for. A copy in the hub's own cache
(another program may have fetched the model) is taken where there is one, with or without a network.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UserError
from engine.files import disk_error
from engine.models.sources.amounts import BEAT, of_text
from engine.models.sources.folder import CONVERT, INDEX, PICKLES, shard_names
from engine.models.sources.hub import Found, RemoteFile
from engine.models.sources.process import Line, end_with_parent, last_line

BESIDE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
    "1_Pooling/config.json",
)
ANOTHER_TIME = "Check the network, or choose a model that is already here"


def find(repo: str, revision: str) -> Found:
    """Ask which commit `revision` is at and which of its files are wanted."""
    from huggingface_hub import HfApi

    what = f"Cannot open {repo}"
    try:
        info = HfApi(endpoint=_endpoint()).model_info(
            repo, revision=revision, files_metadata=True, timeout=20
        )
    except Exception as error:
        found = _find_kept(repo, revision) if _unreachable(error) else None
        if found is None:
            raise
        return found
    files = [
        RemoteFile(item.rfilename, item.size or 0, item.lfs.sha256 if item.lfs else "")
        for item in info.siblings or ()
    ]
    licence = next((t[8:] for t in info.tags or () if t.startswith("license:")), "")
    return Found(str(info.sha), wanted(files, what), licence)


def wanted(files: Sequence[RemoteFile], what: str) -> tuple[RemoteFile, ...]:
    """The files of a repository that are fetched, or `UserError` where they cannot be enough."""
    names = {file.name for file in files}
    if "config.json" not in names:
        if "adapter_config.json" in names:
            raise UserError(
                what,
                "it is an adapter, not a model of its own",
                "Merge it into its base model with peft and open the result",
            )
        if any(name.endswith(".gguf") for name in names):
            raise UserError(
                what, "it holds GGUF files only", "Download one of them and open the .gguf file"
            )
        raise UserError(
            what,
            "there is no transformers model in it (config.json is missing)",
            "Choose another model",
        )
    if "model.safetensors" in names:
        weights = {"model.safetensors"}
    elif INDEX in names:
        weights = {INDEX, *fnmatch.filter(names, "model-*-of-*.safetensors")}
    else:
        pickled = any(fnmatch.filter(names, pattern) for pattern in PICKLES)
        why = (
            "its weights are a pickle, which can run any code when it is opened, so none is ever "
            "loaded"
            if pickled
            else "there are no safetensors in it"
        )
        raise UserError(what, why, CONVERT if pickled else "Choose another model")
    return tuple(file for file in files if file.name in weights or file.name in BESIDE)


def fetch(repo: str, folder: Path, title: str, found: Found) -> None:
    """Put the files of `found` into `folder`."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    total = sum(file.size for file in found.files)
    with _reporting(folder, f"Downloading {title}", total):
        for file in found.files:
            kept = try_to_load_from_cache(repo, file.name, revision=found.commit)
            if isinstance(kept, str):
                target = folder / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(kept, target)
                continue
            hf_hub_download(
                repo,
                file.name,
                revision=found.commit,
                local_dir=folder,
                endpoint=_endpoint(),
            )
    # what the library remembers of a folder it downloads into
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    index = folder / INDEX
    if index.exists():
        what = f"Cannot download {title}"
        lost = [n for n in shard_names(index, what) if not (folder / n).is_file()]
        if lost:
            raise UserError(
                what, f"the repository lacks {lost[0]}, which it lists", "Choose another revision"
            )


def _find_kept(repo: str, revision: str) -> Found | None:
    """The model as the hub's own cache has it, if all of it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = [RemoteFile(p.relative_to(folder).as_posix(), p.stat().st_size) for p in paths]
        return Found(folder.name, wanted(files, f"Cannot open {repo}"))
    except (LocalEntryNotFoundError, UserError, OSError):
        return None


@contextmanager
def _reporting(folder: Path, text: str, total: int) -> Iterator[None]:
    """Tell how much lies in `folder` while the block runs."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(BEAT):
            done = 0
            for place, _, names in os.walk(folder):
                for name in names:
                    try:
                        done += os.stat(os.path.join(place, name)).st_size
                    except OSError:
                        continue
            fraction = min(done / total, 1.0) if total else None
            Line(f"{text}, {of_text(done, total)}", fraction).say()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _unreachable(error: Exception) -> bool:
    """Whether the hub was not reached, or is out of order."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    kinds = [ConnectionError, TimeoutError, OfflineModeIsEnabled, LocalEntryNotFoundError]
    # The library's HTTP client, whichever this release of it uses.
    clients = [sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules]
    kinds += [client.TransportError for client in clients]
    return isinstance(error, tuple(kinds)) or _status(error) >= 500


def explain(what: str, repo: str, error: Exception) -> UserError:
    """Say in the user's terms what the hub, or the way to it, had against it."""
    from huggingface_hub import errors

    server = _endpoint() or "huggingface.co"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UserError(
            what,
            "it is not here yet, and HF_HUB_OFFLINE keeps the program from the network",
            "Unset HF_HUB_OFFLINE, or choose a model that is already here",
        )
    if isinstance(error, errors.GatedRepoError):
        return UserError(
            what,
            "its authors give it only to those who accepted their terms",
            f"Accept them at {server}/{repo}, sign in with hf auth login, and try again",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(what, "it has no such revision", "Check what stands after the @")
    status = _status(error)
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        return UserError(
            what,
            f"{server} knows no such model, or it is private",
            "Check the spelling; for a private model sign in with hf auth login",
        )
    if isinstance(error, errors.HFValidationError):
        return UserError(what, "that is not the id of a model", "Write it as owner/name")
    if status == 429:
        return UserError(what, f"{server} has had too many requests", "Try again in some minutes")
    if status:
        return UserError(what, f"{server} answered with error {status}", "Try again later")
    if _unreachable(error):
        return UserError(what, f"{server} cannot be reached", ANOTHER_TIME)
    reason = last_line(str(error)) or type(error).__name__
    return UserError(what, reason, ANOTHER_TIME)


def _status(error: Exception) -> int:
    response: Any = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or 0)


def main(args: list[str]) -> int:
    """Do what the arguments say; tell how it went on standard output."""
    end_with_parent()
    warnings.simplefilter("ignore")
    command, repo = args[0], args[1]
    what = f"Cannot open {repo}" if command == "find" else f"Cannot download {repo}"
    try:
        result: dict[str, object] = {}
        if command == "find":
            result = msgspec.to_builtins(find(repo, args[2]))
        else:
            found = msgspec.json.decode(args[4], type=Found)
            fetch(repo, Path(args[2]), args[3], found)
    except UserError as error:
        Line(error=(error.what, error.why, error.do)).say()
        return 1
    except Exception as error:
        said = explain(what, repo, error)
        if isinstance(error, OSError) and error.errno is not None and not _status(error):
            said = disk_error(Path(args[2]), error)
        Line(error=(said.what, said.why, said.do)).say()
        return 1
    Line(result=result).say()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
