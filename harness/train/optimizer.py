"""AdamW over an assembly's trained groups, its linear schedule, its state as plain tensors."""

from __future__ import annotations

import torch

from harness.catalog import Training
from harness.model import Assembly

_STATE = ("step", "exp_avg", "exp_avg_sq")


class GroupedAdamW:
    """AdamW with one learning rate per group (adapter, fusion, head, backbone).

    Weight decay spares biases and the weights of layer norms, as in BERT.
    """

    def __init__(self, assembly: Assembly, training: Training, *, fused: bool) -> None:
        self._clip_norm = training.clip_norm
        self._named = assembly.trainable()
        self._fused = fused
        rates = _rates(assembly, training)
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self._named:
            rate = rates[str(assembly.group_of(name))]
            # Of an XLM-R with adapters and heads, exactly biases and layer norms are vectors.
            decay = training.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": params, "lr": rate, "initial": rate, "weight_decay": decay}
                for (rate, decay), params in groups.items()
            ],
            betas=(0.9, training.adam_beta2),
            fused=fused,
        )

    def zero_grad(self) -> None:
        """Forget gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, factor: float) -> None:
        """Clip the gradients to the norm, then one step with all learning rates times `factor`."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial"] * factor
        torch.nn.utils.clip_grad_norm_([p for _, p in self._named], self._clip_norm)
        self._optimizer.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The moments and step counts, on the CPU, as `field/parameter`."""
        return {
            f"{field}/{name}": self._optimizer.state[parameter][field].detach().cpu().clone()
            for name, parameter in self._named
            if parameter in self._optimizer.state
            for field in _STATE
        }

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, parameter in self._named:
            if f"step/{name}" not in tensors:
                continue
            state = {}
            for field in _STATE:
                # The step count stays on the CPU unless the fused kernel wants it beside the
                # weights.
                device = "cpu" if field == "step" and not self._fused else parameter.device
                state[field] = tensors[f"{field}/{name}"].to(device, copy=True)
            self._optimizer.state[parameter] = state


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over the share `warmup` of the steps, then linear decay to 0; step from 0."""
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    return (steps - step) / max(1, steps - warm)


def _rates(assembly: Assembly, training: Training) -> dict[str, float]:
    """Learning rate per group; a head trained with the whole backbone takes the backbone's."""
    backbone = training.full_learning_rate or training.learning_rate
    head = backbone if "backbone" in assembly.trained else training.learning_rate
    return {
        "adapter": training.learning_rate,
        "fusion": training.fusion_learning_rate or training.learning_rate,
        "head": training.head_learning_rate or head,
        "backbone": backbone,
    }
