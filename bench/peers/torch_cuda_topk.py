# torch.topk of the smallest magnitudes on a GPU, as prune.global_unstructured calls it: which weights go.
from common import measure_cuda, rank, work

job = work()
k = rank(job)
measure_cuda(job, lambda values: values.abs().topk(k, largest=False))
