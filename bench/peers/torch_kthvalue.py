# torch.kthvalue of the magnitudes: the value of the threshold.
from common import measure, rank, tensor, work

job = work()
values = tensor(job)
k = rank(job)
measure(job, lambda _: values.abs().kthvalue(k))
