"""Several processes that train together, as torch's launcher starts them; one alone where it did not."""

from __future__ import annotations

import torch
from torch import distributed, nn


def joined() -> tuple[int, int]:
    """Join the processes that torch's launcher started, if any; returns this one's rank and how many there are."""
    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def leave() -> None:
    """Leave the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return this process's own device: "auto" is a GPU where there is one; each process takes its own."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and distributed.is_available() and distributed.is_torchelastic_launched():
        return f"cuda:{distributed.get_node_local_rank()}"
    return device


def wait() -> None:
    """Wait for the other processes, if any."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


def one_thread() -> None:
    """Let torch use one thread in this process: small convolutions gain nothing by more, busy cores lose."""
    torch.set_num_threads(1)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average gradients over all processes, in one message; nothing where there is one."""
    if not distributed.is_available() or not distributed.is_initialized():
        return
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.reshape(-1) for one in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    place = 0
    for one in gradients:
        one.copy_(flat[place : place + one.numel()].view_as(one))
        place += one.numel()


def first() -> bool:
    """Whether this process is the one that writes."""
    alone = not distributed.is_available() or not distributed.is_initialized()
    return alone or distributed.get_rank() == 0
