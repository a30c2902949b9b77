"""A model's folder on this machine, used where it lies."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import msgspec

from engine.errors import UserError
from engine.models.sources.base import Source
from engine.paths import ROOT

CONVERT = (
    "Where you trust that file, load it with transformers, call save_pretrained(folder) on the "
    "model and on its tokenizer, and open that folder"
)
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
WORD_VECTORS = "word-vectors"
"""The model_type of a folder that holds static word vectors, see `engine.models.vectors`."""
LSTM = "contextscope-lstm"
"""The model_type of the laboratory's LSTMs, see `engine.models.families.lstm`."""
INDEX = "model.safetensors.index.json"


class Folder(Source, frozen=True, tag="folder"):
    """A folder with config.json, safetensors and a tokenizer."""

    folder: str

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.place())

    def place(self) -> Path:
        """The folder; a relative one is meant from where the program was started."""
        return Path(self.folder).expanduser().absolute()

    def check(self) -> None:
        """Raise `UserError` unless the folder is whole."""
        check_folder(self.place())


class Builtin(Source, frozen=True, tag="builtin"):
    """A model that comes with the program, in a folder of its checkout."""

    folder: str

    @property
    def where(self) -> str:
        """Words for "it came with the program"."""
        return "part of Contextscope"

    def place(self) -> Path:
        """The folder inside the checkout."""
        return ROOT / self.folder

    def check(self) -> None:
        """Raise `UserError` unless the folder is whole."""
        try:
            check_folder(self.place())
        except UserError as error:
            do = "Restore it from where the program came from, or choose another model"
            raise UserError(error.what, error.why, do) from error


def check_folder(folder: Path) -> None:
    """Raise `UserError` unless transformers can load `folder`, as far as that shows from outside.

    Only headers are read, so that it costs next to nothing: a weight file that was cut short is
    found by what its header says of its length.
    """
    what = f"Cannot open {folder}"
    try:
        if not folder.is_dir():
            raise UserError(what, "there is no such folder", "Check the path")
        names = {path.name for path in folder.iterdir()}
        _check_config(folder, names, what)
        for path in weight_files(folder):
            _check_safetensors(path, what)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(what, f"it cannot be read ({reason})", "Check its permissions") from error
    if not names.intersection(TOKENIZERS):
        raise UserError(
            what,
            "there is no tokenizer in it",
            "Add the tokenizer's files, such as tokenizer.json, from where the model came from",
        )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model's folder, in the order of their names."""
    what = f"Cannot open {folder}"
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    index = folder / INDEX
    if index.is_file():
        shards = shard_names(index, what)
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise UserError(
                what,
                f"{len(missing)} of its {len(shards)} weight files are missing, {missing[0]} first",
                "Copy or download the model again",
            )
        return tuple(folder / name for name in shards)
    raise _no_weights(folder, what)


def shard_names(index: Path, what: str) -> tuple[str, ...]:
    """The names of the weight files that an index of a split model lists."""
    table = read_json(index, what).get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise UserError(
            what, f"{index.name} lists no weight files", "Copy or download the model again"
        )
    return tuple(names)


def read_json(path: Path, what: str) -> dict[str, object]:
    """Read a JSON file that holds a table."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            what, f"{path.name} is not valid JSON ({error})", "Copy or download it again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(what, f"{path.name} holds no table", "Copy or download it again")
    return content


def known_to_transformers(model_type: str) -> bool:
    """Whether the installed transformers has a class for `model_type`.

    Its table of classes is read as text: importing it takes seconds and brings torch along.
    """
    spec = find_spec("transformers")
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for place in places for file in Path(place, "models", "auto").glob("*auto*.py")]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    # Where the table is not found as expected, loading the model will tell.
    if not any('"llama"' in text for text in texts):
        return True
    return any(json.dumps(model_type) in text for text in texts)


def _check_config(folder: Path, names: set[str], what: str) -> None:
    if "config.json" not in names:
        if "adapter_config.json" in names:
            raise UserError(
                what,
                "it holds an adapter, which is not a model of its own",
                "Merge it into its base model with peft and open the result",
            )
        if any(name.endswith(".gguf") for name in names):
            raise UserError(what, "it holds GGUF files", "Open one of the .gguf files itself")
        raise UserError(
            what,
            "there is no model in it (config.json is missing)",
            "Choose the folder that holds config.json and model.safetensors",
        )
    config = read_json(folder / "config.json", what)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise UserError(
            what,
            "config.json does not say which kind of model it is (model_type)",
            "Save the model with transformers' save_pretrained",
        )
    if model_type in (WORD_VECTORS, LSTM):
        return
    # What transformers knows is loaded with its own code; code that came with a model is not run.
    if not known_to_transformers(model_type):
        if "auto_map" in config:
            why = f"models of the kind {model_type} bring their own code, and it is never run"
        else:
            why = f"the installed transformers knows no models of the kind {model_type}"
        raise UserError(what, why, "Update transformers, or choose another model")


def _check_safetensors(path: Path, what: str) -> None:
    """Compare a file's length with what its header says: 8 bytes, the header, the tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 8 + length <= size and length < 100_000_000 else b""
    again = "Copy or download it again"
    if size < 8 or len(header) != length or not header:
        if path.stat().st_size < 1024 and path.read_bytes().startswith(b"version https://git-lfs"):
            raise UserError(
                what,
                f"{path.name} is a placeholder of git-lfs, not the weights",
                "Run git lfs pull in that folder",
            )
        raise UserError(what, f"{path.name} is damaged or was cut short", again)
    try:
        table = msgspec.json.decode(header, type=dict[str, dict[str, object]])
        ends = [
            int(entry["data_offsets"][1])  # type: ignore[index]
            for name, entry in table.items()
            if name != "__metadata__"
        ]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(what, f"{path.name} is not a safetensors file", again) from error
    if not ends:
        raise UserError(what, f"{path.name} holds no weights", again)
    missing = 8 + length + max(ends) - size
    if missing > 0:
        share = 100 * missing / (size + missing)
        raise UserError(
            what, f"{path.name} was cut short: {share:.0f} % of the weights are missing", again
        )
    if missing < 0:
        raise UserError(what, f"{path.name} is damaged: it is longer than it should be", again)


def _no_weights(folder: Path, what: str) -> UserError:
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    # training_args.bin and the like are no weights
    pickles = [name for name in pickles if not name.startswith(("training_args", "optimizer"))]
    if pickles:
        return UserError(
            what,
            f"its weights are a pickle ({pickles[0]}), which can run any code when it is opened, "
            "so none is ever loaded",
            CONVERT,
        )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        return UserError(
            what,
            f"there is {others[0]} in it but no model.safetensors",
            "Save the model with transformers' save_pretrained",
        )
    if any(folder.glob("*.gguf")):
        return UserError(what, "it holds GGUF files", "Open one of the .gguf files itself")
    return UserError(
        what,
        "there are no weights in it (model.safetensors is missing)",
        "Add the file from where the model came from",
    )
