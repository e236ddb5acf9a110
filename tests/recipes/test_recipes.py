"""Recipes train what the design's table says and nothing else, and compose what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from adapters.composition import Fuse, Stack
from transformers import XLMRobertaModel

from harness.catalog import Training
from harness.errors import InputError, WorkError
from harness.formats import EncodeOptions, RetrievalOptions, collate, get_format
from harness.model import Assembly, Numerics
from harness.recipes import RECIPES, Goal, TrainedSource, get_recipe
from harness.train import Trainer, TrainTask
from tests.nano import NANO, encode, examples_of, goal_of

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = EncodeOptions(max_length=60)
NLI, SUP = "nli_A0", "sup_B0"
FUSION = f"{NLI},{SUP}"
TARGET = "world-nli"
LAYER = r"roberta\.encoder\.layer\.\d\.output\."
OWN = rf"{LAYER}adapters\.{TARGET}\..*|heads\.{TARGET}\..*"
FUSED = rf"{LAYER}adapter_fusion_layer\.{FUSION}\..*"
ENCODER = (
    r"roberta\.embeddings\.(word|position|token_type)_embeddings\.weight"
    r"|roberta\..*(query|key|value|dense|LayerNorm)\.(weight|bias)"
)
# Softmax does not see a shift of its inputs, so a key's bias has no gradient but rounding.
MAY_STAY = re.compile(r".*\.key\.bias")
COMPOSED = {
    "direct": Stack(TARGET),
    "stack": Stack(NLI, TARGET),
    "fuse": Stack(Fuse(NLI, SUP), TARGET),
    "multitask": Stack(NLI, TARGET),
    "full-ft": None,
}
TRAINED = {
    "direct": OWN,
    "stack": OWN,
    "fuse": f"{OWN}|{FUSED}",
    "multitask": OWN,
    "full-ft": rf"{ENCODER}|heads\.{TARGET}\..*",
}
SOURCES = {"direct": 0, "stack": 1, "fuse": 2, "multitask": 1, "full-ft": 0}


def task_of(task: str, language: str, goal: Goal) -> TrainTask:
    features = encode(goal, examples_of(task, language, 24), OPTIONS, training=True)
    return TrainTask(goal.name, goal.format, features)


def train(assembly: Assembly, tasks: Sequence[TrainTask]) -> None:
    """A few steps; without warm-up, so that none has a learning rate of almost nothing."""
    training = Training(
        epochs=1, learning_rate=1e-2, full_learning_rate=1e-3, batch_size=8, warmup=0.0
    )
    Trainer(assembly, tasks, training, Numerics(), seed="s", pad_id=1, micro_tokens=400).run()


@pytest.fixture(scope="module")
def sources(base: Any, tmp_path_factory: pytest.TempPathFactory) -> list[TrainedSource]:
    root = tmp_path_factory.mktemp("sources")
    made = []
    for module in (NLI, SUP):
        task, language = module.split("_")
        goal = goal_of(task, module)
        assembly = get_recipe("direct").assemble(base, goal, [], 4)
        train(assembly, [task_of(task, language, goal)])
        assembly.save(root / module)
        name = f"{task}.{language}"
        made.append(TrainedSource(name, root / module, goal.format, goal.labels))
    return made


@pytest.fixture(scope="module")
def source_tasks() -> list[TrainTask]:
    parts = [module.split("_") for module in (NLI, SUP)]
    return [
        task_of(task, language, goal_of(task, f"{task}_{language}")) for task, language in parts
    ]


def state(model: Any) -> dict[str, torch.Tensor]:
    """Copies of all parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def changed(model: Any, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the parameters that differ; every one is compared."""
    after = dict(model.named_parameters())
    assert after.keys() <= before.keys()
    return {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def matching(model: Any, pattern: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if re.fullmatch(pattern, name)}


def assert_same(model: Any, before: dict[str, torch.Tensor]) -> None:
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


# --- targets with training data ---


@pytest.mark.parametrize("kind", RECIPES)
def test_just_what_the_table_says_is_trained(
    kind: str, base: Any, sources: list[TrainedSource]
) -> None:
    base_before = state(base)
    goal = goal_of("nli", TARGET)
    chosen = sources[: SOURCES[kind]]
    assembly = get_recipe(kind).assemble(base, goal, chosen, 4)
    before = state(assembly.model)
    train(assembly, [task_of("nli", "A0", goal)])

    expected = matching(assembly.model, TRAINED[kind])
    moved = changed(assembly.model, before)
    assert moved <= expected
    assert {name for name in expected - moved if not MAY_STAY.fullmatch(name)} == set()
    assert {name for name, _ in assembly.trainable()} == expected
    assert {n for n, p in assembly.model.named_parameters() if p.requires_grad} == expected
    assert assembly.count_trainable() == sum(before[name].numel() for name in expected)

    assert_same(base, base_before)
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert not base.adapters_config.adapters
    assert not base.heads
    shared = [
        ours.data_ptr() == base.state_dict()[name].data_ptr()
        for name, ours in assembly.model.state_dict().items()
        if name in base_before
    ]
    assert all(shared) if kind != "full-ft" else not any(shared)


@pytest.mark.parametrize("kind", RECIPES)
def test_the_table_says_what_is_active(kind: str, base: Any, sources: list[TrainedSource]) -> None:
    assembly = get_recipe(kind).assemble(base, goal_of("nli", TARGET), sources[: SOURCES[kind]], 4)
    assert assembly.model.active_adapters == COMPOSED[kind]
    assert repr(assembly.model.active_adapters) == repr(COMPOSED[kind])  # == ignores the kinds
    known = {source.module for source in sources[: SOURCES[kind]]}
    own = {TARGET} if kind != "full-ft" else set()
    assert set(assembly.model.adapters_config.adapters) == known | own
    assert set(assembly.model.heads) == {TARGET}
    assert set(assembly.model.adapters_config.fusions) == ({FUSION} if kind == "fuse" else set())


def test_sources_are_the_ones_that_were_trained(base: Any, sources: list[TrainedSource]) -> None:
    alone = [get_recipe("stack").assemble(base, untrained_goal(), [one], 4) for one in sources]
    fused = get_recipe("fuse").assemble(base, goal_of("nli", TARGET), sources, 4)
    names = dict(fused.model.named_parameters())
    for one, source in zip(alone, sources, strict=True):
        own = matching(one.model, rf"{LAYER}adapters\.{source.module}\..*")
        assert len(own) == 3 * 4  # three layers; down, up and their biases
        parameters = dict(one.model.named_parameters())
        assert all(torch.equal(parameters[name], names[name]) for name in own)


def test_the_target_starts_alike_in_all_recipes_that_have_an_adapter(
    base: Any, sources: list[TrainedSource]
) -> None:
    def start(kind: str, seed: int) -> dict[str, torch.Tensor]:
        torch.rand(seed + len(kind))  # what was drawn before must not matter
        assembly = get_recipe(kind).assemble(
            base, goal_of("nli", TARGET, seed), sources[: SOURCES[kind]], 4
        )
        before = state(assembly.model)
        return {name: before[name] for name in matching(assembly.model, OWN)}

    direct = start("direct", 3)
    assert len(direct) == 3 * 4 + 4
    for kind in ("stack", "fuse", "multitask"):
        other = start(kind, 3)
        assert other.keys() == direct.keys()
        assert all(torch.equal(other[name], tensor) for name, tensor in direct.items())
    another = start("direct", 4)
    weights = [name for name in direct if name.endswith("weight")]
    assert not any(torch.equal(another[name], direct[name]) for name in weights)


def test_fusion_starts_alike_with_a_seed(base: Any, sources: list[TrainedSource]) -> None:
    def start(seed: int) -> torch.Tensor:
        assembly = get_recipe("fuse").assemble(base, goal_of("nli", TARGET, seed), sources, 4)
        (name,) = matching(assembly.model, r".*layer\.0\..*fusion_layer.*query\.weight")
        return state(assembly.model)[name]

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))


# --- targets without training data ---


def untrained_goal() -> Goal:
    return Goal("world-ret", get_format("bitext_retrieval"), (), 3)


def embed(assembly: Assembly, layer: int) -> torch.Tensor:
    """Sentence embeddings [n, d] as the retrieval format makes them."""
    return untrained_outputs(assembly, layer)[0]


def untrained_outputs(assembly: Assembly, layer: int) -> tuple[torch.Tensor, Any]:
    retrieval = get_format("bitext_retrieval").with_options(RetrievalOptions(layer))  # type: ignore[attr-defined]
    goal = Goal("", retrieval, ())
    batch = collate(encode(goal, examples_of("ret", "B1", 6, "test"), OPTIONS, training=False), 1)
    with torch.no_grad():
        return retrieval.forward(assembly.model.eval(), "", batch)[retrieval.retrieval.key], batch


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_direct_retrieval_is_the_bare_backbone(base: Any, layer: int) -> None:
    recipe = get_recipe("direct")
    assert recipe.fit(untrained_goal().format) is None
    assembly = recipe.assemble(base, untrained_goal(), [], 4)
    assert assembly.model.active_adapters is None
    assert assembly.count_trainable() == 0
    found, batch = untrained_outputs(assembly, layer)
    plain = XLMRobertaModel.from_pretrained(NANO, add_pooling_layer=False).eval()
    with torch.no_grad():
        hidden = plain(
            batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
        ).hidden_states[layer]
    mask = batch.attention_mask[:, :, None].float()
    torch.testing.assert_close(found, (hidden * mask).sum(1) / mask.sum(1), rtol=0, atol=1e-6)


def test_stack_retrieval_is_the_source(base: Any, sources: list[TrainedSource]) -> None:
    recipe = get_recipe("stack")
    assert recipe.fit(untrained_goal().format) is None
    assembly = recipe.assemble(base, untrained_goal(), sources[1:], 4)
    assert repr(assembly.model.active_adapters) == repr(Stack(SUP))
    assert assembly.count_trainable() == 0
    assert not any(parameter.requires_grad for parameter in assembly.model.parameters())
    bare = get_recipe("direct").assemble(base, untrained_goal(), [], 4)
    bare.model.load_adapter(str(sources[1].folder / "adapters" / SUP), use_safetensors=True)
    bare.model.set_active_adapters(SUP)
    assert torch.equal(embed(assembly, 3), embed(bare, 3))
    bare.activate(None)
    assert not torch.allclose(embed(assembly, 3), embed(bare, 3), atol=1e-2)


def test_fuse_retrieval_trains_fusion_through_the_sources_own_heads(
    base: Any, sources: list[TrainedSource], source_tasks: list[TrainTask]
) -> None:
    recipe = get_recipe("fuse")
    assert recipe.fit(untrained_goal().format) == "mixture"
    base_before = state(base)
    assembly = recipe.assemble(base, untrained_goal(), sources, 4)
    assert repr(assembly.model.active_adapters) == repr(Fuse(NLI, SUP))
    assert set(assembly.model.heads) == {NLI, SUP}
    for source in sources:  # the heads are those that were trained with the sources
        own = get_recipe("direct").assemble(base, goal_of(source.name[:3], source.module), [], 4)
        own.model.load_head(str(source.folder / "heads" / source.module), use_safetensors=True)
        mine = assembly.model.heads[source.module].state_dict()
        theirs = own.model.heads[source.module].state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    before = state(assembly.model)
    start = embed(assembly, 3)
    train(assembly, source_tasks)
    expected = matching(assembly.model, FUSED)
    moved = changed(assembly.model, before)
    assert moved <= expected
    assert {name for name in expected - moved if not MAY_STAY.fullmatch(name)} == set()
    assert {name for name, _ in assembly.trainable()} == expected
    assert not torch.allclose(embed(assembly, 3), start, atol=1e-3)
    assert_same(base, base_before)


def test_full_fine_tuning_is_not_defined_without_training_data(base: Any) -> None:
    recipe = get_recipe("full-ft")
    assert not recipe.defined(untrained_goal().format)
    assert recipe.defined(goal_of("nli", TARGET).format)
    with pytest.raises(WorkError, match="full-ft"):
        recipe.assemble(base, untrained_goal(), [], 4)


@pytest.mark.parametrize("kind", RECIPES)
def test_targets_with_data_are_trained_on_them(kind: str) -> None:
    assert get_recipe(kind).fit(goal_of("nli", TARGET).format) == "target"


def test_an_unknown_recipe_is_told_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        get_recipe("staple")
    assert "'staple'" in str(caught.value)
    assert all(kind in str(caught.value) for kind in RECIPES)
