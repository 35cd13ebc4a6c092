"""fp32 masters: what an optimizer moves where the weights of a module are narrower than fp32.

A small step vanishes in bf16's 8 bits of mantissa, so such a weight has a master in fp32, which takes the steps and is
rounded into the module after each (Micikevicius et al. 2018, "Mixed precision training", section 3.1). Forward and
backward pass run in the module's own precision: what is trained is what will answer.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from luthier.model.dither import rounded
from luthier.model.exact import NARROW


class Masters:
    """The parameters that an optimizer moves, one for each trainable parameter of a module.

    `moved` maps the module's names to them. An fp32 parameter is its own master. A narrower one has one beside it; its
    gradient is added to its master's, in fp32, as soon as a backward pass has it, and takes no memory after that.
    """

    def __init__(self, module: nn.Module) -> None:
        self.moved: dict[str, nn.Parameter] = {}
        self._narrow: list[tuple[nn.Parameter, nn.Parameter]] = []
        self._hooks = []
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.dtype not in NARROW:
                self.moved[name] = parameter
                continue
            self.moved[name] = master = nn.Parameter(parameter.detach().float())
            self._narrow.append((parameter, master))
            self._hooks.append(parameter.register_post_accumulate_grad_hook(partial(_hand_over, master)))

    def write(self) -> None:
        """Rounds the masters into the module, dithered. After each step, and after masters were read from a file."""
        with torch.no_grad():
            for parameter, master in self._narrow:
                parameter.copy_(rounded(master, parameter.dtype))

    def close(self) -> None:
        """Leaves the module as it was found: its gradients are its own again."""
        for hook in self._hooks:
            hook.remove()


def _hand_over(master: nn.Parameter, parameter: Tensor) -> None:
    """Adds a gradient that a backward pass has made to the master's."""
    gradient, parameter.grad = parameter.grad, None
    assert gradient is not None
    if master.grad is None:
        master.grad = gradient.float()
    else:
        master.grad.add_(gradient)
