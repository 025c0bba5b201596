# torch.nn.utils.prune.global_unstructured with L1, as its users call it: selection, masks and masked weights.
import torch
from common import measure, tensor, work
from torch.nn.utils import prune

job = work()
values = tensor(job)


def layer():
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(values.clone())
    return module


measure(
    job,
    torch.__version__,
    lambda module: prune.global_unstructured(
        [(module, "weight")], pruning_method=prune.L1Unstructured, amount=job["ratio"]
    ),
    layer,
)
