# torch.kthvalue of the magnitudes on a GPU: the value of the threshold.
from common import measure_cuda, rank, work

job = work()
k = rank(job)
measure_cuda(job, lambda values: values.abs().kthvalue(k))
