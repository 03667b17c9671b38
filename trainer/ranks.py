"""Ranks: the processes that teach one network together, one for each GPU; usually there is only one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from snaplabel.heads import Floats
from trainer.dataset import Ints

if TYPE_CHECKING:
    from torch import Tensor, device

# One rank may decode photos for long while the others wait; that one of them died is for torchrun to notice.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Ranks:
    """Which of how many we are, from 0. Every rank must make the same calls in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether we are the one that looks, writes and speaks for all."""
        return self.rank == 0

    def share(self, rows: Ints) -> Ints:
        """The part of these rows that is ours to work on."""
        return rows[self.rank :: self.size]

    def add_up(self, tensors: Sequence["Tensor"]) -> None:
        """Replace each of these by its sum over all ranks, in one message."""
        if self.size == 1:
            return
        import torch
        from torch import distributed

        whole = torch.cat([tensor.detach().flatten() for tensor in tensors]).to(device_of(self))
        distributed.all_reduce(whole)
        _put_back(tensors, whole)

    def from_first(self, tensors: Sequence["Tensor"]) -> None:
        """Replace each of these by what the first rank has, in one message."""
        if self.size == 1:
            return
        import torch
        from torch import distributed

        whole = torch.cat([tensor.detach().flatten() for tensor in tensors]).to(device_of(self))
        distributed.broadcast(whole, 0)
        _put_back(tensors, whole)

    def gather(self, mine: Floats, many: int) -> Floats:
        """Rows of all ranks, in order; mine: float32 (share of `many` rows, D), in the order of `share`."""
        if self.size == 1:
            return mine
        import torch

        # Adding to zeros copies exactly; gathering objects would pickle them.
        found = np.zeros((many, *mine.shape[1:]), np.float32)
        found[self.rank :: self.size] = mine
        self.add_up([torch.from_numpy(found)])
        return found

    def wait(self) -> None:
        """Go on once every rank has come this far."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def leave(self) -> None:
        """The end of working together."""
        if self.size > 1:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = Ranks()


def join() -> Ranks:
    """The ranks that torchrun started, ours among them; ours alone where nobody started any."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    import torch
    from torch import distributed

    ranks = Ranks(int(os.environ["RANK"]), size)
    if torch.cuda.is_available():
        torch.cuda.set_device(device_of(ranks))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    return ranks


def device_of(ranks: Ranks) -> "device":
    """The GPU of this rank, where there is one."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if ranks.size > 1 else 0)


def _put_back(tensors: Sequence["Tensor"], whole: "Tensor") -> None:
    import torch

    with torch.no_grad():
        for tensor, part in zip(tensors, torch.split(whole, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
