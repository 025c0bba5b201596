# torch.kthvalue of the magnitudes: the value of the threshold.
import torch
from common import measure, rank, tensor, work

job = work()
values = tensor(job)
k = rank(job)
measure(job, torch.__version__, lambda _: values.abs().kthvalue(k))
