"""Adapters from elsewhere: one line for what is refused, the library's numbers for the rest."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import ADAPTER_CONFIG_MAP, BnConfig, LoRAConfig, SeqBnConfig
from adapters.composition import Fuse, Stack
from safetensors.torch import load_file, save_file
from transformers import XLMRobertaConfig

from harness.catalog import Backbone, ExternalAdapter, Source
from harness.errors import InputError, WorkError
from harness.model import (
    OpenedAdapter,
    check_fits,
    check_fuses,
    import_adapter,
    open_adapter,
    read_adapter,
)
from harness.recipes import TrainedSource, get_recipe
from tests.external import NARROW, WEIGHTS, plain_nano, save
from tests.nano import goal_of

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
NANO_SPEC = Backbone("nano", "", "builtin")


def fits(opened: OpenedAdapter, spec: Backbone = NANO_SPEC) -> None:
    check_fits(opened, spec, 128, 3)  # config.json of nano


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("source 'ext.B0': ")
    assert "allowed: " in text
    return text


def edited(folder: Path, **changes: Any) -> Path:
    """The folder with other values in adapter_config.json; None removes one."""
    file = folder / "adapter_config.json"
    about = json.loads(file.read_text())
    for key, value in changes.items():
        place = about["config"] if key in about["config"] or key == "architecture" else about
        place[key] = value
        if value is None:
            del place[key]
    file.write_text(json.dumps(about))
    return folder


# --- what is taken ---

KINDS = {
    "seq_bn": SeqBnConfig(reduction_factor=4),
    "per layer": SeqBnConfig(reduction_factor={"0": 2, "default": 8}),
    "not everywhere": SeqBnConfig(leave_out=[2]),
    "seeded": SeqBnConfig(init_weights_seed=1, scaling=2.0, non_linearity="gelu"),
    "learned scale": SeqBnConfig(scaling="learned"),
    "norm": SeqBnConfig(ln_after=True),
    "double_seq_bn": ADAPTER_CONFIG_MAP["double_seq_bn"],
    "seq_bn_inv": ADAPTER_CONFIG_MAP["seq_bn_inv"],
    "compacter": ADAPTER_CONFIG_MAP["compacter"].replace(reduction_factor=4),
}

STACKED = ("not everywhere", "norm", "seq_bn_inv")  # only; a fusion does not take them


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [(k, r) for k in KINDS for r in ("stack", "fuse") if r == "stack" or k not in STACKED],
)
def test_it_gives_the_numbers_of_the_library(
    base: Any, tmp_path: Path, kind: str, recipe: str
) -> None:
    """Beside it in a fusion is another one from elsewhere, of the same kind."""
    folders = [save(tmp_path / n, KINDS[kind], seed=i) for i, n in enumerate(("one", "two"))]
    goal, sources = goal_of("nli"), []
    for number, folder in enumerate(folders[: 1 if recipe == "stack" else 2]):
        opened = read_adapter("ext.B0", folder)
        fits(opened)
        if recipe == "fuse":
            check_fuses(opened, "fuse", opened)
        assembly = import_adapter(base, opened, f"ext_{number}")
        assembly.save(tmp_path / str(number) / "trained")
        assert assembly.count_trainable() == 0
        place = tmp_path / str(number) / "trained"
        sources.append(TrainedSource(f"ext.{number}", place, goal.format, goal.labels))
    torch.manual_seed(0)
    ours = get_recipe(recipe).assemble(base, goal, sources, 4)
    ours.save(tmp_path / "ours")
    saved = tmp_path / "ours"

    model = plain_nano()
    for number, folder in enumerate(folders[: len(sources)]):
        model.load_adapter(str(folder), load_as=f"ext_{number}", use_safetensors=True)
    target = model.load_adapter(str(saved / "adapters" / goal.name), use_safetensors=True)
    lower: Any = "ext_0"
    if recipe == "fuse":
        model.load_adapter_fusion(str(saved / "fusion"), use_safetensors=True)
        lower = Fuse("ext_0", "ext_1")
    model.set_active_adapters(Stack(lower, target))
    with torch.no_grad():
        by_hand = model.eval().requires_grad_(False).roberta(IDS)[0]
        found = ours.model.eval().requires_grad_(False).roberta(IDS)[0]
        bare = base.roberta(IDS)[0]
    torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-5)
    assert (found - bare).abs().max() > 0.05  # or else nothing was there to be missed


@pytest.mark.parametrize("head", [True, False])
def test_both_file_formats_are_the_same_adapter(base: Any, tmp_path: Path, head: bool) -> None:
    outputs = []
    for safe in (True, False):
        folder = save(tmp_path / f"safe{safe}", safe=safe, head=head)
        assert (folder / ("model_head.safetensors" if safe else "pytorch_model_head.bin")
                ).is_file() == head  # fmt: skip
        opened = read_adapter("ext.B0", folder)
        fits(opened)
        assert opened.weights == 3 * (2 * 128 * 8 + 8 + 128)
        assembly = import_adapter(base, opened, "ext_B0")
        with torch.no_grad():
            outputs.append(assembly.model.eval().roberta(IDS)[0])
        assembly.save(tmp_path / f"out{safe}")
        files = {path.name for path in (tmp_path / f"out{safe}").rglob("*") if path.is_file()}
        assert files == {"adapter_config.json", WEIGHTS, "composition.json"}
    assert torch.equal(*outputs)
    assert not base.adapters_config.adapters


def test_a_bare_encoder_and_an_older_spelling_are_taken(base: Any, tmp_path: Path) -> None:
    """Older releases named modules otherwise; a model without heads leaves a prefix out."""
    opened = read_adapter("ext.B0", save(tmp_path / "new"))
    wanted = import_adapter(base, opened, "x").model.eval().roberta(IDS)[0]
    for old, new in (("roberta.", ""), (".adapters.", ".layer_text_task_adapters.")):
        folder = save(tmp_path / f"old{len(new)}")
        tensors = load_file(folder / WEIGHTS)
        save_file({key.replace(old, new, 1): one for key, one in tensors.items()}, folder / WEIGHTS)
        opened = read_adapter("ext.B0", folder)
        fits(opened)
        assert torch.equal(import_adapter(base, opened, "x").model.eval().roberta(IDS)[0], wanted)


def test_a_seed_of_its_own_does_not_touch_the_runs(base: Any, tmp_path: Path) -> None:
    opened = read_adapter("ext.B0", save(tmp_path / "a", SeqBnConfig(init_weights_seed=7)))
    import_adapter(base, opened, "ext_B0").save(tmp_path / "out")
    about = json.loads((tmp_path / "out/adapters/ext_B0/adapter_config.json").read_text())
    assert about["config"]["init_weights_seed"] is None


def test_the_digest_is_over_what_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", head=True)
    first = read_adapter("ext.B0", folder).digest
    (folder / "README.md").write_text("about")
    (folder / "model_head.safetensors").unlink()
    assert read_adapter("other.A0", folder).digest == first
    edited(folder, name="elsewhere")  # other bytes
    assert read_adapter("ext.B0", folder).digest != first


# --- what is refused for its own files ---


def _cut(folder: Path) -> None:
    file = next(folder.glob("*adapter.*[nst]"))
    file.write_bytes(file.read_bytes()[:-100])


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "adapter_config.json").write_text(text)


def _spoil(value: float, dtype: torch.dtype = torch.float32) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        key = min(tensors)
        tensors[key] = torch.full_like(tensors[key], value, dtype=dtype)
        save_file(tensors, folder / WEIGHTS)

    return spoil


BROKEN: list[tuple[Callable[[Path], object], list[str]]] = [
    (_without("adapter_config.json"), ["no adapter_config.json", "save_adapter", "get it: WHERE"]),
    (_without(WEIGHTS), ["no weights", "pytorch_adapter.bin", "get it: WHERE"]),
    (_cut, [WEIGHTS, "cannot be read", "the whole file"]),
    (_spoil(float("nan")), ["adapter_down.0.bias", "not finite"]),
    (_spoil(float("inf")), ["adapter_down.0.bias", "not finite"]),
    (_spoil(1, torch.int64), ["got torch.int64", "floating-point"]),
    (_config("{"), ["adapter_config.json", "no JSON object", "save_adapter"]),
    (_config("[" * 100_000), ["adapter_config.json", "no JSON object"]),
    (_config("[]"), ["adapter_config.json", "got []", "save_adapter"]),
    (_config("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), ["no JSON object"]),
    (_config("{}"), ["config: got nothing", "a mapping"]),
    (_config('{"peft_type": "LORA"}'), ['peft_type: got "LORA"', "no other library"]),
    (lambda f: edited(f, name=None), ["name: got nothing", "text"]),
    (lambda f: edited(f, model_type="roberta"), ['model_type: got "roberta"', "xlm-roberta"]),
    (lambda f: edited(f, model_type=None), ["model_type: got nothing", "xlm-roberta"]),
    (lambda f: edited(f, model_class="BertModel"), ['model_class: got "BertModel"', "XLMRoberta"]),
    (lambda f: edited(f, architecture="lora"), ['config.architecture: got "lora"', "bottleneck"]),
]


@pytest.mark.parametrize(("spoil", "said"), BROKEN)
def test_broken_files_are_refused(
    tmp_path: Path, spoil: Callable[[Path], object], said: list[str]
) -> None:
    folder = save(tmp_path / "adapter")
    spoil(folder)
    text = refusal(lambda: read_adapter("ext.B0", folder, "WHERE"))
    assert str(folder) in text
    for part in said:
        assert part in text


def test_a_pickle_that_is_cut_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "adapter", safe=False)
    _cut(folder)
    assert "pytorch_adapter.bin" in refusal(lambda: read_adapter("ext.B0", folder))


class _Code:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, zipped: bool) -> None:
    folder = save(tmp_path / "adapter", safe=False)
    spell = {"weight": _Code(tmp_path / "ran")}
    if zipped:
        torch.save(spell, folder / "pytorch_adapter.bin")
    else:
        (folder / "pytorch_adapter.bin").write_bytes(pickle.dumps(spell))
    text = refusal(lambda: read_adapter("ext.B0", folder))
    assert "pickles can run code" in text
    assert not (tmp_path / "ran").exists()
    # The spell is a real one.
    if zipped:
        torch.load(folder / "pytorch_adapter.bin", weights_only=False)
    else:
        pickle.loads((folder / "pytorch_adapter.bin").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LoRAConfig(), 'architecture: got "lora"'),
        ("prefix_tuning", 'architecture: got "prefix_tuning"'),
        ("prompt_tuning", 'architecture: got "prompt_tuning"'),
        ("ia3", 'architecture: got "lora"'),
        ("mam", 'architecture: got "union"'),
        ("loreft", 'architecture: got "reft"'),
        ("par_bn", "is_parallel: got true"),
        (SeqBnConfig(ln_before=True), "ln_before: got true"),
    ],
)
def test_kinds_that_do_not_compose_are_refused(tmp_path: Path, config: Any, said: str) -> None:
    folder = save(tmp_path / "adapter", config, safe=False)
    assert said in refusal(lambda: read_adapter("ext.B0", folder))


# --- what is refused on a backbone ---


def _shape(**changes: int) -> XLMRobertaConfig:
    return XLMRobertaConfig(**{**NARROW.to_dict(), "hidden_size": 128, **changes})


UNFIT: list[tuple[Callable[[Path], Path], list[str]]] = [
    (lambda f: save(f, shape=NARROW), ["hidden_size: got 32", "128, the width of", "'nano'"]),
    (lambda f: edited(save(f), hidden_size=None), ["hidden_size: got nothing", "128"]),
    # that width in its own words, not in its tensors
    (
        lambda f: edited(save(f, shape=NARROW), hidden_size=128),
        ["layer.0.output", "got [2, 32]", "allowed: [8, 128]", "3 layers, 128 wide"],
    ),
    (
        lambda f: save(f, shape=_shape(num_hidden_layers=2)),
        ["layer.2.output", "got nothing", "allowed: [8, 128]"],
    ),
    (
        lambda f: save(f, shape=_shape(num_hidden_layers=4)),
        ["layer.3.output", "got [8]", "allowed: nothing"],
    ),
    (lambda f: edited(save(f), reduction_factor=32), ["layer.0.output", "allowed: [4"]),
    (lambda f: edited(save(f), non_linearity="magic"), ["config: got what the library cannot"]),
    (lambda f: edited(save(f), reduction_factor=0), ["config: got what the library cannot"]),
    (lambda f: edited(save(f), scaling="no"), ["config: got what the library cannot", "no"]),
]


@pytest.mark.parametrize(("make", "said"), UNFIT)
def test_an_adapter_of_another_backbone_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], said: list[str]
) -> None:
    opened = read_adapter("ext.B0", make(tmp_path / "adapter"))
    text = refusal(lambda: fits(opened))
    for part in said:
        assert part in text


@pytest.mark.parametrize(
    ("recorded", "hub", "same"),
    [
        ("xlm-roberta-large", "FacebookAI/xlm-roberta-large", True),  # an id that the hub moved
        ("FacebookAI/xlm-roberta-large", "FacebookAI/xlm-roberta-large", True),
        ("xlm-roberta-base", "FacebookAI/xlm-roberta-large", False),
        ("acme/xlm-r", "FacebookAI/xlm-roberta-large", False),
        ("xlmr-large", "FacebookAI/xlm-roberta-large", True),  # no id: a name in our catalog
        ("/home/me/xlm-r", "FacebookAI/xlm-roberta-large", True),  # no id: a folder
        (None, "FacebookAI/xlm-roberta-large", True),
        ("acme/xlm-r", None, True),  # the backbone is a folder
    ],
)
def test_hub_ids_of_backbones_are_compared(
    tmp_path: Path, recorded: str | None, hub: str | None, same: bool
) -> None:
    opened = read_adapter("ext.B0", edited(save(tmp_path / "adapter"), model_name=recorded))
    spec = Backbone("xlmr-large", "", "hub", hub=hub, revision="1" * 40)
    if same:
        fits(opened, spec)
    else:
        text = refusal(lambda: fits(opened, spec))
        assert f'model_name: got "{recorded}"' in text
        assert str(hub) in text
        assert "choose an adapter of backbone 'xlmr-large'" in text


FUSED = {
    "mh_adapter": ADAPTER_CONFIG_MAP["double_seq_bn"],
    "leave_out": SeqBnConfig(leave_out=[0]),
    "inv_adapter": ADAPTER_CONFIG_MAP["seq_bn_inv"],
    "ln_after": SeqBnConfig(ln_after=True),
    "output_adapter": SeqBnConfig(output_adapter=False, mh_adapter=True),
    "original_ln_before": SeqBnConfig(original_ln_before=False),
    "residual_before_ln": SeqBnConfig(residual_before_ln=False),
    "use_gating": SeqBnConfig(use_gating=True),
}


@pytest.mark.parametrize("key", FUSED)
def test_what_sits_or_reads_otherwise_is_not_fused(tmp_path: Path, key: str) -> None:
    config: BnConfig = FUSED[key]
    opened = read_adapter("ext.B0", save(tmp_path / "adapter", config))
    fits(opened)
    text = refusal(lambda: check_fuses(opened, "fuse", "nli.A0"))
    assert re.search(rf"adapter_config.json: config\.{key}: got ", text)
    assert "recipe 'fuse'" in text
    if key in ("mh_adapter", "original_ln_before", "residual_before_ln"):
        assert "source 'nli.A0'" in text
        check_fuses(opened, "fuse", opened)  # all from elsewhere, and alike


# --- on a backbone whose adapters stand in its upper layers ---

UPPER = Backbone("upper", "", "builtin", first_adapter_layer=2)


@pytest.mark.parametrize(
    "config",
    [
        SeqBnConfig(),
        SeqBnConfig(leave_out=[0]),
        SeqBnConfig(leave_out=[0, 1], inv_adapter="nice", inv_adapter_reduction_factor=2),
    ],
    ids=["everywhere", "in the layer below", "at the embeddings"],
)
def test_an_adapter_that_stands_lower_is_refused(tmp_path: Path, config: BnConfig) -> None:
    opened = read_adapter("ext.B0", save(tmp_path / "adapter", config))
    fits(opened)
    text = refusal(lambda: fits(opened, UPPER))
    assert "config.leave_out: got " in text
    assert "allowed: a list with 0, 1, and no inv_adapter" in text
    assert "backbone 'upper' stand in layer 2 and above" in text


def test_an_adapter_of_the_upper_layers_fits_and_fuses(tmp_path: Path) -> None:
    opened = read_adapter("ext.B0", save(tmp_path / "adapter", SeqBnConfig(leave_out=[0, 1])))
    fits(opened, UPPER)
    check_fuses(opened, "fuse", "nli.A0", 2)
    text = refusal(lambda: check_fuses(opened, "fuse", "nli.A0", 1))
    assert "config.leave_out: got [0, 1]; allowed: [0], for fusion takes" in text
    text = refusal(lambda: check_fuses(opened, "fuse", "nli.A0"))
    assert "config.leave_out: got [0, 1]; allowed: none, for fusion takes" in text
    higher = read_adapter("ext.B0", save(tmp_path / "higher", SeqBnConfig(leave_out=[0, 1])))
    fits(higher, Backbone("upper", "", "builtin", first_adapter_layer=1))  # alone it may


# --- the hub, without a network ---


def _source(**adapter: str) -> Source:
    return Source(
        name="ext.B0", description="", task="nli", language="B0", format="pair_classification",
        labels=(), licence="MIT", adapter=ExternalAdapter(**adapter),
    )  # fmt: skip


@pytest.mark.parametrize("subfolder", ["", "nli/best"])
def test_the_hub_is_asked_for_the_pinned_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subfolder: str
) -> None:
    import huggingface_hub

    save(tmp_path / "snapshot" / subfolder)
    asked: list[Any] = []

    def snapshot(name: str, **arguments: Any) -> str:
        asked.append((name, arguments))
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    source = _source(hub="acme/adapter", revision="1" * 40, subfolder=subfolder)
    opened = open_adapter(source)
    prefix = f"{subfolder}/" if subfolder else ""
    names = ("adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin")
    patterns = [prefix + name for name in names]
    assert asked == [("acme/adapter", {"revision": "1" * 40, "allow_patterns": patterns})]
    assert opened.digest == read_adapter("ext.B0", tmp_path / "snapshot" / subfolder).digest


def test_a_hub_that_does_not_answer_is_no_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot(name: str, **arguments: Any) -> str:
        raise LocalEntryNotFoundError("no connection\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(WorkError) as caught:
        open_adapter(_source(hub="acme/adapter", revision="1" * 40))
    text = str(caught.value)
    assert "\n" not in text
    for part in ("'ext.B0'", f"acme/adapter@{'1' * 40}", "no connection", "folder:"):
        assert part in text
